//! The log: appended by the leader, committed by a majority of disks, applied by all.

use std::sync::Arc;

use coordinator_core::command::Command;
use coordinator_core::time::Mono;

use super::Role;
use crate::sim::clock::At;
use crate::sim::event::{Append, Entry, Message, NodeIx, Timer};
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

/// Entries in one message: a node that is far behind catches up in steps.
const MOST_ENTRIES: usize = 64;

impl World {
    /// Writes what is not on disk yet; returns how long that takes.
    pub(crate) fn sync(&mut self, node: NodeIx) -> At {
        let slow = self.coordinators[node].disk_slow > 0;
        let takes = if slow { self.random.long_tail_ms(20, 1_500) } else { self.random.between(100, 1_500) };
        let raft = &mut self.coordinators[node].raft;
        // One write at a time, and one behind it that takes in everything until it begins.
        if self.now >= raft.writing_until {
            raft.writing_until = raft.queued_until.max(self.now);
        }
        if raft.writing_until <= self.now {
            raft.writing_until = self.now + takes;
            raft.queued_until = raft.writing_until;
        } else if raft.queued_until <= raft.writing_until {
            raft.queued_until = raft.writing_until + takes;
        }
        let done = raft.queued_until;
        let timer = Timer::Synced { len: raft.log.len(), vote: (raft.term, raft.voted) };
        self.at(done, node, timer);
        done - self.now
    }

    pub(crate) fn on_synced(&mut self, node: NodeIx, len: usize, vote: (u64, Option<NodeIx>)) {
        let raft = &mut self.coordinators[node].raft;
        raft.synced_len = raft.synced_len.max(len).min(raft.log.len());
        raft.synced_vote = vote;
        self.advance_commit(node);
        self.apply_committed(node);
    }

    /// The leader appends; returns the index.
    pub(crate) fn append(&mut self, node: NodeIx, entry: Entry) -> u64 {
        self.coordinators[node].raft.log.push(Arc::new(entry));
        self.sync(node);
        self.coordinators[node].raft.last_index()
    }

    /// `Replica::propose_in_term`: refused unless this node leads in exactly `term`.
    pub(crate) fn propose_in_term(&mut self, node: NodeIx, term: u64, command: Command) -> Option<u64> {
        let raft = &self.coordinators[node].raft;
        if raft.role != Role::Leader || raft.term != term {
            return None;
        }
        let index = self.append(node, Entry { term, command: Some(command) });
        self.broadcast(node);
        Some(index)
    }

    pub(crate) fn on_heartbeat_timer(&mut self, node: NodeIx) {
        let c = &self.coordinators[node];
        if c.raft.role == Role::Leader && self.now >= c.beat_at {
            self.beat(node);
        }
    }

    /// A heartbeat round, and the next one.
    pub(crate) fn beat(&mut self, node: NodeIx) {
        self.broadcast(node);
        let next = self.now + self.timings.heartbeat;
        self.coordinators[node].beat_at = next;
        self.at(next, node, Timer::Heartbeat);
    }

    /// One round to every follower, entries or not.
    pub(crate) fn broadcast(&mut self, node: NodeIx) {
        let sent = self.mono(node);
        for peer in (0..COORDINATORS).filter(|peer| *peer != node) {
            self.append_to(node, peer, sent);
        }
    }

    fn append_to(&mut self, node: NodeIx, peer: NodeIx, sent: Mono) {
        let raft = &self.coordinators[node].raft;
        let next = raft.next[peer];
        let skip = usize::try_from(next - 1).unwrap_or(usize::MAX);
        let entries: Vec<_> = raft.log.iter().skip(skip).take(MOST_ENTRIES).cloned().collect();
        let prev = (raft.term_at(next - 1), next - 1);
        let append = Append { term: raft.term, prev, entries, commit: raft.commit, sent };
        self.send(node, peer, Message::Append(append));
    }

