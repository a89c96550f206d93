//! What operators ask for, and the answers to it.

use coordinator_core::ids::{ApplianceName, NodeId, OperationId, Token};
use coordinator_core::model::Trigger;
use serde::{Deserialize, Serialize};

use super::history::HistoryEvent;

/// `POST /v1/groups/{group}/switchover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchoverRequest {
    /// The appliance to move to; the best standby when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ApplianceName>,
    /// Why. 1 to [`MAX_REASON`](super::MAX_REASON) bytes; it is recorded.
    pub reason: String,
    /// Move even over failing checks. Recorded as a forced switchover.
    #[serde(default)]
    pub force: bool,
    /// Only say what would be done: nothing is written, neither log nor cloud. The answer is then
    /// 200 with a [`DryRun`](super::DryRun).
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/groups/{group}/failback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailbackRequest {
    /// Why.
    pub reason: String,
    /// Only say what would be done: see [`SwitchoverRequest::dry_run`].
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/groups/{group}/mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    /// `automatic` or `manual`.
    pub mode: Trigger,
    /// Why.
    pub reason: String,
}

/// `POST /v1/groups/{group}/unfreeze`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnfreezeRequest {
    /// Why.
    pub reason: String,
}

/// `POST /v1/groups/{group}/appliances/{appliance}/maintenance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceRequest {
    /// Into maintenance, or out of it.
    pub enabled: bool,
    /// Why.
    pub reason: String,
}

/// `POST /v1/groups/{group}/appliances/{appliance}/confirm-off`: an operator has made sure that the
/// appliance is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOffRequest {
    /// The group's token, as the operator saw it: a newer grant voids the word.
    pub token: Token,
    /// How the operator made sure. 1 to [`MAX_REASON`](super::MAX_REASON) bytes; it is recorded.
    pub reason: String,
}

/// `POST /v1/cluster/transfer-leadership`. It has no body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    /// The new leader.
    pub leader: NodeId,
}

/// Query of every read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadOptions {
    /// How fresh.
    #[serde(default)]
    pub consistency: Consistency,
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Everything acknowledged before the read is in the answer: the leader confirms with a
    /// quorum that it still leads.
    #[default]
    Linearizable,
    /// What the asked node has; see the header [`AGE_MS`](super::AGE_MS).
    Stale,
}

/// 202: a move was committed and runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Look for it at `/v1/operations/{operation}`.
    pub operation: OperationId,
}

/// 200: a change was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What it did; empty when everything was so already.
    pub events: Vec<HistoryEvent>,
}
