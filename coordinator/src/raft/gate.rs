//! When a node may vote.
//!
//! A node that has just started does not remember the leader's lease that it supported before it
//! stopped; voting at once, it could elect a second leader while the first still holds its lease.
//! So it neither votes nor stands for election until any such lease is over. And a node whose data
//! directory is empty in a cluster that has a history does not remember what it has acknowledged:
//! it keeps from voting until a leader, elected without it, has brought it up to its own term.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

const OPEN: u8 = 0;
const DECIDING: u8 = 1;
const JOINING: u8 = 2;

/// Whether this node votes.
#[derive(Debug)]
pub(super) struct VoteGate {
    quarantined_until: Option<Instant>,
    entry: AtomicU8,
}

impl VoteGate {
    /// A gate for a node that goes on from its log, closed until `until`.
    pub(super) fn quarantined(until: Instant) -> Self {
        Self { quarantined_until: Some(until), entry: AtomicU8::new(OPEN) }
    }

    /// A gate for a node with an empty log, closed until it is known what that means.
    pub(super) fn deciding() -> Self {
        Self { quarantined_until: None, entry: AtomicU8::new(DECIDING) }
    }

    /// A gate that is always open: a node alone in its cluster has nobody to contradict.
    pub(super) fn open() -> Self {
        Self { quarantined_until: None, entry: AtomicU8::new(OPEN) }
    }

    /// The cluster is being formed, or this node has caught up.
    pub(super) fn admit(&self) {
        self.entry.store(OPEN, Ordering::Release);
    }

    /// The cluster has a history that this node does not have.
    pub(super) fn join(&self) {
        self.entry.store(JOINING, Ordering::Release);
    }

    /// Why the node does not vote at `now`, if it does not.
    pub(super) fn closed(&self, now: Instant) -> Option<&'static str> {
        match self.entry.load(Ordering::Acquire) {
            DECIDING => {
                return Some("its log is empty, and it does not know yet whether the cluster has a history");
            }
            JOINING => return Some("its log was empty, and it has not caught up with a leader yet"),
            _ => {}
        }
        let waiting = self.quarantined_until.is_some_and(|until| now < until);
        waiting.then_some("it has just started, and a leader may still hold a lease that it supported before")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_restarted_node_votes_only_after_its_quarantine() {
        let start = Instant::now();
        let gate = VoteGate::quarantined(start + Duration::from_millis(330));
        assert!(gate.closed(start + Duration::from_millis(329)).is_some());
        assert!(gate.closed(start + Duration::from_millis(330)).is_none());
    }

    #[test]
    fn a_node_with_an_empty_log_votes_only_once_admitted() {
        let now = Instant::now();
        let gate = VoteGate::deciding();
        assert!(gate.closed(now).is_some());
        gate.join();
        assert!(gate.closed(now).is_some());
        gate.admit();
        assert!(gate.closed(now).is_none());
    }
}
