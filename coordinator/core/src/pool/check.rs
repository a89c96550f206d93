//! Internal consistency of pools: what `apply` promises, said once more from the outside.

use super::{Pool, Standing, validate};
use crate::state::State;

/// What is inconsistent, in words.
pub(crate) fn check(state: &State) -> Vec<String> {
    state
        .pools
        .iter()
        .flat_map(|(name, pool)| {
            let mut faults: Vec<String> = validate::pool(&pool.spec)
                .iter()
                .map(|fault| format!("its declaration is faulty: {fault}"))
                .collect();
            if *name != pool.spec.name {
                faults.push(format!("is declared as {}", pool.spec.name));
            }
            let declared: Vec<_> = pool.spec.members.iter().map(|member| &member.name).collect();
            if pool.members.len() != declared.len()
                || declared.iter().any(|name| !pool.members.contains_key(*name))
            {
                faults.push("the known members are not the declared ones".to_owned());
            }
            faults.extend(members(state, pool));
            faults.into_iter().map(move |fault| format!("pool {name}: {fault}"))
        })
        .collect()
}

fn members(state: &State, pool: &Pool) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, member) in &pool.members {
        let (token, sides) = match &member.standing {
            Standing::New => (None, None),
            Standing::In { token, .. } => (Some(*token), None),
            Standing::Out(left) => (Some(left.token), None),
            Standing::Leaving(change) | Standing::Returning(change) => {
                if change.steps.iter().all(|step| step.done.is_some()) {
                    faults.push(format!("the change of {name} is done and still runs"));
                }
                let sides: Vec<_> = change.steps.iter().map(|step| step.side).collect();
                (Some(change.token), Some(sides))
            }
        };
        if token.is_some_and(|token| token > pool.token) {
            faults.push(format!("{name} was changed after the pool's newest token"));
        }
        if sides.is_some_and(|sides| sides != pool.spec.sides().map(|(side, _)| side).collect::<Vec<_>>()) {
            faults.push(format!("the steps of {name} are not the declared sides"));
        }
        if member.since > state.time || member.left.iter().any(|at| *at > state.time) {
            faults.push(format!("a time of {name} lies after the state's own"));
        }
    }
    for placement in pool.drift.keys() {
        if pool.spec.member(&placement.member).is_none() || pool.spec.side(placement.side).is_none() {
            faults.push(format!("drift of {placement}, which is not declared"));
        }
    }
    faults
}

/// What went back from one state to a later one, in words.
pub(crate) fn check_progress(earlier: &State, later: &State) -> Vec<String> {
    let pairs =
        earlier.pools.iter().filter_map(|(name, before)| Some((name, before, later.pools.get(name)?)));
    let back =
        pairs.filter(|(_, before, after)| after.token < before.token && after.revision == before.revision);
    back.map(|(name, ..)| format!("pool {name}: its token went back")).collect()
}
