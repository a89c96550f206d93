//! The record of every call of a move, and of what a cloud is at work on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coordinator_core::command::CallRecord;
use tokio::sync::mpsc;

/// Most calls that a journal keeps.
pub const JOURNAL_CALLS: usize = 64;

/// Collects every call of a move, for the record. Bounded: the oldest [`JOURNAL_CALLS`] are kept
/// and the last of them then says how many more there were.
///
/// It also remembers: a change that a cloud has accepted is told at once, so that it can be
/// committed where to ask how it goes, and a leader that takes the move over begins with what the
/// earlier one had told.
#[derive(Debug, Default)]
pub struct Journal {
    inner: Mutex<Inner>,
}

/// A change that a cloud has accepted and is at work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// The resource's id, as in [`Change`](super::Change).
    pub resource: String,
    /// Where to ask how it goes, in the adapter's own words; for [`Adapter::resume`] alone. Holds
    /// no secret.
    ///
    /// [`Adapter::resume`]: super::Adapter::resume
    pub place: String,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<CallRecord>,
    dropped: u64,
    places: BTreeMap<String, String>,
    tell: Option<mpsc::Sender<UnderWay>>,
}

impl Journal {
    /// A journal of a move that may have been begun before: `places` is what was told of it, by
    /// resource. What is accepted from now on is told to `tell`, as long as there is room.
    pub fn continuing(places: BTreeMap<String, String>, tell: mpsc::Sender<UnderWay>) -> Journal {
        let inner = Inner { places, tell: Some(tell), ..Inner::default() };
        Journal { inner: Mutex::new(inner) }
    }

    /// A cloud has accepted a change. Losing this is harmless: the resource itself tells as well.
    pub fn accepted(&self, under_way: UnderWay) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tell) = &inner.tell {
            // A full queue means that the log is slow; nothing waits for it.
            let _ = tell.try_send(under_way);
        }
    }

    /// Tells nothing more: whoever listens learns that the move has ended.
    pub fn stop_telling(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).tell = None;
    }

    /// Where an earlier attempt has left to ask how the change of a resource goes; once.
    pub fn take_place(&self, resource: &str) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).places.remove(resource)
    }

    /// Adds a call. Neither text may hold a secret.
    pub fn record(&self, call: impl Into<String>, result: impl Into<String>, took: Duration) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // One place is kept for the note of what was left out.
        if inner.calls.len() < JOURNAL_CALLS - 1 {
            inner.calls.push(CallRecord { call: call.into(), result: result.into(), took });
        } else {
            inner.dropped += 1;
        }
    }

    /// Takes all calls out.
    pub fn take(&self) -> Vec<CallRecord> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        told(std::mem::take(&mut inner.calls), std::mem::take(&mut inner.dropped))
    }

    /// All calls so far; they stay. For bindings that are moved together: the calls are made for
    /// each of them.
    pub fn so_far(&self) -> Vec<CallRecord> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        told(inner.calls.clone(), inner.dropped)
    }
}

fn told(mut calls: Vec<CallRecord>, dropped: u64) -> Vec<CallRecord> {
    if dropped > 0 {
        let result = format!("{dropped} more calls, not kept");
        calls.push(CallRecord { call: "…".to_owned(), result, took: Duration::ZERO });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_journal_says_how_many_calls_it_left_out() {
        let journal = Journal::default();
        for n in 0..100 {
            journal.record(format!("GET {n}"), "200", Duration::ZERO);
        }
        let calls = journal.take();
        assert_eq!(calls.len(), JOURNAL_CALLS);
        assert_eq!(calls[0].call, "GET 0");
        assert_eq!(calls[JOURNAL_CALLS - 1].result, "37 more calls, not kept");
        assert!(journal.take().is_empty());
    }
}
