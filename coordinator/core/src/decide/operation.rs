//! A running operation: whether its target still lives, and whether it takes too long.

use super::failover;
use super::plan::Plan;
use super::view::View;
use crate::command::OperationKind;
use crate::observe::Verdict;
use crate::reason::Reason;
use crate::state::Operation;

pub(super) fn watch(view: &View<'_>, plan: &mut Plan, running: &Operation) {
    let (operation, to) = (running.id, running.to.clone());
    plan.because(Reason::OperationRunning { operation, to: to.clone() });
    // A forced move goes to where the operator said, dead or not.
    if running.kind != OperationKind::ForcedSwitchover && view.certainly(&running.to, Verdict::Down) {
        plan.because(Reason::OperationTargetDown { operation, to });
        plan.because(view.why(&running.to));
        return failover::replace(view, plan, &running.to, Some(operation));
    }
    let limit = view.group.spec.policy.operation_timeout;
    match view.remaining(running.started, limit) {
        Some(left) => {
            plan.look_again_in(left);
            plan.no_hold();
        }
        None => {
            let reason = Reason::OperationStalled { operation, to };
            plan.because(reason.clone());
            plan.hold(reason);
        }
    }
}
