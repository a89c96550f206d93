//! Declaring and removing pools.

use super::push;
use crate::apply::{Log, Rejection};
use crate::event::Level;
use crate::ids::{ApplianceName, PoolName};
use crate::pool::{Member, Pool, PoolEventBody, PoolRejection, PoolSpec, Standing, validate};
use crate::state::State;
use crate::validate::SpecFault;

pub(super) fn put(state: &mut State, log: &mut Log, spec: &PoolSpec) -> Result<(), Rejection> {
    let before = state.pools.get(&spec.name);
    if before.is_some_and(|pool| pool.spec == *spec) {
        return Ok(());
    }
    let pools = state.pools.values().map(|pool| &pool.spec);
    let faults = faults(spec, pools, state.groups.values().map(|group| &group.spec));
    if !faults.is_empty() {
        return Err(PoolRejection::Invalid { pool: spec.name.clone(), faults }.into());
    }
    if let Some(before) = before {
        replaceable(before, spec)?;
    }
    declare(state, log, spec);
    Ok(())
}

/// Everything that is wrong with a declaration, by itself and beside the others.
pub(crate) fn faults<'a>(
    spec: &PoolSpec,
    pools: impl IntoIterator<Item = &'a PoolSpec>,
    groups: impl IntoIterator<Item = &'a crate::model::GroupSpec>,
) -> Vec<SpecFault> {
    let mut faults = validate::pool(spec);
    faults.extend(validate::against(spec, pools, groups));
    faults
}

/// A member that is in and whose part changes is looked at anew. One that is out, or on its way,
/// would be lost sight of where it was.
fn replaceable(before: &Pool, spec: &PoolSpec) -> Result<(), Rejection> {
    for (name, member) in &before.members {
        let settled = matches!(member.standing, Standing::New | Standing::In { .. });
        if !settled && spec.member(name).is_some() && !same_part(&before.spec, spec, name) {
            let (pool, member) = (spec.name.clone(), name.clone());
            return Err(PoolRejection::MemberNotIn { pool, member }.into());
        }
    }
    Ok(())
}

/// Whether both declarations put a member into the same places.
fn same_part(before: &PoolSpec, after: &PoolSpec, member: &ApplianceName) -> bool {
    let part = |spec: &PoolSpec| {
        let sides = spec.sides().map(|(side, way)| {
            let (adapter, what, target) = way.part(member);
            (side, adapter.clone(), what.to_owned(), target.cloned())
        });
        sides.collect::<Vec<_>>()
    };
    part(before) == part(after)
}

pub(crate) fn declare(state: &mut State, log: &mut Log, spec: &PoolSpec) {
    let new = match state.pools.get_mut(&spec.name) {
        None => {
            let pool = Pool::new(spec.clone(), log.index, state.time);
            state.pools.insert(spec.name.clone(), pool);
            true
        }
        Some(pool) => {
            let mut before = std::mem::take(&mut pool.members);
            for declared in &spec.members {
                let name = &declared.name;
                let mut member = before.remove(name).unwrap_or_else(|| Member::unknown(state.time));
                if !same_part(&pool.spec, spec, name) {
                    member.standing = Standing::New;
                }
                pool.members.insert(name.clone(), member);
            }
            // What was compared with the cloud was the earlier declaration.
            pool.drift.clear();
            pool.spec = spec.clone();
            pool.revision = log.index;
            false
        }
    };
    push(log, Level::Info, &spec.name, None, PoolEventBody::Declared { new });
}

pub(super) fn remove(state: &mut State, log: &mut Log, name: &PoolName) -> Result<(), Rejection> {
    if state.pools.remove(name).is_none() {
        return Err(PoolRejection::UnknownPool { pool: name.clone() }.into());
    }
    push(log, Level::Warning, name, None, PoolEventBody::Removed);
    Ok(())
}
