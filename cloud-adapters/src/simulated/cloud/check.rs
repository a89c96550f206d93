//! The rules that a document must keep before the cloud takes it.

use std::collections::BTreeSet;

use super::{MOST, MOST_TAGS, OPERATION_IN_PROGRESS, Refusal};
use crate::simulated::model::{Nic, Provisioning, RouteTable, Tags};

pub(super) fn public_ips_of(nic: &Nic) -> impl Iterator<Item = &String> {
    nic.ip_configurations.iter().filter_map(|config| config.public_ip.as_ref())
}

pub(super) fn refuse_unless_writable(
    name: &str,
    etag: &str,
    provisioning: Provisioning,
    if_match: Option<&str>,
) -> Result<(), Refusal> {
    if let Some(expected) = if_match.filter(|expected| *expected != etag) {
        let message = format!("{name} is at version {etag}, not at {expected}");
        return Err(Refusal::new(412, "PreconditionFailed", message));
    }
    match provisioning {
        Provisioning::Succeeded => Ok(()),
        Provisioning::Updating => Err(in_progress(&format!("an earlier change of {name} is not finished"))),
    }
}

pub(super) fn check_nic_against(old: &Nic, nic: &mut Nic) -> Result<(), Refusal> {
    check_nic(nic)?;
    let same = old.name == nic.name
        && old.ip_configurations.len() == nic.ip_configurations.len()
        && old
            .ip_configurations
            .iter()
            .zip(&nic.ip_configurations)
            .all(|(old, new)| old.name == new.name && old.private_address == new.private_address);
    if !same {
        return Err(bad_request("the names and private addresses of a NIC are fixed".to_owned()));
    }
    for (old, new) in old.ip_configurations.iter().zip(&mut nic.ip_configurations) {
        new.forward_to = old.forward_to;
    }
    Ok(())
}

pub(super) fn check_nic(nic: &Nic) -> Result<(), Refusal> {
    names("IP configuration", [].into_iter(), nic.ip_configurations.iter().map(|config| &config.name))?;
    if nic.ip_configurations.is_empty() {
        return Err(bad_request(format!("NIC {} has no IP configuration", nic.name)));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = public_ips_of(nic).find(|ip| !seen.insert(*ip)) {
        return Err(bad_request(format!("public IP {twice} is associated twice")));
    }
    check_tags(&nic.tags)
}

pub(super) fn check_table(table: &RouteTable) -> Result<(), Refusal> {
    names("route", [].into_iter(), table.routes.iter().map(|route| &route.name))?;
    check_tags(&table.tags)
}

pub(super) fn check_tags(tags: &Tags) -> Result<(), Refusal> {
    if tags.len() > MOST_TAGS {
        return Err(bad_request(format!("{} tags are too many: at most {MOST_TAGS}", tags.len())));
    }
    Ok(())
}

/// The union of old and new names, if the new ones may be added.
pub(super) fn names<'a>(
    kind: &str,
    old: impl Iterator<Item = &'a String>,
    new: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<&'a String>, Refusal> {
    let mut all: BTreeSet<&String> = old.collect();
    for name in new {
        if name.is_empty() || name.contains('/') {
            return Err(bad_request(format!("{name:?} cannot be the name of a {kind}")));
        }
        if !all.insert(name) {
            return Err(bad_request(format!("there are two {kind}s called {name}")));
        }
    }
    if all.len() > MOST {
        return Err(bad_request(format!("{} {kind}s are too many: at most {MOST}", all.len())));
    }
    Ok(all)
}

pub(super) fn in_progress(message: &str) -> Refusal {
    Refusal::new(409, OPERATION_IN_PROGRESS, message)
}

pub(super) fn not_found(kind: &str, name: &str) -> Refusal {
    Refusal::new(404, "NotFound", format!("there is no {kind} {name}"))
}

pub(super) fn bad_request(message: String) -> Refusal {
    Refusal::new(400, "InvalidRequest", message)
}
