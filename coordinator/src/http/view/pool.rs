//! Pools and their members.

use coordinator_api::v1::{MemberStanding, MemberStatus, PoolStatus, PoolSummary, SideStatus};
use coordinator_core::command::Actor;
use coordinator_core::observe::Verdict;
use coordinator_core::pool::{MemberSpec, Placement, Pool, PoolReason, Side, Standing};
use coordinator_core::state::State;

use super::cluster::at;
use super::group::{agent, vantages};
use crate::control_loop::Overview;

/// One line on a pool.
pub(in crate::http) fn pool_summary(pool: &Pool) -> PoolSummary {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let with = |fits: fn(&Standing) -> bool| pool.members.values().filter(|m| fits(&m.standing)).count();
    PoolSummary {
        name: pool.spec.name.clone(),
        token: pool.token,
        serving: count(pool.serving().count()),
        inside: count(with(|standing| matches!(standing, Standing::In { .. }))),
        up: count(pool.members.values().filter(|m| m.verdict == Verdict::Up).count()),
        size: count(pool.spec.members.len()),
        changing: count(with(|standing| standing.change().is_some())),
        hold: pool.hold.as_ref().map(ToString::to_string),
        drifting: count(pool.drift.len()),
    }
}

/// Everything about a pool.
pub(in crate::http) fn pool_status(state: &State, pool: &Pool, overview: &Overview) -> PoolStatus {
    let why = overview.pool_reasons.get(&pool.spec.name);
    PoolStatus {
        summary: pool_summary(pool),
        revision: pool.revision,
        why: why.into_iter().flatten().map(ToString::to_string).collect(),
        members: pool.spec.members.iter().map(|spec| member(state, pool, overview, spec)).collect(),
        spec: pool.spec.clone(),
    }
}

fn member(state: &State, pool: &Pool, overview: &Overview, spec: &MemberSpec) -> MemberStatus {
    let known = pool.members.get(&spec.name);
    let standing = known.map_or(&Standing::New, |member| &member.standing);
    let (token, since) = match standing {
        Standing::New => (None, None),
        Standing::In { token, since } => (Some(*token), Some(*since)),
        Standing::Out(left) => (Some(left.token), Some(left.since)),
        Standing::Leaving(change) | Standing::Returning(change) => (Some(change.token), Some(change.started)),
    };
    let (actor, reason, because) = asked(standing);
    MemberStatus {
        name: spec.name.clone(),
        address: spec.address,
        standing: word(standing),
        token,
        standing_since: since.map(at),
        actor,
        reason,
        because,
        half_applied: standing.change().is_some_and(|change| change.half_applied()),
        verdict: pool.verdict(&spec.name),
        since: at(known.map_or(state.time, |member| member.since)),
        sides: pool.spec.sides().map(|(side_of, _)| side(pool, spec, standing, side_of)).collect(),
        vantages: vantages(overview, &spec.name),
        agent: overview.agents.get(&spec.name).map(|seen| agent(overview, seen)),
    }
}

/// Who wanted it so, and why.
fn asked(standing: &Standing) -> (Option<Actor>, Option<String>, Vec<String>) {
    let (actor, reason, because) = match standing {
        Standing::New | Standing::In { .. } => return (None, None, Vec::new()),
        Standing::Out(left) => (&left.actor, &left.reason, &left.because),
        Standing::Leaving(change) | Standing::Returning(change) => {
            (&change.actor, &change.reason, &change.because)
        }
    };
    let reason = Some(reason.clone()).filter(|reason| !reason.is_empty());
    (Some(actor.clone()), reason, because.iter().map(PoolReason::to_string).collect())
}

fn word(standing: &Standing) -> MemberStanding {
    match standing {
        Standing::New => MemberStanding::New,
        Standing::In { .. } => MemberStanding::In,
        Standing::Leaving(_) => MemberStanding::Leaving,
        Standing::Out(_) => MemberStanding::Out,
        Standing::Returning(_) => MemberStanding::Returning,
    }
}

/// A side that a change has not reached yet is where it was, which is not known of a change that
/// took over from another.
fn side(pool: &Pool, spec: &MemberSpec, standing: &Standing, side: Side) -> SideStatus {
    let step = standing.change().and_then(|change| change.steps.iter().find(|step| step.side == side));
    let inside = match (standing, step) {
        (Standing::In { .. }, _) => Some(true),
        (Standing::Out(_), _) => Some(false),
        (Standing::Leaving(_), Some(step)) if step.done.is_some() => Some(false),
        (Standing::Returning(_), Some(step)) if step.done.is_some() => Some(true),
        _ => None,
    };
    SideStatus {
        side,
        inside,
        attempts: step.map_or(0, |step| step.attempts),
        error: step.and_then(|step| step.error.clone()),
        drift: pool.drift.get(&Placement { member: spec.name.clone(), side }).cloned(),
    }
}
