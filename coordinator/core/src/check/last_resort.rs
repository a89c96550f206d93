//! Consistency of what is for the worst case: holders that go on without a quorum, and appliances
//! that are switched off.

use std::collections::BTreeSet;

use crate::ids::ApplianceName;
use crate::model::{Fencing, QuorumLoss};
use crate::state::Group;

pub(super) fn relying(group: &Group, say: &mut impl FnMut(String)) {
    for holder in &group.relies {
        if group.spec.appliance(holder).is_none() {
            say(format!("{holder} may rely on promises and is not declared"));
        }
    }
    if !group.relies.is_empty() && !group.spec.needs_lease() {
        say("promises may be relied on in a group without a lease".to_owned());
    }
    let active: BTreeSet<&ApplianceName> = group.active.iter().collect();
    let others = group.relies.iter().any(|holder| !active.contains(holder));
    if group.operation.is_none() && others {
        say(format!("at rest, and {:?} may rely on promises", group.relies));
    }
    let failsafe = group.spec.policy.quorum_loss == QuorumLoss::Failsafe;
    if let Some(active) = group.active.as_ref().filter(|a| failsafe && !group.relies.contains(*a)) {
        say(format!("the active {active} may rely on promises, and that is not known"));
    }
}

pub(super) fn fencing(group: &Group, say: &mut impl FnMut(String)) {
    if group.fencing.is_empty() {
        return;
    }
    if group.operation.is_none() {
        say("at rest with an appliance to be switched off".to_owned());
    }
    if group.spec.policy.fencing == Fencing::Never {
        say("an appliance is to be switched off against the policy".to_owned());
    }
    for (appliance, fence) in &group.fencing {
        if group.active.as_ref() == Some(appliance) {
            say(format!("the active {appliance} is to be switched off"));
        }
        if group.spec.appliance(appliance).is_none_or(|a| a.fence.is_none()) {
            say(format!("it is not declared how to switch {appliance} off"));
        }
        if (fence.attempts == 0) != fence.error.is_none() {
            say(format!(
                "{} attempts to switch {appliance} off, the newest: {:?}",
                fence.attempts, fence.error
            ));
        }
    }
}
