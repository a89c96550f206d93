//! Everything that happens, and everything that is said.

use std::sync::Arc;
use std::time::Duration;

use coordinator_api::agent::Instruction;
use coordinator_core::command::Command;
use coordinator_core::ids::Token;
use coordinator_core::model::QuorumLoss;
use coordinator_core::observe::Sight;
use coordinator_core::state::Group;
use coordinator_core::time::Mono;

use super::act::{AskId, CallId, CloudAnswer, Request};
use super::faults::Plan;

/// Coordinators first, then the appliances.
pub(crate) type NodeIx = usize;

/// An entry of the replicated log.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    /// `None` is the empty entry with which a leader begins its term.
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Deliver {
        from: NodeIx,
        to: NodeIx,
        message: Message,
    },
    /// Set by the life `life` of the node; later lives do not hear it.
    Timer {
        node: NodeIx,
        life: u64,
        timer: Timer,
    },
    /// A request reaches the cloud.
    CloudArrive {
        node: NodeIx,
        life: u64,
        call: CallId,
        request: Request,
    },
    /// The cloud's answer reaches the coordinator.
    CloudAnswered {
        node: NodeIx,
        life: u64,
        call: CallId,
        answer: CloudAnswer,
    },
    /// The next fault is to be drawn.
    Nemesis,
    /// A fault that was planned a moment ago.
    Strike(Plan),
    FaultEnds(u64),
    /// A power-off that the cloud has taken on is carried out, and answered.
    PowersOff {
        node: NodeIx,
        life: u64,
        call: CallId,
        agent: usize,
    },
    /// Somebody switches a machine on again.
    PowerOn(usize),
    /// From chaos to calm, or from calm to chaos.
    Phase,
    /// While it is calm: operators set right what they had set, and everything comes to order.
    Calm,
}

impl Event {
    /// Whom it is for, and what it is, as far as a digest has to know.
    pub(crate) fn digest(&self) -> u64 {
        let (node, kind) = match self {
            Event::Deliver { to, .. } => (*to, 1),
            Event::Timer { node, .. } => (*node, 2),
            Event::CloudArrive { node, .. } => (*node, 3),
            Event::CloudAnswered { node, .. } => (*node, 4),
            Event::Nemesis => (0, 5),
            Event::Strike(_) => (0, 6),
            Event::FaultEnds(_) => (0, 7),
            Event::Phase => (0, 8),
            Event::Calm => (0, 9),
            Event::PowersOff { agent, .. } => (*agent, 10),
            Event::PowerOn(agent) => (*agent, 11),
        };
        (node as u64) << 8 | kind
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// Stand for election, if no leader was heard of until now.
    Election,
    Heartbeat,
    /// Everything up to this length of the log, and this vote, is on disk.
    Synced {
        len: usize,
        vote: (u64, Option<NodeIx>),
    },
    /// The disk is done: the answer may go out.
    Say {
        to: NodeIx,
        message: Message,
    },
    /// One probe of one appliance.
    Probe {
        agent: usize,
        probe: usize,
    },
    /// Tell the leader what this vantage sees.
    Vantage,
    /// Look again.
    Round {
        number: u64,
    },
    /// A proposal's outcome counts as unknown from now on.
    ProposalLate {
        index: u64,
        term: u64,
    },
    /// A quorum did not confirm the leadership in time.
    ConfirmLate {
        id: u64,
    },
    /// The cloud did not answer in time.
    CallLate {
        call: CallId,
    },
    /// A move's pause is over.
    MoveWakes {
        task: u64,
        ask: AskId,
    },
    /// The agent's reporter to one coordinator.
    Report {
        to: NodeIx,
    },
    /// The agent looks after its lease.
    Turn,
    /// The agent's write is done, or has failed.
    Stored,
    /// The agent looks whether it has to ask its peers.
    Promiser,
    /// Peers that have not answered by now count as silent.
    PromisesOver {
        round: u64,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum Message {
    Vote {
        term: u64,
        last: (u64, u64),
        pre: bool,
    },
    Voted {
        term: u64,
        granted: bool,
        pre: bool,
    },
    Append(Append),
    Appended {
        term: u64,
        matched: Option<u64>,
        hint: u64,
        sent: Option<Mono>,
    },
    Report {
        request: u64,
        report: Report,
    },
    Reply {
        request: u64,
        instruction: Instruction,
        declared: Option<Declared>,
    },
    /// Between agents of a group: accept no grant for so long, please.
    Promise {
        ask: u64,
        token: Token,
        for_ms: u64,
    },
    Promised {
        ask: u64,
        promised: bool,
        token: Token,
    },
    Sights {
        seq: u64,
        sights: Vec<Sight>,
    },
}

/// The parts of `AgentGroup` that anything follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) revision: u64,
    pub(crate) ttl_ms: u64,
    pub(crate) failsafe: bool,
    pub(crate) drift_ppm: u32,
}

impl Declared {
    pub(crate) fn of(group: &Group) -> Declared {
        Declared {
            revision: group.revision,
            ttl_ms: u64::try_from(group.spec.lease.ttl.as_millis()).unwrap_or(u64::MAX),
            failsafe: group.spec.policy.quorum_loss == QuorumLoss::Failsafe,
            drift_ppm: group.spec.lease.drift_ppm,
        }
    }

    pub(crate) fn ttl(self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }
}

/// A heartbeat round to one follower, with entries or without.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    pub(crate) term: u64,
    /// Term and index of the entry before the first.
    pub(crate) prev: (u64, u64),
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) commit: u64,
    /// On the leader's clock; comes back with the answer.
    pub(crate) sent: Mono,
}

/// The parts of `AgentReport` that anything follows from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) boot: u64,
    pub(crate) seq: u64,
    pub(crate) highest: Token,
    pub(crate) holding: Option<Token>,
    pub(crate) vips_up: bool,
    pub(crate) fault: bool,
    /// The declaration that the agent acts on.
    pub(crate) revision: u64,
}
