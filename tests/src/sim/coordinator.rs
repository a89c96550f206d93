//! A coordinator: the product's core, in a shell that mirrors `coordinator/src/control_loop`.

mod leader;
mod operator;
mod propose;
mod shared;

use std::collections::{BTreeMap, VecDeque};

use coordinator_core::command::CommandBody;
use coordinator_core::ids::{ApplianceName, NodeId};
use coordinator_core::lease::LeaseTable;
use coordinator_core::observe::{VantageReport, Watch};
use coordinator_core::state::State;
use coordinator_core::time::Mono;

use super::act::{AskId, CallId, Task};
use super::clock::{At, Clock};
use super::event::{Event, Report};
use super::raft::Raft;

pub(crate) use operator::Wish;
pub(crate) use propose::Purpose;
pub(crate) use shared::id_of;

/// An agent's newest report to this node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) received: Mono,
    /// Since when this life of the agent acts on the declaration that it does.
    pub(crate) revision_since: Mono,
    pub(crate) report: Report,
}

/// A question to a quorum: does this node still lead?
#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) id: u64,
    pub(crate) term: u64,
    pub(crate) started: Mono,
    pub(crate) read_index: u64,
    pub(crate) then: Then,
}

/// What follows once the leadership is confirmed.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// The term begins: `leader.rs`, `lead`.
    Lead { elected_at: Mono },
    /// The gate before a cloud write.
    Write { task: u64, ask: AskId },
    /// An operator's request.
    Admit(Box<Wish>),
}

/// A term in which this node leads.
#[derive(Debug)]
pub(crate) struct Leading {
    pub(crate) term: u64,
    pub(crate) table: LeaseTable,
    /// What the round has still to propose; one at a time.
    pub(crate) to_propose: VecDeque<CommandBody>,
    pub(crate) busy: bool,
    pub(crate) woken: bool,
    pub(crate) tasks: Vec<Task>,
    /// The move and its question that each call under way answers.
    pub(crate) calls: BTreeMap<CallId, (u64, AskId)>,
}

/// One coordinator.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(crate) clock: Clock,
    pub(crate) life: u64,
    pub(crate) up: bool,
    pub(crate) paused: u32,
    /// What arrived while it was paused.
    pub(crate) inbox: VecDeque<Event>,
    /// When it last went on after a pause.
    pub(crate) resumed_at: At,
    pub(crate) disk_slow: u32,
    pub(crate) cloud_cut: u32,
    pub(crate) raft: Raft,
    pub(crate) beat_at: At,
    pub(crate) state: State,
    pub(crate) applied: u64,
    pub(crate) watch: Watch,
    pub(crate) agents: BTreeMap<ApplianceName, Seen>,
    pub(crate) remote: BTreeMap<NodeId, (VantageReport, u64)>,
    pub(crate) sights_seq: u64,
    pub(crate) leading: Option<Leading>,
    /// Kept for [`Mutation::OldTermTable`](super::mutation::Mutation::OldTermTable) only.
    pub(crate) old_table: Option<LeaseTable>,
    pub(crate) confirms: Vec<Confirm>,
    pub(crate) proposed: BTreeMap<u64, (u64, Purpose)>,
    pub(crate) round: u64,
    pub(crate) round_at: At,
}

impl Coordinator {
    pub(crate) fn new(clock: Clock) -> Coordinator {
        Coordinator {
            clock,
            life: 1,
            up: true,
            paused: 0,
            inbox: VecDeque::new(),
            resumed_at: 0,
            disk_slow: 0,
            cloud_cut: 0,
            raft: Raft::new(0),
            beat_at: 0,
            state: State::default(),
            applied: 0,
            watch: Watch::new(),
            agents: BTreeMap::new(),
            remote: BTreeMap::new(),
            sights_seq: 0,
            leading: None,
            old_table: None,
            confirms: Vec::new(),
            proposed: BTreeMap::new(),
            round: 0,
            round_at: At::MAX,
        }
    }

    /// Everything but the disk is gone. The state is what the log had been applied to: the state
    /// store may be older, and comes to the same once the log is replayed.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.inbox.clear();
        self.raft.crash(self.applied);
        self.watch = Watch::new();
        self.agents.clear();
        self.remote.clear();
        self.leading = None;
        self.old_table = None;
        self.confirms.clear();
        self.proposed.clear();
        self.round_at = At::MAX;
    }
}
