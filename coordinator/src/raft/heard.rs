//! What the peers' answers say besides Raft: that they came, and how a peer's storage is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator_core::ids::NodeId;
use tokio::time::Instant;

use super::{StorageLevel, StorageReport};

/// The newest answer of each peer. Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    inner: Arc<Mutex<BTreeMap<NodeId, Answer>>>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Instant,
    /// The newest one, and when it came.
    storage: Option<(StorageReport, Instant)>,
}

/// The storage of a peer that has answered lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerStorage {
    /// How bad it is.
    pub(super) level: StorageLevel,
    /// How long ago it had certainly answered: never less than the truth, but for the way that the
    /// report took.
    pub(super) wrote: Duration,
}

impl Heard {
    /// `peer` has answered.
    pub(super) fn answered(&self, peer: NodeId) {
        let at = Instant::now();
        self.lock().entry(peer).or_insert(Answer { at, storage: None }).at = at;
    }

    /// `peer` has answered, and said how its storage is.
    pub(super) fn storage(&self, peer: NodeId, report: StorageReport) {
        let at = Instant::now();
        self.lock().insert(peer, Answer { at, storage: Some((report, at)) });
    }

    /// Whether `peer` has answered within the last `lately`.
    pub(super) fn is_there(&self, peer: NodeId, lately: Duration) -> bool {
        self.lock().get(&peer).is_some_and(|answer| answer.at.elapsed() <= lately)
    }

    /// How the storage of `peer` is, if it has answered within the last `lately`.
    pub(super) fn lately(&self, peer: NodeId, lately: Duration) -> Option<PeerStorage> {
        let (report, at) = self.lock().get(&peer)?.storage?;
        let age = at.elapsed();
        let wrote = Duration::from_millis(report.wrote_ms_ago).saturating_add(age);
        (age <= lately).then_some(PeerStorage { level: report.level, wrote })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Answer>> {
        // Each change is one insertion: what a panicking thread left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
