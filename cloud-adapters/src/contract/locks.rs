//! One writer per resource within a process.
//!
//! Conditional writes keep two writers of one resource correct, but each success costs the other
//! a failure and a fresh read, and a cloud's write takes tens of seconds. So the moves of one
//! process queue up instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks by resource id. Ids that nobody holds or waits for take no space.
#[derive(Debug, Default)]
pub struct ResourceLocks {
    by_id: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to write the resources that it was asked for, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    _guards: Vec<OwnedMutexGuard<()>>,
}

impl ResourceLocks {
    /// Waits until all of `ids` are free. Whoever waits is served in order.
    pub async fn acquire(&self, ids: &BTreeSet<String>) -> Turn {
        let mut guards = Vec::with_capacity(ids.len());
        // In the order of ids, the same for everyone: so no two can each wait for the other.
        for id in ids {
            guards.push(self.lock_of(id).lock_owned().await);
        }
        Turn { _guards: guards }
    }

    fn lock_of(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        // A lock in use is held by its guard or its waiter besides this map.
        by_id.retain(|_, lock| Arc::strong_count(lock) > 1);
        by_id.entry(id.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn ids(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|id| (*id).to_owned()).collect()
    }

    #[tokio::test]
    async fn only_overlapping_turns_wait_and_unused_locks_go_away() {
        let locks = ResourceLocks::default();
        let first = locks.acquire(&ids(&["a", "b"])).await;
        assert!(locks.acquire(&ids(&["b", "c"])).now_or_never().is_none());
        let other = locks.acquire(&ids(&["d"])).now_or_never().unwrap();
        drop((first, other));
        drop(locks.acquire(&ids(&["b", "c"])).now_or_never().unwrap());
        drop(locks.acquire(&ids(&["x"])).await);
        assert_eq!(locks.by_id.lock().unwrap().len(), 1);
    }
}
