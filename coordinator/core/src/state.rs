//! What every node knows after applying the same commands.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{Actor, OperationKind, ReleaseProof};
use crate::ids::{ApplianceName, BindingName, GroupName, OperationId, Token};
use crate::model::{GroupSpec, Trigger};
use crate::observe::{Evidence, Verdict};
use crate::reason::Reason;
use crate::time::{WallTime, millis};

/// Ended operations kept per group; the history keeps their events for longer.
pub const KEPT_OPERATIONS: usize = 50;

/// The replicated state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The newest time seen in a command: never goes back.
    pub time: WallTime,
    /// By name.
    pub groups: BTreeMap<GroupName, Group>,
}

impl State {
    /// The group and the declaration of an appliance, by the appliance's name alone: an
    /// appliance belongs to one group.
    pub fn group_of(&self, appliance: &ApplianceName) -> Option<&Group> {
        self.groups.values().find(|g| g.spec.appliance(appliance).is_some())
    }

    /// An operation, running or ended, with its group.
    pub fn operation(&self, id: OperationId) -> Option<(&Group, &Operation)> {
        self.groups.values().find_map(|g| {
            let all = g.operation.iter().chain(g.ended.iter());
            all.into_iter().find(|o| o.id == id).map(|o| (g, o))
        })
    }
}

/// A group as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As declared.
    pub spec: GroupSpec,
    /// The log index of the newest declaration.
    pub revision: u64,
    /// Whether it moves by itself.
    pub mode: Trigger,
    /// Automatic moves are stopped, and why.
    pub frozen: Option<Reason>,
    /// The appliance with the active role, granted under `token`.
    pub active: Option<ApplianceName>,
    /// The fencing token of the newest grant.
    pub token: Token,
    /// Appliances that may still hold a lease under an older token. No grant to `active` while
    /// this is not empty.
    pub unreleased: BTreeMap<ApplianceName, Token>,
    /// What is known of each declared appliance.
    pub appliances: BTreeMap<ApplianceName, Appliance>,
    /// The running operation.
    pub operation: Option<Operation>,
    /// Ended operations, newest last, at most [`KEPT_OPERATIONS`].
    pub ended: VecDeque<Operation>,
    /// When the newest move ended.
    pub moved_at: Option<WallTime>,
    /// When automatic moves started, within the flap window, oldest first.
    pub automatic_moves: VecDeque<WallTime>,
    /// Why the group is held where it is, if it ought to move.
    pub hold: Option<Reason>,
    /// Differences between the log and the cloud, per binding.
    pub drift: BTreeMap<BindingName, String>,
}

/// What the log knows of an appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appliance {
    /// The recorded group verdict.
    pub verdict: Verdict,
    /// Since when.
    pub since: WallTime,
    /// In maintenance, and the operator's reason.
    pub maintenance: Option<String>,
}

/// One requested move, end to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The log index of its start: also its fencing token.
    pub id: OperationId,
    /// What kind of move.
    pub kind: OperationKind,
    /// Who was active before.
    pub from: Option<ApplianceName>,
    /// Who becomes active.
    pub to: ApplianceName,
    /// Who asked.
    pub actor: Actor,
    /// The operator's reason.
    pub reason: String,
    /// Why, in order.
    pub because: Vec<Reason>,
    /// What the vantages said at the start.
    pub evidence: Vec<Evidence>,
    /// When it started.
    pub started: WallTime,
    /// When and how it ended.
    pub ended: Option<(WallTime, Ending)>,
    /// When and how it became known that the old active holds no lease, where one is needed.
    pub released: Option<(WallTime, ReleaseProof)>,
    /// One per binding, in the declared order.
    pub steps: Vec<Step>,
}

impl Operation {
    /// Whether every step is done.
    pub fn all_done(&self) -> bool {
        self.steps.iter().all(|s| s.done.is_some())
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every binding points at the new active.
    Completed,
    /// A newer operation took over before it was done.
    Superseded(OperationId),
}

/// The move of one binding within an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which binding.
    pub binding: BindingName,
    /// When it was done.
    pub done: Option<WallTime>,
    /// Attempts recorded so far.
    pub attempts: u32,
    /// How long the newest attempt took.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
    /// What went wrong in the newest attempt.
    pub error: Option<String>,
}
