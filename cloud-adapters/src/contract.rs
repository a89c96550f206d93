//! What every adapter must do, and the one driver that uses it.
//!
//! A move is always: claim (write the token onto the resource, which moves its ETag) → read →
//! plan the difference → write, conditional on what was read → read back. See DESIGN in
//! `docs/safety.md`: conditional writes alone do not fence a deposed leader's late write.

use std::sync::Mutex;
use std::time::Duration;

use coordinator_core::command::CallRecord;
use coordinator_core::ids::{ApplianceName, GroupName, Token};
use coordinator_core::model::BindingSpec;
use futures::future::BoxFuture;

/// One binding to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveJob {
    /// The group.
    pub group: GroupName,
    /// The fencing token of the operation.
    pub token: Token,
    /// The binding.
    pub binding: BindingSpec,
    /// Where it must point.
    pub to: ApplianceName,
}

/// Where a binding points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointing {
    /// At an appliance of the group.
    At(ApplianceName),
    /// At nothing.
    Nowhere,
    /// At something that no appliance of the group is declared for.
    Elsewhere(String),
}

/// Asked before each write: does this node still lead, by a quorum's word of just now?
pub trait Gate: Send + Sync {
    /// # Errors
    /// [`AdapterError::Deposed`] when it does not, or when that cannot be found out in time.
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>>;
}

/// Collects every call of a move, for the record. Bounded: the oldest calls are kept.
#[derive(Debug, Default)]
pub struct Journal {
    calls: Mutex<Vec<CallRecord>>,
}

/// Most calls that a journal keeps.
pub const JOURNAL_CALLS: usize = 64;

impl Journal {
    /// Adds a call, unless the journal is full.
    pub fn record(&self, call: impl Into<String>, result: impl Into<String>, took: Duration) {
        let mut calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if calls.len() < JOURNAL_CALLS {
            calls.push(CallRecord { call: call.into(), result: result.into(), took });
        }
    }

    /// Takes all calls out.
    pub fn take(&self) -> Vec<CallRecord> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Why a binding was not moved or read.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// Another leader has taken over: stop at once.
    #[error("deposed: {0}")]
    Deposed(String),
    /// It may work when tried again.
    #[error("{0}")]
    Transient(String),
    /// It will not work until someone changes something.
    #[error("{0}")]
    Permanent(String),
}
