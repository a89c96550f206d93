//! Leaving an active appliance that is up, because something is announced to happen to it.

use super::failover::{Fitness, fitness, flap_budget, not_by_itself};
use super::plan::Plan;
use super::view::{View, millis};
use crate::command::OperationKind;
use crate::ids::ApplianceName;
use crate::notice::{Notice, NoticeKind};
use crate::reason::Reason;

/// Considers a group whose active appliance is up. Returns whether it is to leave it now, and then
/// has done what can be done.
pub(super) fn consider(view: &View<'_>, plan: &mut Plan, active: &ApplianceName) -> bool {
    let group = view.group;
    let Some((source, notice)) = group.drain_due(active, view.time) else {
        let next = group.draining(active).min_by_key(|(_, notice)| notice.begins());
        if let Some((source, notice)) = next {
            plan.because(Reason::Announced { appliance: active.clone(), kind: notice.kind, source });
            let left = group.drains_from(notice).since(view.time);
            let appliance = active.clone();
            plan.wait(left, Reason::DrainsLater { appliance, remaining_ms: millis(left) });
        }
        return false;
    };
    plan.because(Reason::Announced { appliance: active.clone(), kind: notice.kind, source });
    if let Some(reason) = not_by_itself(view) {
        plan.because(reason.clone());
        stays(plan, active, notice.kind);
        plan.hold(reason);
        return true;
    }
    let Some(to) = choose(view, plan, active, notice) else { return true };
    if group.flap_budget_spent(view.time) {
        // The budget is kept for what has to be: nothing is frozen, so a failover that is really
        // needed still finds the group free once the window has moved on.
        if let Some(oldest) = group.automatic_moves.front()
            && let Some(left) = view.remaining(*oldest, group.spec.policy.flap_window)
        {
            plan.look_again_in(left);
        }
        let reason = flap_budget(view);
        plan.because(reason.clone());
        stays(plan, active, notice.kind);
        plan.hold(reason);
        return true;
    }
    plan.because(view.why(to));
    plan.start(view, OperationKind::Switchover, to, None);
    true
}

/// Said whenever it is certain that nothing will be done: the agent that waits to be left reads it.
fn stays(plan: &mut Plan, active: &ApplianceName, kind: NoticeKind) {
    plan.because(Reason::StaysAnnounced { appliance: active.clone(), kind });
}

/// The first standby that can be promoted and is not in for the same, or sooner. One that will have
/// been through it by then is waited for.
fn choose<'a>(
    view: &View<'a>,
    plan: &mut Plan,
    active: &ApplianceName,
    announced: &Notice,
) -> Option<&'a ApplianceName> {
    let mut open = false;
    for standby in view.group.standbys() {
        match fitness(view, standby, active) {
            Fitness::Fit => match view.group.disturbed_with(standby, active) {
                None => return Some(standby),
                Some((source, notice)) => {
                    open |= notice.ends().is_some_and(|over| over <= announced.begins());
                    let (appliance, kind) = (standby.clone(), notice.kind);
                    plan.because(Reason::StandbyAnnounced { appliance, kind, source });
                }
            },
            Fitness::Unfit(reason) => plan.because(reason),
            Fitness::NotYet(reason, left) => {
                open = true;
                plan.because(reason);
                if let Some(left) = left {
                    plan.look_again_in(left);
                }
            }
        }
    }
    if !open {
        stays(plan, active, announced.kind);
        plan.hold(Reason::StaysAnnounced { appliance: active.clone(), kind: announced.kind });
    }
    None
}
