//! What remains to be done for pools, derived from committed state alone.

use std::collections::BTreeSet;

use super::{Pool, Side, Standing, Way};
use crate::ids::{ApplianceName, PoolName, Token};
use crate::state::State;

/// A change of one member that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placing {
    /// The pool.
    pub pool: PoolName,
    /// The member.
    pub member: ApplianceName,
    /// What is written on the resources.
    pub token: Token,
    /// Whether it is put in, or taken out.
    pub inside: bool,
    /// The sides that have not changed yet, ingress first.
    pub sides: Vec<(Side, Way)>,
    /// The other members that are in, and up by the recorded verdict: one of them must be found in
    /// the load balancer before this one is taken out of it.
    pub others: BTreeSet<ApplianceName>,
}

/// The changes that are under way.
///
/// A departure is left as it is while nobody else is in and up: what was decided when somebody was
/// is not carried on when nobody is any more.
pub fn pending(state: &State) -> Vec<Placing> {
    let pools = state.pools.values();
    pools.flat_map(|pool| pool.spec.members.iter().filter_map(|member| placing(pool, &member.name))).collect()
}

/// The change of one member, if it is to go on.
fn placing(pool: &Pool, name: &ApplianceName) -> Option<Placing> {
    let member = pool.members.get(name)?;
    let change = member.standing.change()?;
    let inside = matches!(member.standing, Standing::Returning(_));
    let others: BTreeSet<_> = pool.serving().filter(|other| *other != name).cloned().collect();
    if !inside && others.is_empty() {
        return None;
    }
    let open = change.steps.iter().filter(|step| step.done.is_none());
    let sides = open.filter_map(|step| Some((step.side, pool.spec.side(step.side)?.clone())));
    Some(Placing {
        pool: pool.spec.name.clone(),
        member: name.clone(),
        token: change.token,
        inside,
        sides: sides.collect(),
        others,
    })
}

/// Where a member must be found while no change of it is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The pool.
    pub pool: PoolName,
    /// The member.
    pub member: ApplianceName,
    /// The change that brought it there.
    pub token: Token,
    /// In or out.
    pub inside: bool,
    /// The side.
    pub side: Side,
    /// How the load balancer is told there.
    pub way: Way,
}

/// Every member at rest, on every side, to compare with the cloud.
pub fn placed(state: &State) -> Vec<Placed> {
    let members = state.pools.values().flat_map(|pool| pool.members.iter().map(move |entry| (pool, entry)));
    let at_rest = members.filter_map(|(pool, (name, member))| match &member.standing {
        Standing::In { token, .. } => Some((pool, name, *token, true)),
        Standing::Out(left) => Some((pool, name, left.token, false)),
        _ => None,
    });
    at_rest
        .flat_map(|(pool, name, token, inside)| {
            pool.spec.sides().map(move |(side, way)| Placed {
                pool: pool.spec.name.clone(),
                member: name.clone(),
                token,
                inside,
                side,
                way: way.clone(),
            })
        })
        .collect()
}
