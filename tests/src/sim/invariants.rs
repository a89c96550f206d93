//! What must hold at every instant, one file each, and what they are judged by.
//!
//! The oracle knows what nothing in the world knows: the one log that was ever committed, who
//! carries what at this true instant, and which faults are in force.

pub(crate) mod acknowledged_survive;
pub(crate) mod cloud_fencing;
pub(crate) mod committed_first;
pub(crate) mod converges;
pub(crate) mod fenced_first;
pub(crate) mod flap_budget;
pub(crate) mod gated_writes;
pub(crate) mod granted_first;
pub(crate) mod healthy_stays;
mod hooks;
pub(crate) mod one_vip_holder;
pub(crate) mod operators_respected;
pub(crate) mod relied_on;
pub(crate) mod replicas_agree;
pub(crate) mod tokens_rise;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{Command, CommandBody};
use coordinator_core::event::Event;
use coordinator_core::ids::{BindingName, GroupName, Token};
use coordinator_core::model::GroupSpec;
use coordinator_core::state::State;

use super::clock::At;
use super::event::Entry;

/// Outcomes kept, to compare those of the nodes with that lag behind.
const KEPT_OUTCOMES: usize = 400;

/// After every so many entries the whole state is looked at in any case.
const LOOKS_AT_ALL_EVERY: u64 = 64;

/// What applying an entry gave.
pub(crate) type Outcome = Result<Vec<Event>, Rejection>;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// Everything that invariants are judged by, apart from the world itself.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) broken: Option<Broken>,
    /// Every entry that any leader ever committed.
    pub(crate) log: Vec<Arc<Entry>>,
    /// The term in which each was committed: that of the leader, not that of the entry.
    pub(crate) committed_in: Vec<u64>,
    pub(crate) state: State,
    /// What came of the newest entries when they were applied here, oldest first.
    pub(crate) outcomes: VecDeque<(u64, Outcome)>,
    /// The states after them, when everything is looked at.
    pub(crate) states: VecDeque<State>,
    /// Whether everything is looked at after every entry, and not only what it can have changed.
    pub(crate) thorough: bool,
    /// Log indexes of commands that an operator was told are committed, with their terms.
    pub(crate) acknowledged: BTreeMap<u64, u64>,
    /// Accepted grants of the active role, by token: the group's and the appliance's place.
    pub(crate) grants: BTreeMap<Token, (usize, usize)>,
    /// The newest token whose move of a binding is recorded as done, by group.
    pub(crate) done: BTreeMap<(usize, BindingName), Token>,
    /// Proposals, by term and index, that must not be committed, and why.
    pub(crate) unsound: BTreeMap<(u64, u64), String>,
    /// Each term that was won, and when.
    pub(crate) elections: Vec<(u64, At)>,
    /// See [`Outcome`](crate::sim::Outcome).
    pub(crate) last_resorts: [u64; 3],
    /// When each group's newest operation was committed.
    started_at: BTreeMap<Token, At>,
    /// Moves that nobody asked for.
    moves: flap_budget::Moves,
    /// Groups, for names.
    pub(crate) specs: Vec<GroupSpec>,
    /// Every invariant that was ever judged: a check that is never made proves nothing.
    pub(crate) judged: BTreeSet<&'static str>,
}

impl Oracle {
    pub(crate) fn new(specs: &[GroupSpec], thorough: bool) -> Oracle {
        Oracle {
            broken: None,
            log: Vec::new(),
            committed_in: Vec::new(),
            state: State::default(),
            outcomes: VecDeque::new(),
            states: VecDeque::new(),
            thorough,
            acknowledged: BTreeMap::new(),
            grants: BTreeMap::new(),
            done: BTreeMap::new(),
            unsound: BTreeMap::new(),
            last_resorts: [0; 3],
            started_at: BTreeMap::new(),
            elections: Vec::new(),
            moves: flap_budget::Moves::new(),
            specs: specs.to_vec(),
            judged: BTreeSet::new(),
        }
    }

    /// The state after everything that is committed.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Whether the whole state is to be looked at after this entry, and not only the group that
    /// it is about.
    fn looks_at_all(&self, index: u64, command: &Command) -> bool {
        self.thorough || index.is_multiple_of(LOOKS_AT_ALL_EVERY) || touched(command).is_none()
    }

    fn keep_outcome(&mut self, index: u64, outcome: Outcome) {
        if self.outcomes.len() >= KEPT_OUTCOMES {
            self.outcomes.pop_front();
            self.states.pop_front();
        }
        self.outcomes.push_back((index, outcome));
        if self.thorough {
            self.states.push_back(self.state.clone());
        }
    }

    /// Takes in a judgement. The first that is not sound ends the run.
    pub(crate) fn judge(&mut self, invariant: &'static str, judgement: Result<(), String>) {
        self.judged.insert(invariant);
        if let Err(what) = judgement
            && self.broken.is_none()
        {
            self.broken = Some(Broken { invariant, what });
        }
    }
}

/// The one group that a command can change; `None` when it may be any.
fn touched(command: &Command) -> Option<&GroupName> {
    match &command.body {
        CommandBody::StartOperation(start) => Some(&start.group),
        CommandBody::RecordStep(record) => Some(&record.group),
        CommandBody::RecordFence(record) => Some(&record.group),
        CommandBody::RecordVerdict { group, .. }
        | CommandBody::RecordRelease { group, .. }
        | CommandBody::RecordHold { group, .. }
        | CommandBody::RecordAcknowledged { group, .. }
        | CommandBody::RequestFence { group, .. }
        | CommandBody::ConfirmOff { group, .. }
        | CommandBody::SetMode { group, .. }
        | CommandBody::SetMaintenance { group, .. }
        | CommandBody::Freeze { group, .. }
        | CommandBody::Unfreeze { group, .. } => Some(group),
        _ => None,
    }
}
