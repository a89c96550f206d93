//! What a move would do: the answer to a request with `dry_run`.

use coordinator_core::command::OperationKind;
use coordinator_core::ids::{ApplianceName, BindingName, GroupName};
use serde::{Deserialize, Serialize};

use crate::difference::Difference;

/// What a move would do if it were asked for now. Nothing was written, neither log nor cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// The group.
    pub group: GroupName,
    /// What kind of move.
    pub kind: OperationKind,
    /// Who is active.
    pub from: Option<ApplianceName>,
    /// Who would be; absent when it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ApplianceName>,
    /// Why it would be refused: one sentence each. Empty when it would start.
    pub refused: Vec<String>,
    /// Why it would be made, the checks that it would be forced over among it.
    pub because: Vec<String>,
    /// What would be waited for before anything is granted or written.
    pub first: Vec<String>,
    /// What would be changed: all parts side by side.
    pub parts: Vec<PlannedPart>,
    /// How long it would take, by earlier moves.
    pub estimate: MoveEstimate,
}

/// Bindings that are moved together, because they share resources, or one by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPart {
    /// Which.
    pub bindings: Vec<BindingName>,
    /// In a sentence.
    pub what: String,
    /// The writes: one wave after the other, each wave all at once. The token is the one that the
    /// move would have if it started now.
    pub waves: Vec<Vec<PlannedWrite>>,
    /// Why the writes are not known, or what stands against them.
    pub problems: Vec<String>,
}

/// One conditional write of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWrite {
    /// The resource, by the adapter's own id.
    pub resource: String,
    /// What it is for.
    pub what: String,
    /// For which bindings.
    pub bindings: Vec<BindingName>,
    /// Everything that would change on it.
    pub changes: Vec<Difference>,
}

/// How long a move would take, by the recorded timings of completed ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveEstimate {
    /// All of it: the longest of its steps. Absent when a step has no recorded timings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Timings>,
    /// One per binding, in the declared order.
    pub steps: Vec<StepEstimate>,
}

/// How long one binding would take, from the start of the move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEstimate {
    /// Which.
    pub binding: BindingName,
    /// Its kind, such as `public-ip`.
    pub kind: String,
    /// Absent when there are no recorded timings of that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// Recorded timings of one kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// How many; the fewest of the steps, for a whole move.
    pub samples: u32,
    /// The middle one.
    pub median_ms: u64,
    /// The longest.
    pub worst_ms: u64,
}
