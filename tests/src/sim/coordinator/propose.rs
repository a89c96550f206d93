//! Proposals and what becomes of them: mirrors `control_loop/propose.rs`.

use std::sync::Arc;

use coordinator_core::action::pending_actions;
use coordinator_core::command::{Actor, Command, CommandBody};

use super::shared::id_of;
use crate::sim::act::{Answer, AskId};
use crate::sim::clock::{At, ms};
use crate::sim::event::{Entry, NodeIx, Timer};
use crate::sim::mutation::Mutation;
use crate::sim::mutation::rules::apply_with;
use crate::sim::world::World;

/// `propose.rs`, `DEADLINE`.
const DEADLINE: At = ms(2_000);

/// Who waits for a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Round,
    Step { task: u64, ask: AskId },
    Operator,
}

impl World {
    /// Proposes, and remembers who waits. False when this node does not lead in `term`.
    pub(crate) fn propose(
        &mut self,
        node: NodeIx,
        term: u64,
        actor: Actor,
        body: CommandBody,
        purpose: Purpose,
    ) -> bool {
        let at = self.coordinators[node].clock.now(self.now).wall;
        let command = Command { at, actor, body };
        let acting_early = self.mutation == Some(Mutation::ActBeforeCommit);
        let early = (acting_early && purpose == Purpose::Round).then(|| command.clone());
        let healthy = self.would_move_a_healthy_active(node, &command);
        let Some(index) = self.propose_in_term(node, term, command) else { return false };
        if let Some(why) = healthy {
            self.oracle.unsound.insert((term, index), why);
        }
        self.coordinators[node].proposed.insert(index, (term, purpose));
        self.at(self.now + DEADLINE, node, Timer::ProposalLate { index, term });
        if let Some(command) = early {
            let mut state = self.coordinators[node].state.clone();
            if apply_with(self.mutation, &mut state, index, &command).is_ok() {
                self.reconcile(node, &pending_actions(&state));
            }
        }
        true
    }

    /// The round's next proposal, once the one before it is applied.
    pub(crate) fn propose_next(&mut self, node: NodeIx) {
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        let term = leading.term;
        let Some(body) = leading.to_propose.pop_front() else { return self.round_over(node, false) };
        let actor = Actor::Coordinator(id_of(node));
        if !self.propose(node, term, actor, body, Purpose::Round) {
            self.round_over(node, true);
        }
    }

    /// Applies one committed entry here, and tells whoever waits for it.
    pub(crate) fn apply_entry(&mut self, node: NodeIx, index: u64, entry: &Arc<Entry>) {
        let c = &mut self.coordinators[node];
        c.applied = index;
        let outcome = match &entry.command {
            None => Ok(Vec::new()),
            Some(command) => apply_with(self.mutation, &mut c.state, index, command),
        };
        if let Some(Command { body: CommandBody::Seed { .. } | CommandBody::PutGroup(_), .. }) =
            &entry.command
        {
            c.watch.declare(&c.state);
        }
        let waiting = c.proposed.remove(&index);
        self.oracle_applied(node, index, entry, &outcome);
        if let Some((term, purpose)) = waiting {
            if term == entry.term {
                self.proposal_applied(node, index, purpose, outcome.is_ok());
            } else {
                self.proposal_unknown(node, purpose);
            }
        }
        self.check_confirms(node);
        self.wake(node);
    }

    fn proposal_applied(&mut self, node: NodeIx, index: u64, purpose: Purpose, accepted: bool) {
        match purpose {
            Purpose::Round => self.propose_next(node),
            Purpose::Step { task, ask } => self.answer_move(node, task, ask, Answer::Recorded(true)),
            Purpose::Operator if accepted => self.oracle_acknowledged(node, index),
            Purpose::Operator => {}
        }
    }

    fn proposal_unknown(&mut self, node: NodeIx, purpose: Purpose) {
        match purpose {
            Purpose::Round => self.round_over(node, true),
            Purpose::Step { task, ask } => self.answer_move(node, task, ask, Answer::Recorded(false)),
            Purpose::Operator => {}
        }
    }

    pub(crate) fn on_proposal_late(&mut self, node: NodeIx, index: u64, term: u64) {
        let proposed = &mut self.coordinators[node].proposed;
        if proposed.get(&index).is_some_and(|(of, _)| *of == term)
            && let Some((_, purpose)) = proposed.remove(&index)
        {
            self.proposal_unknown(node, purpose);
        }
    }
}
