//! `decide(state, observations, now) -> Decision`.
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    command::{CommandBody, OperationKind, StartOperation},
    ids::{ApplianceName, GroupName, NodeId},
    observe::VantageReport,
    reason::Reason,
    state::State,
    time::{Mono, Now},
};

/// What the leader has seen, from every vantage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observations {
    /// All coordinators that vote: the denominators of every majority.
    pub vantages: BTreeSet<NodeId>,
    /// The newest report of each.
    pub reports: BTreeMap<NodeId, VantageReport>,
}

/// What to propose, why or why not, and when to look again at the latest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// In this order.
    pub propose: Vec<CommandBody>,
    /// Per group: why it moves, or why it does not.
    pub reasons: BTreeMap<GroupName, Vec<Reason>>,
    /// When something will change by the passing of time alone.
    pub next_wakeup: Option<Mono>,
}

/// Decides what to propose. Level-triggered: called again at any time, it gives the same answer
/// for the same inputs.
pub fn decide(_state: &State, _observations: &Observations, _now: Now) -> Decision {
    Decision::default()
}

/// A move that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveRequest {
    /// The group.
    pub group: GroupName,
    /// Switchover, forced switchover or failback.
    pub kind: OperationKind,
    /// Where to; `None` picks the best standby (for a failback: the preferred appliance).
    pub to: Option<ApplianceName>,
    /// The operator's reason.
    pub reason: String,
}

/// Checks an operator's request against the state and the observations.
///
/// # Errors
/// The reasons why not, each a sentence.
pub fn admit(_state: &State, _observations: &Observations, _now: Now, _request: &MoveRequest) -> Result<StartOperation, Vec<Reason>> {
    Err(Vec::new())
}
