//! Declaring and removing groups.

use super::{About, Log, Rejection, paths, quarantine, reliance};
use crate::event::{EventBody, Level};
use crate::ids::GroupName;
use crate::model::GroupSpec;
use crate::pool::{self, PoolRejection, PoolSpec};
use crate::state::{Appliance, Group, State};
use crate::time::WallTime;
use crate::validate::{self, SpecFault};

pub(super) fn put(state: &mut State, log: &mut Log, spec: &GroupSpec) -> Result<(), Rejection> {
    let before = state.groups.get(&spec.name);
    if before.is_some_and(|g| g.spec == *spec) {
        return Ok(());
    }
    let mut faults = validate::group(spec);
    faults.extend(validate::against(spec, state.groups.values().map(|g| &g.spec)));
    faults.extend(pool::validate::group_against(spec, state.pools.values().map(|p| &p.spec)));
    if !faults.is_empty() {
        return Err(Rejection::InvalidGroup { group: spec.name.clone(), faults });
    }
    if let Some(before) = before {
        replaceable(before, spec)?;
    }
    quarantine::declarable(state, before, spec)?;
    let gone = before.map(|group| quarantine::given_up(group, Some(spec), state.time));
    quarantine::withdraw(state, gone.unwrap_or_default())?;
    declare(state, log, spec);
    Ok(())
}

/// All or nothing: a fault in one group or pool refuses them all. `before` is the state's time before
/// this command: only a log that never held one has none.
pub(super) fn seed(
    state: &mut State,
    log: &mut Log,
    before: WallTime,
    specs: &[GroupSpec],
    pools: &[PoolSpec],
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
    for (i, spec) in pools.iter().enumerate() {
        let mut faults = pool::apply::faults(spec, pools, specs);
        if pools.iter().take(i).any(|earlier| earlier.name == spec.name) {
            let rule = "must be unique in the cluster".to_owned();
            faults.push(SpecFault { path: "name".to_owned(), value: spec.name.to_string(), rule });
        }
        if !faults.is_empty() {
            return Err(PoolRejection::Invalid { pool: spec.name.clone(), faults }.into());
        }
    }
    specs.iter().for_each(|spec| declare(state, log, spec));
    pools.iter().for_each(|spec| pool::apply::declare(state, log, spec));
    Ok(())
}

pub(super) fn remove(state: &mut State, log: &mut Log, name: &GroupName) -> Result<(), Rejection> {
    let unknown = || Rejection::UnknownGroup { group: name.to_string() };
    let group = state.groups.get(name).ok_or_else(unknown)?;
    at_rest(group)?;
    reliance::check(group, None)?;
    let gone = quarantine::given_up(group, None, state.time);
    quarantine::withdraw(state, gone)?;
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
