//! Declaring and removing groups.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{About, Log, Rejection, paths, reliance};
use crate::event::{EventBody, Level};
use crate::ids::GroupName;
use crate::model::{BindingKind, GroupSpec};
use crate::state::{Appliance, Group, KEPT_WITHDRAWN, State};
use crate::time::WallTime;
use crate::validate::{self, SpecFault};

/// A withdrawn virtual address stays out of use for this many times the lease wait. One would do
/// if wall clocks were to be trusted.
const QUARANTINE_WAITS: u32 = 10;

pub(super) fn put(state: &mut State, log: &mut Log, spec: &GroupSpec) -> Result<(), Rejection> {
    let before = state.groups.get(&spec.name);
    if before.is_some_and(|g| g.spec == *spec) {
        return Ok(());
    }
    let mut faults = validate::group(spec);
    faults.extend(validate::against(spec, state.groups.values().map(|g| &g.spec)));
    if !faults.is_empty() {
        return Err(Rejection::InvalidGroup { group: spec.name.clone(), faults });
    }
    if let Some(before) = before {
        replaceable(before, spec)?;
    }
    let kept = |vip: &IpAddr| before.is_some_and(|g| vips(&g.spec).any(|v| v == *vip));
    for vip in vips(spec).filter(|vip| !kept(vip)) {
        if let Some(until) = state.withdrawn.get(&vip).filter(|until| **until > state.time) {
            let remaining_ms = until.0.saturating_sub(state.time.0);
            return Err(Rejection::VipWithdrawn { vip, remaining_ms });
        }
    }
    let gone = before.map_or_else(BTreeMap::new, |g| quarantine(g, Some(spec), state.time));
    withdraw(state, gone)?;
    declare(state, log, spec);
    Ok(())
}

/// All or nothing: a fault in one group refuses them all. `before` is the state's time before
/// this command: only a log that never held one has none.
pub(super) fn seed(
    state: &mut State,
    log: &mut Log,
    before: WallTime,
    specs: &[GroupSpec],
) -> Result<(), Rejection> {
    if before != WallTime::default() {
        return Err(Rejection::AlreadySeeded);
    }
    for (i, spec) in specs.iter().enumerate() {
        let mut faults = validate::group(spec);
        faults.extend(validate::against(spec, specs));
        let repeated = specs.iter().take(i).any(|s| s.name == spec.name);
        if repeated {
            let rule = "must be unique in the cluster".to_owned();
            faults.push(SpecFault { path: "name".to_owned(), value: spec.name.to_string(), rule });
        }
        if !faults.is_empty() {
            return Err(Rejection::InvalidGroup { group: spec.name.clone(), faults });
        }
    }
    specs.iter().for_each(|spec| declare(state, log, spec));
    Ok(())
}

pub(super) fn remove(state: &mut State, log: &mut Log, name: &GroupName) -> Result<(), Rejection> {
    let unknown = || Rejection::UnknownGroup { group: name.to_string() };
    let group = state.groups.get(name).ok_or_else(unknown)?;
    at_rest(group)?;
    reliance::check(group, None)?;
    let gone = quarantine(group, None, state.time);
    withdraw(state, gone)?;
    state.groups.remove(name);
    log.push(Level::Warning, name, About::default(), EventBody::GroupRemoved);
    Ok(())
}

/// Whether `spec` may replace the declaration of `group`.
fn replaceable(group: &Group, spec: &GroupSpec) -> Result<(), Rejection> {
    at_rest(group)?;
    let in_use = group.active.iter().chain(group.unreleased.keys());
    if let Some(appliance) = in_use.into_iter().find(|name| spec.appliance(name).is_none()) {
        return Err(Rejection::ApplianceInUse { group: spec.name.clone(), appliance: appliance.clone() });
    }
    reliance::check(group, Some(spec))?;
    // An earlier leader may have given a lease by the longer time; nobody waits for that any
    // more once the shorter one is declared.
    let shorter = spec.lease.wait() < group.spec.lease.wait();
    if shorter && group.active.is_some() && group.spec.needs_lease() {
        return Err(Rejection::LeaseShortened { group: spec.name.clone() });
    }
    Ok(())
}

fn at_rest(group: &Group) -> Result<(), Rejection> {
    match &group.operation {
        Some(running) => {
            Err(Rejection::OperationRunning { group: group.spec.name.clone(), operation: running.id })
        }
        None => Ok(()),
    }
}

fn declare(state: &mut State, log: &mut Log, spec: &GroupSpec) {
    let new = match state.groups.get_mut(&spec.name) {
        None => {
            let group = Group::new(spec.clone(), log.index, state.time);
            state.groups.insert(spec.name.clone(), group);
            true
        }
        Some(group) => {
            let mut before = std::mem::take(&mut group.appliances);
            for appliance in &spec.appliances {
                let known = before.remove(&appliance.name);
                let known = known.unwrap_or_else(|| Appliance::unknown(state.time));
                group.appliances.insert(appliance.name.clone(), known);
            }
            group.drift.retain(|binding, _| spec.binding(binding).is_some());
            paths::on_declaration(group, spec, state.time);
            group.spec = spec.clone();
            group.revision = log.index;
            reliance::declared(group);
            false
        }
    };
    log.push(Level::Info, &spec.name, About::default(), EventBody::GroupDeclared { new });
}

/// The virtual addresses of a group.
pub(super) fn vips(spec: &GroupSpec) -> impl Iterator<Item = IpAddr> {
    spec.bindings.iter().filter_map(|b| match &b.kind {
        BindingKind::Vip { address, .. } => Some(*address),
        _ => None,
    })
}

/// The virtual addresses that `group` gives up when it becomes `next`, and until when.
///
/// An appliance that held one learns of it at its next renewal, or when its lease runs out. In
/// between, another group, or the same one declared anew, could grant the address to another
/// appliance without knowing of the old lease.
fn quarantine(group: &Group, next: Option<&GroupSpec>, time: WallTime) -> BTreeMap<IpAddr, WallTime> {
    if group.active.is_none() {
        return BTreeMap::new();
    }
    let until = time.plus(group.spec.lease.wait().saturating_mul(QUARANTINE_WAITS));
    let stays = |vip: &IpAddr| next.is_some_and(|spec| vips(spec).any(|v| v == *vip));
    vips(&group.spec).filter(|vip| !stays(vip)).map(|vip| (vip, until)).collect()
}

fn withdraw(state: &mut State, gone: BTreeMap<IpAddr, WallTime>) -> Result<(), Rejection> {
    let time = state.time;
    let live = state.withdrawn.values().filter(|until| **until > time).count();
    if live + gone.len() > KEPT_WITHDRAWN {
        return Err(Rejection::TooManyWithdrawn);
    }
    state.withdrawn.retain(|_, until| *until > time);
    state.withdrawn.extend(gone);
    Ok(())
}
