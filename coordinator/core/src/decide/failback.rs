//! The return to the preferred appliance, once it has proved stable.

use super::failover::flap_budget;
use super::plan::Plan;
use super::view::{View, millis};
use crate::command::OperationKind;
use crate::ids::ApplianceName;
use crate::model::Trigger;
use crate::observe::Verdict;
use crate::reason::Reason;

/// Considers a group whose active appliance is up.
pub(super) fn consider(view: &View<'_>, plan: &mut Plan, active: &ApplianceName) {
    let group = view.group;
    let Some(preferred) = group.preferred().filter(|p| *p != active) else { return };
    if let Some(reason) = not_by_itself(view) {
        return plan.because(reason);
    }
    if group.appliances.get(preferred).is_some_and(|known| known.path_failed) {
        return plan.because(Reason::PathFailedThere { appliance: preferred.clone() });
    }
    if group.in_maintenance(preferred) {
        return plan.because(Reason::StandbyInMaintenance { appliance: preferred.clone() });
    }
    if let Some((source, notice)) = group.notices(preferred).next() {
        let (appliance, kind) = (preferred.clone(), notice.kind);
        return plan.because(Reason::StandbyAnnounced { appliance, kind, source });
    }
    if !view.certainly(preferred, Verdict::Up) {
        return plan.because(view.why(preferred));
    }
    // Stable means both: up for that long, and that long after the group last moved.
    let start = group.moved_at.map_or(view.since(preferred), |moved| moved.max(view.since(preferred)));
    if let Some(left) = view.remaining(start, group.spec.policy.stabilisation) {
        let reason = Reason::WaitingToFailBack { appliance: preferred.clone(), remaining_ms: millis(left) };
        return plan.wait(left, reason);
    }
    if group.flap_budget_spent(view.time) {
        // A matter of comfort: it waits for the budget and freezes nothing, so that a failover
        // that is really needed still finds the group free.
        if let Some(oldest) = group.automatic_moves.front()
            && let Some(left) = view.remaining(*oldest, group.spec.policy.flap_window)
        {
            plan.look_again_in(left);
        }
        return plan.because(flap_budget(view));
    }
    plan.because(Reason::Preferred { appliance: preferred.clone() });
    plan.because(Reason::Stable { appliance: preferred.clone() });
    plan.start(view, OperationKind::Failback, preferred, None);
}

fn not_by_itself(view: &View<'_>) -> Option<Reason> {
    let group = view.group;
    if group.spec.policy.failback == Trigger::Manual {
        return Some(Reason::FailbackManual);
    }
    if group.mode == Trigger::Manual {
        return Some(Reason::ManualMode);
    }
    group.frozen.is_some().then_some(Reason::Frozen)
}
