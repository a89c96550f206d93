//! The record of every call of a move.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coordinator_core::command::CallRecord;

/// Most calls that a journal keeps.
pub const JOURNAL_CALLS: usize = 64;

/// Collects every call of a move, for the record. Bounded: the oldest [`JOURNAL_CALLS`] are kept
/// and the last of them then says how many more there were.
#[derive(Debug, Default)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<CallRecord>,
    dropped: u64,
}

impl Journal {
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
        std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner)).told()
    }

    /// All calls so far; they stay. For bindings that are moved together: the calls are made for
    /// each of them.
    pub fn so_far(&self) -> Vec<CallRecord> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Inner { calls: inner.calls.clone(), dropped: inner.dropped }.told()
    }
}

impl Inner {
    fn told(self) -> Vec<CallRecord> {
        let mut calls = self.calls;
        if self.dropped > 0 {
            let result = format!("{} more calls, not kept", self.dropped);
            calls.push(CallRecord { call: "…".to_owned(), result, took: Duration::ZERO });
        }
        calls
    }
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
