//! The active appliance: whether it lives, and what replaces it when it does not.

use std::time::Duration;

use super::plan::Plan;
use super::view::{View, millis};
use super::{drain, failback};
use crate::command::{CommandBody, OperationKind};
use crate::ids::{ApplianceName, OperationId};
use crate::model::Trigger;
use crate::observe::Verdict;
use crate::reason::Reason;
use crate::state::Ending;
use crate::time::WallTime;

/// A group at rest.
pub(super) fn consider(view: &View<'_>, plan: &mut Plan, active: &ApplianceName) {
    if view.certainly(active, Verdict::Down) {
        plan.because(view.why(active));
        if forced_onto_dead(view, active) {
            let reason = Reason::ForcedByOperator { appliance: active.clone() };
            plan.because(reason.clone());
            plan.hold(reason);
            return;
        }
        return replace(view, plan, active, view.since(active), None);
    }
    if view.certainly(active, Verdict::Up) {
        plan.no_hold();
        plan.because(Reason::ActiveUp { appliance: active.clone() });
        if path_down(view, active).is_some_and(|down| leave_for_the_path(view, plan, active, down)) {
            return;
        }
        if drain::consider(view, plan, active) {
            return;
        }
        return failback::consider(view, plan, active);
    }
    // Nothing follows from what is not known. A hold stands until the active is known to be up.
    plan.because(view.why(active));
}

/// The path through `active` is certainly down.
fn path_down(view: &View<'_>, active: &ApplianceName) -> Option<Reason> {
    let seen = &view.path()?.seen;
    let (appliance, vantages, of) = (active.clone(), seen.vantages_agreeing, seen.of);
    let certain = seen.verdict == Verdict::Down && view.group.path.verdict == Verdict::Down;
    certain.then_some(Reason::PathDown { appliance, vantages, of })
}

/// The active appliance lives, and nothing gets through it. Returns whether that is a reason to
/// leave it, and then does what can be done.
fn leave_for_the_path(view: &View<'_>, plan: &mut Plan, active: &ApplianceName, down: Reason) -> bool {
    plan.because(down);
    if !view.group.spec.policy.path_decides {
        return false;
    }
    if view.group.path.down_before_move {
        let reason = Reason::PathDownBeforeMove { appliance: active.clone() };
        plan.because(reason.clone());
        plan.hold(reason);
        return false;
    }
    replace(view, plan, active, view.group.path.since, None);
    true
}

/// Whether the newest move was forced onto an appliance that has been down ever since before it:
/// to move away again would undo the operator's word at once.
fn forced_onto_dead(view: &View<'_>, active: &ApplianceName) -> bool {
    view.group.ended.back().is_some_and(|o| {
        o.kind == OperationKind::ForcedSwitchover
            && o.to == *active
            && matches!(o.ended, Some((_, Ending::Completed)))
            && view.since(active) <= o.started
    })
}

/// Moves away from `dead`, which has the active role and has certainly been down `since` then, if
/// that is allowed and there is somewhere to go.
pub(super) fn replace(
    view: &View<'_>,
    plan: &mut Plan,
    dead: &ApplianceName,
    since: WallTime,
    supersedes: Option<OperationId>,
) {
    let policy = &view.group.spec.policy;
    if let Some(left) = view.remaining(since, policy.failover_wait) {
        let reason = Reason::WaitingToFailOver { appliance: dead.clone(), remaining_ms: millis(left) };
        return plan.wait(left, reason);
    }
    if let Some(reason) = not_by_itself(view) {
        plan.because(reason.clone());
        return plan.hold(reason);
    }
    let Some(to) = choose(view, plan, dead) else { return };
    if view.group.flap_budget_spent(view.time) {
        let reason = flap_budget(view);
        plan.because(reason.clone());
        let group = view.group.spec.name.clone();
        return plan.propose(CommandBody::Freeze { group, reason });
    }
    plan.because(view.why(to));
    plan.start(view, OperationKind::Failover, to, supersedes);
}

pub(super) fn not_by_itself(view: &View<'_>) -> Option<Reason> {
    let group = view.group;
    if group.mode == Trigger::Manual {
        return Some(Reason::ManualMode);
    }
    if group.frozen.is_some() {
        return Some(Reason::Frozen);
    }
    (group.spec.policy.failover == Trigger::Manual).then_some(Reason::FailoverManual)
}

pub(super) fn flap_budget(view: &View<'_>) -> Reason {
    let policy = &view.group.spec.policy;
    Reason::FlapBudgetSpent { moves: policy.flap_moves, window_ms: millis(policy.flap_window) }
}

/// Whether a standby can be promoted.
pub(super) enum Fitness {
    Fit,
    /// No, and that is certain.
    Unfit(Reason),
    /// Not now; time or a report will tell.
    NotYet(Reason, Option<Duration>),
}

/// The first standby that can be promoted, one that nothing is announced for before all others. If
/// there is none, the plan says why of each.
fn choose<'a>(view: &View<'a>, plan: &mut Plan, dead: &ApplianceName) -> Option<&'a ApplianceName> {
    let mut unfit = Vec::new();
    let mut open = false;
    // What is only announced is better than what is dead.
    let mut announced = None;
    for standby in view.group.standbys() {
        match fitness(view, standby, dead) {
            Fitness::Fit if view.group.notices(standby).next().is_none() => return Some(standby),
            Fitness::Fit => announced = announced.or(Some(standby)),
            Fitness::Unfit(reason) => unfit.push(reason),
            Fitness::NotYet(reason, left) => {
                open = true;
                plan.because(reason);
                if let Some(left) = left {
                    plan.look_again_in(left);
                }
            }
        }
    }
    if announced.is_some() {
        return announced;
    }
    let all_down = unfit.iter().all(|r| matches!(r, Reason::StandbyDown { .. }));
    let telling = unfit.iter().find(|r| !matches!(r, Reason::StandbyDown { .. })).cloned();
    unfit.into_iter().for_each(|reason| plan.because(reason));
    if !open {
        let all_down = all_down && view.group.verdict(dead) == Verdict::Down;
        let hold = if all_down { Reason::BothDown } else { telling.unwrap_or(Reason::NoStandby) };
        if all_down {
            plan.because(hold.clone());
        }
        plan.hold(hold);
    }
    None
}

pub(super) fn fitness(view: &View<'_>, standby: &ApplianceName, dead: &ApplianceName) -> Fitness {
    let appliance = standby.clone();
    if view.group.in_maintenance(standby) {
        return Fitness::Unfit(Reason::StandbyInMaintenance { appliance });
    }
    match view.group.verdict(standby) {
        Verdict::Down => return Fitness::Unfit(Reason::StandbyDown { appliance }),
        Verdict::Unknown => return Fitness::Unfit(Reason::StandbyUnknown { appliance }),
        Verdict::Up => {}
    }
    if view.seen(standby) != Verdict::Up {
        return Fitness::NotYet(view.why(standby), None);
    }
    // After a loss of sight of everything, the first appliance seen again is not the only one
    // alive: the active is given the time that it takes to be seen as well.
    match view.remaining(view.since(standby), view.settle(dead)) {
        Some(left) => {
            let reason = Reason::StandbyJustUp { appliance, remaining_ms: millis(left) };
            Fitness::NotYet(reason, Some(left))
        }
        None => Fitness::Fit,
    }
}
