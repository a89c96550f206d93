//! Members that are up and not in: who returns, and why not yet.

use super::Plan;
use super::view::{View, count, millis};
use crate::ids::ApplianceName;
use crate::model::Trigger;
use crate::observe::Verdict;
use crate::pool::{Member, PoolCommand, PoolReason, Standing};

pub(super) fn consider(view: &View<'_>, plan: &mut Plan) {
    let absent =
        |standing: &Standing| matches!(standing, Standing::New | Standing::Leaving(_) | Standing::Out(_));
    for (name, member) in view.members().filter(|(_, member)| absent(&member.standing)) {
        if !view.certainly(name, Verdict::Up) {
            if !matches!(member.standing, Standing::New) {
                plan.because(view.why(name));
            }
            continue;
        }
        match admission(view, name, member) {
            Ok(reason) => {
                return plan.change(view, name, vec![view.why(name), reason], PoolCommand::PutIn);
            }
            Err((None, reason)) => plan.because(reason),
            Err((Some(left), reason)) => plan.wait(left, reason),
        }
    }
}

/// Why a member that is certainly up is put in now; or why not, and until when.
fn admission(
    view: &View<'_>,
    name: &ApplianceName,
    member: &Member,
) -> Result<PoolReason, (Option<std::time::Duration>, PoolReason)> {
    let (policy, who) = (&view.pool.spec.policy, name.clone());
    if member.standing.out_by_operator() {
        let reason = match &member.standing {
            Standing::Leaving(change) => change.reason.clone(),
            Standing::Out(left) => left.reason.clone(),
            _ => String::new(),
        };
        return Err((None, PoolReason::OutByOperator { member: who, reason }));
    }
    if policy.put_in == Trigger::Manual {
        return Err((None, PoolReason::PutInManual { member: who }));
    }
    if matches!(member.standing, Standing::New) {
        return Ok(PoolReason::Joins { member: who });
    }
    let (serving, min_in) = (view.may_serve(), view.pool.spec.min_in());
    if serving < min_in {
        return Ok(PoolReason::Needed { member: who, serving: count(serving), min_in: count(min_in) });
    }
    let moves = usize::try_from(policy.flap_moves).unwrap_or(usize::MAX);
    if member.recently_left(view.time, policy.flap_window) >= moves {
        let window_ms = millis(policy.flap_window);
        let reason = PoolReason::Flaps { member: who, moves: policy.flap_moves, window_ms };
        // When the oldest of those that still count no longer does.
        let counted = member.left.iter().rev().nth(moves.saturating_sub(1));
        return Err((counted.and_then(|at| view.remaining(*at, policy.flap_window)), reason));
    }
    match view.remaining(member.since, policy.return_after) {
        Some(left) => Err((Some(left), PoolReason::Stabilising { member: who, remaining_ms: millis(left) })),
        None => Ok(PoolReason::Stable { member: who }),
    }
}
