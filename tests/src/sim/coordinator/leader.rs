//! What a leader does, for one term: mirrors `control_loop/leader.rs`.

use coordinator_core::action::{Action, pending_actions};
use coordinator_core::command::CommandBody;
use coordinator_core::decide::decide;
use coordinator_core::lease::LeaseTable;
use coordinator_core::release::{self, Due};
use coordinator_core::state::State;
use coordinator_core::time::{Mono, WallTime};

use super::{Confirm, Leading, Then};
use crate::sim::act::Answer;
use crate::sim::clock::{At, ms};
use crate::sim::event::{NodeIx, Timer};
use crate::sim::mutation::Mutation;
use crate::sim::mutation::rules::{as_leased, seen_by_decide, unproved};
use crate::sim::raft::Role;
use crate::sim::world::World;

/// `leader.rs`: the longest time between two rounds, and the shortest after a failure.
const AT_LEAST_EVERY: At = ms(1_000);
const AFTER_FAILURE: At = ms(100);

impl World {
    /// Elected. Nothing is decided or granted before a quorum has confirmed it and the local
    /// state holds everything that earlier leaders committed.
    pub(crate) fn leadership_won(&mut self, node: NodeIx) {
        let c = &self.coordinators[node];
        let elected_at = match self.mutation {
            Some(Mutation::OlderTermsQuorum) => c.raft.older_t_q.unwrap_or(c.clock.mono(self.now)),
            _ => c.clock.mono(self.now),
        };
        self.confirm(node, Then::Lead { elected_at });
    }

    pub(crate) fn leadership_lost(&mut self, node: NodeIx) {
        let keep = self.mutation == Some(Mutation::OldTermTable);
        let c = &mut self.coordinators[node];
        let leading = c.leading.take();
        if keep && let Some(leading) = leading {
            c.old_table = Some(leading.table);
        }
        c.confirms.clear();
        c.proposed.clear();
        c.round_at = At::MAX;
    }

    /// `Replica::confirm_leadership`, beginning now. Returns its number.
    pub(crate) fn confirm(&mut self, node: NodeIx, then: Then) -> u64 {
        self.numbers += 1;
        let (id, started) = (self.numbers, self.mono(node));
        let c = &mut self.coordinators[node];
        let (term, read_index) = (c.raft.term, c.raft.commit);
        c.confirms.push(Confirm { id, term, started, read_index, then });
        if c.raft.role == Role::Leader {
            self.broadcast(node);
        }
        id
    }

    /// Goes on with everything that the newest acknowledged round confirms.
    pub(crate) fn check_confirms(&mut self, node: NodeIx) {
        let c = &mut self.coordinators[node];
        let raft = &c.raft;
        let (acked, term) = (raft.quorum_acked_at(), raft.term);
        // The leader's own first entry is committed and applied: so is everything before it.
        let caught_up = raft.term_at(c.applied) == term;
        let confirmed = |q: &Confirm| {
            q.term == term && acked >= Some(q.started) && caught_up && c.applied >= q.read_index
        };
        if !c.confirms.iter().any(confirmed) {
            return;
        }
        let (ready, waiting) = std::mem::take(&mut c.confirms).into_iter().partition(confirmed);
        c.confirms = waiting;
        for question in ready {
            self.confirmed(node, question);
        }
    }

    fn confirmed(&mut self, node: NodeIx, question: Confirm) {
        match question.then {
            Then::Lead { elected_at } => self.lead(node, question.term, elected_at),
            Then::Write { task, ask } => self.answer_move(node, task, ask, Answer::Confirmed(true)),
            Then::Admit(wish) => self.admitted(node, question.term, *wish),
        }
    }

    fn lead(&mut self, node: NodeIx, term: u64, elected_at: Mono) {
        let seed = self.specs.clone();
        let c = &mut self.coordinators[node];
        let table = c.old_table.take().unwrap_or_else(|| LeaseTable::new(elected_at));
        c.leading = Some(Leading {
            term,
            table,
            to_propose: Default::default(),
            busy: false,
            woken: false,
            tasks: Vec::new(),
            calls: Default::default(),
        });
        let empty = c.state.time == WallTime::default();
        self.trace.line(self.now, format_args!("c{} is confirmed in term {term}", node + 1));
        if empty && let Some(leading) = &mut self.coordinators[node].leading {
            leading.to_propose.push_back(CommandBody::Seed { groups: seed, pools: Vec::new() });
            leading.busy = true;
            return self.propose_next(node);
        }
        self.wake(node);
    }

    /// Something that a decision may follow from has changed.
    pub(crate) fn wake(&mut self, node: NodeIx) {
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        if leading.busy {
            leading.woken = true;
            return;
        }
        // Wake-ups at one time are one.
        self.schedule_round(node, self.now + 50);
    }

    pub(crate) fn schedule_round(&mut self, node: NodeIx, at: At) {
        let c = &mut self.coordinators[node];
        if c.round_at > self.now && c.round_at <= at {
            return;
        }
        c.round += 1;
        c.round_at = at;
        let number = c.round;
        self.at(at, node, Timer::Round { number });
    }

    pub(crate) fn on_round(&mut self, node: NodeIx, number: u64) {
        let c = &mut self.coordinators[node];
        if c.round != number || c.leading.as_ref().is_none_or(|leading| leading.busy) {
            return;
        }
        c.round_at = At::MAX;
        let now = self.coordinators[node].clock.now(self.now);
        let observations = self.observations(node);
        let c = &self.coordinators[node];
        let decision = decide(&seen_by_decide(self.mutation, &c.state), &observations, now);
        let actions = pending_actions(&c.state);
        let due = self.due(node, &actions);
        self.reconcile(node, &actions);
        let clock = self.coordinators[node].clock;
        let wakeups = [decision.next_wakeup, due.next_wakeup].into_iter().flatten();
        let latest = wakeups.map(|at| clock.when(at)).fold(self.now + AT_LEAST_EVERY, At::min);
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        leading.to_propose.extend(due.propose.into_iter().chain(decision.propose));
        if leading.to_propose.is_empty() {
            return self.schedule_round(node, latest.max(self.now + ms(1)));
        }
        leading.busy = true;
        self.propose_next(node);
    }

    fn due(&self, node: NodeIx, actions: &[Action]) -> Due {
        let c = &self.coordinators[node];
        let Some(leading) = &c.leading else { return Due::default() };
        let (holdings, mono) = (self.holdings(node), self.mono(node));
        let mut due = match self.mutation {
            Some(Mutation::NoDriftAllowance | Mutation::HalfDriftAllowance | Mutation::RequireIgnored) => {
                let drifting = |group| as_leased(self.mutation, group).into_owned();
                let groups = c.state.groups.iter().map(|(name, group)| (name.clone(), drifting(group)));
                let state = State { groups: groups.collect(), ..c.state.clone() };
                release::due(&state, actions, &leading.table, &holdings, mono)
            }
            _ => release::due(&c.state, actions, &leading.table, &holdings, mono),
        };
        due.propose.splice(0..0, unproved(self.mutation, &c.state, actions));
        due
    }

    /// The round is over: what it proposed is committed, or could not be.
    pub(crate) fn round_over(&mut self, node: NodeIx, failed: bool) {
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        leading.busy = false;
        leading.to_propose.clear();
        leading.woken = false;
        let wait = if failed { AFTER_FAILURE } else { 50 };
        self.schedule_round(node, self.now + wait);
    }
}