    pub(crate) fn on_append(&mut self, node: NodeIx, from: NodeIx, append: &Append) {
        let Append { term, prev, ref entries, commit, sent } = *append;
        let raft = &self.coordinators[node].raft;
        if term < raft.term {
            // No acknowledgement: it may reach a later life of the sender, whose clock began anew, as
            // the leader of the very term that it names.
            let message = Message::Appended { term: raft.term, matched: None, hint: 0, sent: None };
            return self.send(node, from, message);
        }
        if term > raft.term || raft.role != Role::Follower {
            self.step_down(node, term);
        }
        let (now, new_leader) = (self.now, self.coordinators[node].raft.leader != Some(from));
        let raft = &mut self.coordinators[node].raft;
        raft.leader = Some(from);
        raft.heard_at = now;
        self.put_election_off(node);
        if new_leader {
            self.tell_sights(node);
        }
        let raft = &mut self.coordinators[node].raft;
        if raft.term_at(prev.1) != prev.0 || prev.1 > raft.last_index() {
            // What is committed is in every later leader's log: a sound place to go on from.
            let hint = raft.commit;
            let wait = self.sync(node);
            return self.send_after(
                wait,
                node,
                from,
                Message::Appended { term, matched: None, hint, sent: Some(sent) },
            );
        }
        let mut changed = raft.synced_vote != (raft.term, raft.voted);
        for (i, entry) in entries.iter().enumerate() {
            let index = prev.1 + 1 + i as u64;
            if raft.term_at(index) == entry.term {
                continue;
            }
            raft.log.truncate(usize::try_from(index - 1).unwrap_or(usize::MAX));
            raft.synced_len = raft.synced_len.min(raft.log.len());
            raft.log.push(entry.clone());
            changed = true;
        }
        let matched = prev.1 + entries.len() as u64;
        raft.commit = raft.commit.max(commit.min(matched));
        let behind = raft.synced_len < raft.log.len();
        let wait = if changed || behind { self.sync(node) } else { 0 };
        self.apply_committed(node);
        let message = Message::Appended { term, matched: Some(matched), hint: 0, sent: Some(sent) };
        self.send_after(wait, node, from, message);
    }

    /// A leader was heard of: the election that is armed finds `stand_at` moved on.
    fn put_election_off(&mut self, node: NodeIx) {
        let timings = self.timings;
        let wait = timings.election_max + self.random.between(timings.election_min, timings.election_max);
        self.coordinators[node].raft.stand_at = self.now + wait;
    }

    pub(crate) fn on_appended(
        &mut self,
        node: NodeIx,
        from: NodeIx,
        term: u64,
        matched: Option<u64>,
        hint: u64,
        sent: Option<Mono>,
    ) {
        let raft = &mut self.coordinators[node].raft;
        if term > raft.term {
            return self.step_down(node, term);
        }
        if raft.role != Role::Leader || term < raft.term || sent.is_none() {
            return;
        }
        raft.acked[from] = raft.acked[from].max(sent);
        match matched {
            Some(matched) => {
                raft.matched[from] = raft.matched[from].max(matched);
                raft.next[from] = raft.next[from].max(matched + 1);
            }
            None => raft.next[from] = (hint + 1).max(raft.matched[from] + 1),
        }
        let newest = matched.is_none_or(|matched| matched == raft.matched[from]);
        let more = newest && raft.next[from] <= raft.last_index();
        if more {
            let sent = self.mono(node);
            self.append_to(node, from, sent);
        }
        self.advance_commit(node);
        self.apply_committed(node);
        self.check_confirms(node);
    }

    /// Commits what a majority has on disk, if it is of this term.
    fn advance_commit(&mut self, node: NodeIx) {
        let raft = &mut self.coordinators[node].raft;
        if raft.role != Role::Leader {
            return;
        }
        raft.matched[node] = raft.synced_len as u64;
        let mut matched = raft.matched;
        matched.sort_unstable();
        let majority = matched[(COORDINATORS - 1) / 2];
        if majority > raft.commit && raft.term_at(majority) == raft.term {
            raft.commit = majority;
            // The followers hear of it at once, as openraft tells them.
            self.broadcast_commit(node);
        }
    }

    fn broadcast_commit(&mut self, node: NodeIx) {
        let commit = self.coordinators[node].raft.commit;
        self.oracle_committed(node, commit);
        self.broadcast(node);
    }

    /// Applies what is committed and on this node's disk.
    pub(crate) fn apply_committed(&mut self, node: NodeIx) {
        loop {
            let coordinator = &self.coordinators[node];
            let next = coordinator.applied + 1;
            if next > coordinator.raft.commit.min(coordinator.raft.synced_len as u64) {
                return;
            }
            let Some(entry) = coordinator.raft.entry(next).cloned() else { return };
            self.apply_entry(node, next, &entry);
        }
    }
}
