//! The rules for bindings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use super::{Faults, same_subnet};
use crate::ids::{ApplianceName, GroupName};
use crate::model::{BindingKind, GroupSpec};

/// The longest name of a network interface on Linux: `IFNAMSIZ` less its final zero.
const MAX_INTERFACE: usize = 15;

pub(super) fn check(faults: &mut Faults, spec: &GroupSpec) {
    let mut names = BTreeSet::new();
    let mut subjects = BTreeSet::new();
    for (i, binding) in spec.bindings.iter().enumerate() {
        let at = format!("bindings[{i}]");
        let fresh = names.insert(&binding.name);
        faults.check(fresh, format!("{at}.name"), &binding.name, "must be unique in the group");
        let (field, subject) = subject(&spec.name, &binding.kind);
        let fresh = subjects.insert(subject.clone());
        faults.check(fresh, format!("{at}.{field}"), subject, "must be bound only once");
        match &binding.kind {
            BindingKind::Vip { address, prefix_len, interfaces } => {
                vip(faults, &at, spec, *address, *prefix_len);
                covered(faults, &format!("{at}.interfaces"), spec, interfaces);
                for (appliance, name) in interfaces {
                    let fits = (1..=MAX_INTERFACE).contains(&name.len())
                        && !name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control());
                    let rule = "must be an interface name of 1 to 15 bytes without '/' and blanks";
                    faults.check(fits, format!("{at}.interfaces.{appliance}"), format!("{name:?}"), rule);
                }
            }
            BindingKind::PublicIp { resource, targets, .. } => {
                filled(faults, format!("{at}.resource"), resource);
                covered(faults, &format!("{at}.targets"), spec, targets);
                for (appliance, target) in targets {
                    filled(faults, format!("{at}.targets.{appliance}"), target);
                }
                distinct(faults, &format!("{at}.targets"), targets);
            }
            BindingKind::Route { table, route, targets, .. } => {
                filled(faults, format!("{at}.table"), table);
                filled(faults, format!("{at}.route"), route);
                covered(faults, &format!("{at}.targets"), spec, targets);
                distinct(faults, &format!("{at}.targets"), targets);
            }
            BindingKind::ProbeGate(gate) => super::gates::gate(faults, &at, spec, gate),
        }
    }
}

/// What a binding of `group` moves, with the field that names it: no two bindings may move the same.
/// Each group has appliances of its own, and so ports of its own.
pub(super) fn subject(group: &GroupName, kind: &BindingKind) -> (&'static str, String) {
    match kind {
        BindingKind::Vip { address, .. } => ("address", format!("virtual address {address}")),
        BindingKind::PublicIp { adapter, resource, .. } => {
            ("resource", format!("public IP {resource} of {adapter}"))
        }
        BindingKind::Route { adapter, table, route, .. } => {
            ("route", format!("route {route} of table {table} of {adapter}"))
        }
        BindingKind::ProbeGate(gate) => ("port", format!("probe gate {} of {group}", gate.port)),
    }
}

fn vip(faults: &mut Faults, at: &str, spec: &GroupSpec, address: IpAddr, prefix_len: u8) {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let path = format!("{at}.prefix_len");
    let possible = (1..=bits).contains(&prefix_len);
    faults.check(possible, path, prefix_len, format!("must be from 1 to {bits}"));
    let usable = !address.is_unspecified() && !address.is_multicast();
    let path = format!("{at}.address");
    faults.check(usable, &path, address, "must be the address of one host");
    for appliance in &spec.appliances {
        let (name, own) = (&appliance.name, appliance.address);
        let rule = format!("must differ from the own address of {name}, which never moves");
        faults.check(address != own, &path, address, rule);
        let rule = format!("must lie in the same /{prefix_len} subnet as {name} ({own})");
        faults.check(!possible || same_subnet(own, address, prefix_len), &path, address, rule);
    }
}

fn filled(faults: &mut Faults, path: String, value: &str) {
    faults.check(!value.trim().is_empty(), path, format!("{value:?}"), "must not be empty");
}

/// There is an entry for each appliance, and none for others.
fn covered<T>(faults: &mut Faults, path: &str, spec: &GroupSpec, map: &BTreeMap<ApplianceName, T>) {
    for appliance in &spec.appliances {
        let name = &appliance.name;
        faults.check(map.contains_key(name), path, format!("without {name}"), "must name every appliance");
    }
    for name in map.keys() {
        let known = spec.appliance(name).is_some();
        faults.check(known, format!("{path}.{name}"), name, "must be an appliance of the group");
    }
}

/// No two appliances have the same target: a move between them would move nothing.
fn distinct<T: Ord + Display>(faults: &mut Faults, path: &str, map: &BTreeMap<ApplianceName, T>) {
    let mut seen = BTreeSet::new();
    for (name, target) in map {
        let fresh = seen.insert(target);
        faults.check(
            fresh,
            format!("{path}.{name}"),
            target,
            "must differ from the other appliances' targets",
        );
    }
}
