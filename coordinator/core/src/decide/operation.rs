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
        return failover::replace(view, plan, &running.to, view.since(&running.to), Some(operation));
    }
    let failing = fencing(view, plan);
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
    // Says more than that it takes long.
    if let Some(reason) = failing {
        plan.hold(reason);
    }
}

/// Says what the operation waits for; returns why it is held when that fails.
fn fencing(view: &View<'_>, plan: &mut Plan) -> Option<Reason> {
    let (appliance, fence) = view.group.waits_for_fencing()?;
    let appliance = appliance.clone();
    let spec = view.group.spec.appliance(&appliance).and_then(|a| a.fence.as_ref());
    let how = spec.map_or_else(String::new, ToString::to_string);
    let (attempts, error) = (fence.attempts, fence.error.clone());
    let (who, tool) = (appliance.clone(), how.clone());
    plan.because(Reason::WaitsForFencing { appliance: who, how: tool, attempts, error: error.clone() });
    error.map(|error| Reason::FencingFails { appliance, how, error })
}
