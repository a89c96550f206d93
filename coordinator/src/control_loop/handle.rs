//! What the rest of the node asks of the control loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator_api::agent::{AgentReply, AgentReport};
use coordinator_core::decide::{MoveRequest, Observations};
use coordinator_core::ids::{ApplianceName, GroupName, NodeId, OperationId};
use coordinator_core::observe::Sight;
use coordinator_core::reason::Reason;
use coordinator_core::time::Mono;
use serde::{Deserialize, Serialize};

/// What the control loop of this node knows beyond the log. On a follower only its own sights
/// and the agents' reports are filled; the leader has everything.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// Taken at.
    pub now: Mono,
    /// Every vantage's newest report.
    pub observations: Observations,
    /// Why each group moves or does not, from the newest decision.
    pub reasons: BTreeMap<GroupName, Vec<Reason>>,
    /// The newest report of each agent to this node.
    pub agents: BTreeMap<ApplianceName, AgentSeen>,
}

/// An agent's newest report.
#[derive(Debug, Clone)]
pub struct AgentSeen {
    /// When it came in.
    pub received: Mono,
    /// What it said.
    pub report: AgentReport,
}

/// What a follower tells the leader of what it sees: on every change, and regularly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VantageUpdate {
    /// Who looks.
    pub vantage: NodeId,
    /// Rises with every update of one life of the vantage.
    pub seq: u64,
    /// How old the view is already, in milliseconds.
    pub age_ms: u64,
    /// What it sees.
    pub sights: Vec<Sight>,
}

/// Why an operator's move was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveRefused {
    /// This node does not lead.
    #[error("this coordinator does not lead")]
    NotLeader(Option<NodeId>),
    /// The checks say no; each reason is a sentence.
    #[error("refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Reason>),
    /// The log refused it: something changed in between.
    #[error("refused: {0}")]
    Rejected(coordinator_core::apply::Rejection),
    /// It could not be committed in time: it may still happen.
    #[error("could not be committed in time; look at the status before asking again")]
    Unknown,
}

/// A cheap handle to the control loop.
#[derive(Clone)]
pub struct ControlHandle {
    overview: Arc<Overview>,
}

impl ControlHandle {
    /// The newest overview.
    pub fn overview(&self) -> Arc<Overview> {
        self.overview.clone()
    }

    /// Checks and starts an operator's move; returns once it is committed.
    ///
    /// # Errors
    /// [`MoveRefused`].
    pub async fn request_move(&self, _request: MoveRequest, _operator: &str) -> Result<OperationId, MoveRefused> {
        Err(MoveRefused::NotLeader(None))
    }

    /// Takes an agent's report, as a heartbeat sample and, on the leader, as a request for the
    /// lease. Never blocks.
    pub fn agent_report(&self, report: AgentReport) -> AgentReply {
        AgentReply {
            node: NodeId(report.boot),
            leader: None,
            instruction: coordinator_api::agent::Instruction::NotLeader,
            group: None,
        }
    }

    /// Takes a follower's view. Never blocks.
    pub fn vantage_update(&self, _update: VantageUpdate) {}
}
