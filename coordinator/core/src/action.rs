//! What remains to be done, derived from committed state alone.
use crate::{
    ids::{ApplianceName, BindingName, GroupName, OperationId, Token},
    model::BindingSpec,
    state::State,
};

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
    /// `RecordStep` for the VIP `binding`.
    AwaitHold {
        /// The group.
        group: GroupName,
        /// The operation.
        operation: OperationId,
        /// The VIP.
        binding: BindingName,
        /// The new holder.
        to: ApplianceName,
    },
}

/// What remains to be done. Empty when every group is at rest.
pub fn pending_actions(_state: &State) -> Vec<Action> {
    Vec::new()
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
pub fn desired(_state: &State) -> Vec<Desired> {
    Vec::new()
}
