//! The first appliance of a new group.

use super::plan::Plan;
use super::view::{View, millis};
use crate::command::OperationKind;
use crate::model::Trigger;
use crate::observe::Verdict;
use crate::reason::Reason;

/// Considers a group without an active appliance: the preferred one if it is up, and another one
/// only when the preferred is known not to be, or had its time to come up.
pub(super) fn consider(view: &View<'_>, plan: &mut Plan) {
    let group = view.group;
    plan.because(Reason::NotActivated);
    if group.mode == Trigger::Manual {
        return plan.because(Reason::ManualMode);
    }
    if group.frozen.is_some() {
        return plan.because(Reason::Frozen);
    }
    let fit =
        group.standbys().filter(|name| !group.in_maintenance(name) && view.certainly(name, Verdict::Up));
    // One that nothing is announced for, if there is one.
    let (announced, free): (Vec<_>, Vec<_>) = fit.partition(|name| group.notices(name).next().is_some());
    let Some(to) = free.into_iter().chain(announced).next() else {
        group.standbys().for_each(|name| plan.because(view.why(name)));
        if group.standbys().all(|name| view.certainly(name, Verdict::Down)) {
            plan.because(Reason::BothDown);
            plan.hold(Reason::BothDown);
        }
        return;
    };
    plan.no_hold();
    if let Some(preferred) = group.preferred().filter(|p| *p != to) {
        let announced = group.notices(preferred).next().is_some();
        let out = announced || group.in_maintenance(preferred) || view.certainly(preferred, Verdict::Down);
        let patience = group.spec.policy.failover_wait.max(view.settle(preferred));
        if !out && let Some(left) = view.remaining(view.since(to), patience) {
            let (appliance, remaining_ms) = (preferred.clone(), millis(left));
            return plan.wait(left, Reason::WaitingForPreferred { appliance, remaining_ms });
        }
        plan.because(view.why(preferred));
    }
    plan.because(view.why(to));
    plan.start(view, OperationKind::Activation, to, None);
}
