//! Raft, as far as the control loop can tell: terms, votes, a replicated log, and `t_q`.
//!
//! Modelled, not openraft: what is kept is what `coordinator/src/raft/replica.rs` promises. A vote
//! and an entry count once they are on disk; a crash loses what is not. `t_q` is the time at
//! which the newest heartbeat that a quorum acknowledged was *sent*, on the leader's clock
//! (`leadership.rs`). A leader that is cut off goes on believing that it leads until it hears of a
//! higher term. Votes are withheld while a leader was heard of, with a pre-vote, and for a while
//! after a start (`gate.rs`).

mod election;
mod replicate;

use std::sync::Arc;

use coordinator_core::time::Mono;

use super::clock::At;
use super::event::{Entry, NodeIx};
use super::setup::COORDINATORS;

/// What a node believes itself to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Follower,
    Candidate { pre: bool },
    Leader,
}

/// One node's part.
#[derive(Debug)]
pub(crate) struct Raft {
    pub(crate) term: u64,
    pub(crate) voted: Option<NodeIx>,
    /// Entry `i` has index `i + 1`.
    pub(crate) log: Vec<Arc<Entry>>,
    /// What survives a crash.
    pub(crate) synced_len: usize,
    pub(crate) synced_vote: (u64, Option<NodeIx>),
    /// When the write under way is done, and the one behind it, which takes in all that comes.
    pub(crate) writing_until: At,
    pub(crate) queued_until: At,
    pub(crate) role: Role,
    pub(crate) leader: Option<NodeIx>,
    pub(crate) commit: u64,
    pub(crate) heard_at: At,
    pub(crate) stand_at: At,
    /// When the one election timer fires that counts.
    pub(crate) armed_at: At,
    pub(crate) quarantined_until: At,
    pub(crate) votes: [bool; COORDINATORS],
    pub(crate) next: [u64; COORDINATORS],
    pub(crate) matched: [u64; COORDINATORS],
    /// When the newest acknowledged round was sent to each, on this node's clock.
    pub(crate) acked: [Option<Mono>; COORDINATORS],
    /// `t_q` of the newest term before in which this node led. For a deliberate mistake only.
    pub(crate) older_t_q: Option<Mono>,
}

impl Raft {
    pub(crate) fn new(quarantined_until: At) -> Raft {
        Raft {
            term: 0,
            voted: None,
            log: Vec::new(),
            synced_len: 0,
            synced_vote: (0, None),
            writing_until: 0,
            queued_until: 0,
            role: Role::Follower,
            leader: None,
            commit: 0,
            heard_at: 0,
            stand_at: 0,
            armed_at: 0,
            quarantined_until,
            votes: [false; COORDINATORS],
            next: [1; COORDINATORS],
            matched: [0; COORDINATORS],
            acked: [None; COORDINATORS],
            older_t_q: None,
        }
    }

    pub(crate) fn last_index(&self) -> u64 {
        self.log.len() as u64
    }

    pub(crate) fn term_at(&self, index: u64) -> u64 {
        self.entry(index).map_or(0, |entry| entry.term)
    }

    pub(crate) fn entry(&self, index: u64) -> Option<&Arc<Entry>> {
        let at = usize::try_from(index).ok()?.checked_sub(1)?;
        self.log.get(at)
    }

    /// `(term, index)` of the newest entry.
    pub(crate) fn last(&self) -> (u64, u64) {
        (self.term_at(self.last_index()), self.last_index())
    }

    /// `t_q`: with three nodes, the leader and the newest acknowledgement are a majority.
    pub(crate) fn quorum_acked_at(&self) -> Option<Mono> {
        if self.role != Role::Leader {
            return None;
        }
        self.acked.iter().flatten().max().copied()
    }

    /// What is left after a crash.
    pub(crate) fn crash(&mut self, applied: u64) {
        self.log.truncate(self.synced_len);
        (self.term, self.voted) = self.synced_vote;
        self.role = Role::Follower;
        self.leader = None;
        self.commit = applied;
        self.acked = [None; COORDINATORS];
        self.older_t_q = None;
    }
}
