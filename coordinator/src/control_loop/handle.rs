//! What the rest of the node asks of the control loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator_api::agent::{AgentReply, AgentReport};
use coordinator_core::command::{Actor, Command, CommandBody, StartOperation};
use coordinator_core::decide::{MoveRequest, Observations, admit};
use coordinator_core::ids::{ApplianceName, GroupName, NodeId, OperationId, PoolName};
use coordinator_core::observe::{PathSight, Sight};
use coordinator_core::pool::PoolReason;
use coordinator_core::reason::Reason;
use coordinator_core::state::State;
use coordinator_core::time::Mono;
use serde::{Deserialize, Serialize};

use super::clock::wall_now;
use super::shared::Shared;
use crate::dry_run::{Sketch, sketch};
use crate::raft::ProposeError;

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
    /// Why each pool's members leave or return, or not.
    pub pool_reasons: BTreeMap<PoolName, Vec<PoolReason>>,
    /// The newest report of each agent to this node.
    pub agents: BTreeMap<ApplianceName, AgentSeen>,
}

/// An agent's newest report.
#[derive(Debug, Clone)]
pub struct AgentSeen {
    /// When it came in.
    pub received: Mono,
    /// When the first report of this life of the agent with this revision came in.
    pub revision_since: Mono,
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
    /// What dates the view. Without it the leader only answers, so that the next one has it.
    pub since: Option<Since>,
    /// What it sees of appliances.
    pub sights: Vec<Sight>,
    /// What it sees of the paths through the active ones.
    pub paths: Vec<PathSight>,
}

/// A reading of a node's monotonic clock, which means something to that life of the node alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Differs from one life of the node to the next.
    pub life: u64,
    /// Microseconds since the node's start.
    pub at_us: u64,
}

/// How long before a view was made its vantage got a reading of the leader's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The newest reading that the leader's answers gave.
    pub reading: Reading,
    /// From its arrival to the making of the view, in microseconds, by the vantage's clock.
    pub elapsed_us: u64,
}

/// The answer to a [`VantageUpdate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VantageReply {
    /// The clock of the node that answers.
    pub now: Reading,
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

/// How long an operator's move may take to be committed before its outcome counts as unknown.
const COMMIT: Duration = Duration::from_secs(5);

/// A request as the leader of a term sees it.
struct Considered {
    term: u64,
    state: Arc<State>,
    admitted: Result<StartOperation, Vec<Reason>>,
}

/// A cheap handle to the control loop.
#[derive(Clone)]
pub struct ControlHandle {
    shared: Arc<Shared>,
}

impl ControlHandle {
    pub(super) fn new(shared: Arc<Shared>) -> ControlHandle {
        ControlHandle { shared }
    }

    /// The newest overview.
    pub fn overview(&self) -> Overview {
        self.shared.overview()
    }

    /// Checks and starts an operator's move; returns once it is committed.
    ///
    /// # Errors
    /// [`MoveRefused`].
    pub async fn request_move(
        &self,
        request: MoveRequest,
        operator: &str,
    ) -> Result<OperationId, MoveRefused> {
        let replica = &self.shared.replica;
        let Considered { term, admitted, .. } = self.consider(&request).await?;
        let start = admitted.map_err(MoveRefused::Refused)?;
        let command = Command {
            at: wall_now(),
            actor: Actor::Operator(operator.to_owned()),
            body: CommandBody::StartOperation(start),
        };
        let events = replica.propose_in_term(command, term, COMMIT).await.map_err(|error| match error {
            ProposeError::Rejected(rejection) => MoveRefused::Rejected(rejection),
            ProposeError::NotLeader { leader } => MoveRefused::NotLeader(leader),
            _ => MoveRefused::Unknown,
        })?;
        // A superseded operation has an event of its own here: the new one has the highest index.
        events.iter().filter_map(|event| event.operation).max().ok_or(MoveRefused::Unknown)
    }

    /// What would become of an operator's move if it were asked for now. Proposes nothing.
    ///
    /// # Errors
    /// [`MoveRefused::NotLeader`].
    pub async fn sketch_move(&self, request: &MoveRequest, operator: &str) -> Result<Sketch, MoveRefused> {
        let Considered { state, admitted, .. } = self.consider(request).await?;
        let next = self.shared.replica.status().last_log.unwrap_or(0).saturating_add(1);
        Ok(sketch(&state, request, admitted, next, operator, wall_now()))
    }

    async fn consider(&self, request: &MoveRequest) -> Result<Considered, MoveRefused> {
        let replica = &self.shared.replica;
        let leader = || replica.leadership().borrow().leader;
        let leading = replica.leading().ok_or_else(|| MoveRefused::NotLeader(leader()))?;
        let confirmed = replica.confirm_leadership(COMMIT).await;
        confirmed.map_err(|_| MoveRefused::NotLeader(leader()))?;
        let state = replica.state();
        let admitted = admit(&state, &self.shared.observations(), self.shared.clock.now(), request);
        Ok(Considered { term: leading.term, state, admitted })
    }

    /// Takes an agent's report, as a heartbeat sample and, on the leader, as a request for the
    /// lease. Never blocks.
    pub fn agent_report(&self, report: AgentReport) -> AgentReply {
        self.shared.agent_report(report)
    }

    /// Takes a follower's view. Never blocks.
    pub fn vantage_update(&self, update: VantageUpdate) -> VantageReply {
        self.shared.vantage_update(update)
    }
}
