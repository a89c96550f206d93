//! What remains to be done, derived from committed state alone.
//!
//! A new leader asks the same question and gets the same answer, so it goes on exactly where the
//! old one stopped.

use crate::ids::{ApplianceName, BindingName, GroupName, OperationId, Token};
use crate::model::{BindingSpec, FenceSpec, QuorumLoss};
use crate::state::{Group, State};

/// Something that the leader does, and whose outcome it then proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Move a cloud binding, with `token` on the resource; then `RecordStep`.
    MoveBinding {
        /// The group.
        group: GroupName,
        /// The operation.
        operation: OperationId,
        /// The binding.
        binding: BindingSpec,
        /// Where it may point now.
        from: Option<ApplianceName>,
        /// Where it must point.
        to: ApplianceName,
    },
    /// Watch for the proof that `appliance` holds no lease older than `token`; then
    /// `RecordRelease`.
    AwaitRelease {
        /// The group.
        group: GroupName,
        /// The earlier holder.
        appliance: ApplianceName,
        /// The group's token.
        token: Token,
    },
    /// Watch for the agent of `to` to hold the lease under the operation's token; then
    /// `RecordStep` for the VIP or probe gate `binding`.
    AwaitHold {
        /// The group.
        group: GroupName,
        /// The operation.
        operation: OperationId,
        /// The VIP or probe gate.
        binding: BindingName,
        /// The new holder.
        to: ApplianceName,
    },
    /// Watch for the agent of `appliance` to act on `revision` or a later declaration; then
    /// `RecordAcknowledged`.
    AwaitAcknowledgement {
        /// The group.
        group: GroupName,
        /// Who may have relied on promises.
        appliance: ApplianceName,
        /// The group's declaration.
        revision: u64,
    },
    /// Switch `appliance` off; then `RecordFence`.
    Fence {
        /// The group.
        group: GroupName,
        /// The operation that needs it.
        operation: OperationId,
        /// The earlier active. Never the target of the operation.
        appliance: ApplianceName,
        /// Which demand this answers: [`Fence::asked`](crate::state::Fence::asked).
        asked: u64,
        /// How.
        spec: FenceSpec,
    },
}

/// What remains to be done, releases first. Empty when every group is at rest.
///
/// The actions do not depend on each other: the caller may do all of them at once.
pub fn pending_actions(state: &State) -> Vec<Action> {
    let mut actions = Vec::new();
    for group in state.groups.values() {
        let fenced_alone = group.fencing.keys().filter(|holder| !group.unreleased.contains_key(*holder));
        let releases = group.unreleased.keys().chain(fenced_alone).map(|holder| Action::AwaitRelease {
            group: group.spec.name.clone(),
            appliance: holder.clone(),
            token: group.token,
        });
        actions.extend(releases);
        acknowledgements(group, &mut actions);
        fences(group, &mut actions);
        moves(group, &mut actions);
    }
    actions
}

fn acknowledgements(group: &Group, actions: &mut Vec<Action>) {
    if group.spec.policy.quorum_loss == QuorumLoss::Drop {
        actions.extend(group.relies.iter().map(|holder| Action::AwaitAcknowledgement {
            group: group.spec.name.clone(),
            appliance: holder.clone(),
            revision: group.revision,
        }));
    }
}

fn fences(group: &Group, actions: &mut Vec<Action>) {
    let Some(operation) = &group.operation else { return };
    for (appliance, fence) in &group.fencing {
        let Some(spec) = group.spec.appliance(appliance).and_then(|a| a.fence.clone()) else { continue };
        actions.push(Action::Fence {
            group: group.spec.name.clone(),
            operation: operation.id,
            appliance: appliance.clone(),
            asked: fence.asked,
            spec,
        });
    }
}

fn moves(group: &Group, actions: &mut Vec<Action>) {
    let Some(operation) = &group.operation else { return };
    if group.waits_for_fencing().is_some() {
        return;
    }
    for step in operation.steps.iter().filter(|s| s.done.is_none()) {
        let Some(binding) = group.spec.binding(&step.binding) else { continue };
        let (group, to) = (group.spec.name.clone(), operation.to.clone());
        actions.push(if binding.kind.needs_lease() {
            Action::AwaitHold { group, operation: operation.id, binding: binding.name.clone(), to }
        } else {
            let from = operation.from.clone();
            Action::MoveBinding { group, operation: operation.id, binding: binding.clone(), from, to }
        });
    }
}

/// Where a cloud binding must point while its group is at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The group.
    pub group: GroupName,
    /// The newest grant.
    pub token: Token,
    /// The binding.
    pub binding: BindingSpec,
    /// Where it must point.
    pub active: ApplianceName,
}

/// The cloud bindings of every group at rest, to compare with the cloud.
pub fn desired(state: &State) -> Vec<Desired> {
    let at_rest = state.groups.values().filter(|g| g.operation.is_none());
    at_rest
        .filter_map(|g| g.active.as_ref().map(|active| (g, active)))
        .flat_map(|(group, active)| {
            let cloud = group.spec.bindings.iter().filter(|b| !b.kind.needs_lease());
            cloud.map(move |binding| Desired {
                group: group.spec.name.clone(),
                token: group.token,
                binding: binding.clone(),
                active: active.clone(),
            })
        })
        .collect()
}
