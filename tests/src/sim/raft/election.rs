//! Who leads.

use super::Role;
use crate::sim::clock::At;
use crate::sim::event::{Entry, Event, Message, NodeIx, Timer};
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

impl World {
    /// The next election of a node that hears of no leader.
    pub(crate) fn arm_election(&mut self, node: NodeIx) {
        let timings = self.timings;
        let wait = timings.election_max + self.random.between(timings.election_min, timings.election_max);
        let at = self.now + wait;
        self.coordinators[node].raft.stand_at = at;
        self.arm(node, at);
    }

    fn arm(&mut self, node: NodeIx, at: At) {
        self.coordinators[node].raft.armed_at = at;
        self.at(at, node, Timer::Election);
    }

    pub(crate) fn on_election_timer(&mut self, node: NodeIx) {
        let now = self.now;
        let raft = &mut self.coordinators[node].raft;
        if raft.role == Role::Leader || now < raft.armed_at {
            return;
        }
        // A leader was heard of since, or the node has just started.
        let early = raft.stand_at.max(raft.quarantined_until);
        if now < early {
            return self.arm(node, early);
        }
        raft.role = Role::Candidate { pre: true };
        raft.leader = None;
        raft.votes = [false; COORDINATORS];
        raft.votes[node] = true;
        let message = Message::Vote { term: raft.term + 1, last: raft.last(), pre: true };
        self.tell_peers(node, 0, &message);
        self.arm_election(node);
    }

    fn stand(&mut self, node: NodeIx) {
        let raft = &mut self.coordinators[node].raft;
        raft.term += 1;
        raft.voted = Some(node);
        raft.role = Role::Candidate { pre: false };
        raft.votes = [false; COORDINATORS];
        raft.votes[node] = true;
        let message = Message::Vote { term: raft.term, last: raft.last(), pre: false };
        let wait = self.sync(node);
        self.tell_peers(node, wait, &message);
    }

    fn tell_peers(&mut self, node: NodeIx, wait: At, message: &Message) {
        for peer in (0..COORDINATORS).filter(|peer| *peer != node) {
            self.send_after(wait, node, peer, message.clone());
        }
    }

    pub(crate) fn on_vote(&mut self, node: NodeIx, from: NodeIx, term: u64, last: (u64, u64), pre: bool) {
        let (now, leader_lease) = (self.now, self.timings.election_max);
        let sticky = self.sticky_votes;
        let raft = &mut self.coordinators[node].raft;
        let heard = sticky && (raft.role == Role::Leader || now < raft.heard_at + leader_lease);
        if heard || now < raft.quarantined_until {
            let message = Message::Voted { term: raft.term, granted: false, pre };
            return self.send(node, from, message);
        }
        if pre {
            let granted = term > raft.term && last >= raft.last();
            // A refusal says why: a candidate that is behind learns of the term that it needs.
            let term = if granted { term } else { raft.term };
            let message = Message::Voted { term, granted, pre };
            return self.send(node, from, message);
        }
        if term > raft.term {
            self.step_down(node, term);
        }
        let raft = &mut self.coordinators[node].raft;
        let free = raft.voted.is_none_or(|voted| voted == from);
        let granted = term == raft.term && free && last >= raft.last();
        let term = raft.term;
        if granted {
            raft.voted = Some(from);
            raft.heard_at = now;
        }
        let wait = self.sync(node);
        self.send_after(wait, node, from, Message::Voted { term, granted, pre });
    }

    pub(crate) fn on_voted(&mut self, node: NodeIx, from: NodeIx, term: u64, granted: bool, pre: bool) {
        let raft = &mut self.coordinators[node].raft;
        let wanted = if pre { raft.term + 1 } else { raft.term };
        if granted && term == wanted && raft.role == (Role::Candidate { pre }) {
            raft.votes[from] = true;
            if raft.votes.iter().filter(|vote| **vote).count() * 2 > COORDINATORS {
                if pre { self.stand(node) } else { self.win(node) }
            }
        } else if !granted && term > raft.term {
            self.step_down(node, term);
        }
    }

    /// A higher term, or another leader: whatever this node did as a leader ends.
    pub(crate) fn step_down(&mut self, node: NodeIx, term: u64) {
        let raft = &mut self.coordinators[node].raft;
        if term > raft.term {
            raft.term = term;
            raft.voted = None;
            raft.leader = None;
        }
        if raft.role == Role::Leader {
            self.arm_election(node);
        }
        let raft = &mut self.coordinators[node].raft;
        if raft.role == Role::Leader {
            self.trace.line(self.now, format_args!("c{} leads no more, term {term}", node + 1));
            self.coordinators[node].raft.role = Role::Follower;
            self.leadership_lost(node);
        }
        self.coordinators[node].raft.role = Role::Follower;
    }

    fn win(&mut self, node: NodeIx) {
        let raft = &mut self.coordinators[node].raft;
        let (term, last) = (raft.term, raft.last_index());
        raft.role = Role::Leader;
        raft.leader = Some(node);
        raft.next = [last + 1; COORDINATORS];
        raft.matched = [0; COORDINATORS];
        raft.older_t_q = raft.acked.iter().flatten().max().copied().or(raft.older_t_q);
        raft.acked = [None; COORDINATORS];
        self.trace.line(self.now, format_args!("c{} leads in term {term}", node + 1));
        self.oracle_elected(node);
        self.append(node, Entry { term, command: None });
        self.leadership_won(node);
        self.beat(node);
    }

    /// A timer of the node's present life.
    pub(crate) fn at(&mut self, at: At, node: NodeIx, timer: Timer) {
        let life = self.life(node);
        self.queue.push(at, Event::Timer { node, life, timer });
    }
}
