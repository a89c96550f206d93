//! `GET /v1/operations` and `GET /v1/operations/{id}`.

use coordinator_core::command::{Actor, OperationKind, ReleaseProof};
use coordinator_core::ids::{ApplianceName, BindingName, GroupName, OperationId, Token};
use coordinator_core::observe::Evidence;
use coordinator_core::state::{Ending, Traffic};
use serde::{Deserialize, Serialize};

use super::history::default_limit;
use super::request::Consistency;
use super::time::Timestamp;

/// Query of `GET /v1/operations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationFilter {
    /// Only of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Only running or only ended ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<OperationState>,
    /// At most this many, 1 to 500. Default 50.
    #[serde(default = "default_limit")]
    pub limit: u32,
    /// How fresh.
    #[serde(default)]
    pub consistency: Consistency,
}

impl Default for OperationFilter {
    fn default() -> Self {
        OperationFilter {
            group: None,
            state: None,
            limit: default_limit(),
            consistency: Consistency::default(),
        }
    }
}

/// Whether an operation still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Steps remain.
    Running,
    /// Completed or superseded.
    Ended,
}

/// `GET /v1/operations`: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationList {
    /// Newest first. Of ended operations each group keeps a bounded number; the history goes
    /// further back.
    pub operations: Vec<OperationView>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationView {
    /// Its id: the log index of its start.
    pub id: OperationId,
    /// The fencing token that it acts with.
    pub token: Token,
    /// Its group.
    pub group: GroupName,
    /// What kind of move.
    pub kind: OperationKind,
    /// Running or ended.
    pub state: OperationState,
    /// Who was active before.
    pub from: Option<ApplianceName>,
    /// Who becomes active.
    pub to: ApplianceName,
    /// Who asked.
    pub actor: Actor,
    /// The operator's reason.
    pub reason: String,
    /// Why, in order: one sentence each.
    pub because: Vec<String>,
    /// What the vantages said at the start.
    pub evidence: Vec<Evidence>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// From start to end, or until now.
    pub took_ms: u64,
    /// When and how the old active was proved to hold no lease.
    pub released: Option<ReleaseView>,
    /// One per binding, in the declared order.
    pub steps: Vec<StepView>,
    /// Once completed, in a group with path probes: whether traffic was seen to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficView>,
}

/// Whether traffic was seen to pass after a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficView {
    /// When it was recorded.
    pub at: Timestamp,
    /// Since the operation's start.
    pub after_ms: u64,
    /// Whether it was.
    pub outcome: Traffic,
}

/// The proof that the old active holds no lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// When it was recorded.
    pub at: Timestamp,
    /// Since the operation's start.
    pub after_ms: u64,
    /// How it is known.
    pub proof: ReleaseProof,
}

/// The move of one binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Which binding.
    pub binding: BindingName,
    /// When it was done.
    pub done: Option<Timestamp>,
    /// Since the operation's start, once done.
    pub after_ms: Option<u64>,
    /// Attempts recorded so far.
    pub attempts: u32,
    /// How long the newest attempt took.
    pub took_ms: u64,
    /// What went wrong in the newest attempt.
    pub error: Option<String>,
    /// Every call of every recorded attempt, oldest first. Empty in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallView>,
}

/// One call to a cloud or an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// What was called.
    pub call: String,
    /// What came of it.
    pub result: String,
    /// From request to answer.
    pub took_ms: u64,
}
