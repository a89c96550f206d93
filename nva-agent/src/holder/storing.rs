//! What the lease's owner keeps on disk: when it is written, and what follows once it is there or
//! cannot be.

use std::future::pending;
use std::time::Duration;

use coordinator_core::ids::Token;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::{Holder, RETRY_AFTER};
use crate::clock;
use crate::enforcer::Enforcer;
use crate::token_store::{StoreError, TokenStore};

pub(super) type Stored = (TokenStore, Result<(), StoreError>);

/// A write under way.
pub(super) struct Writing {
    task: JoinHandle<Stored>,
    /// The token that it stores, if it is for one.
    token: Option<Token>,
    /// The promise that it stores or takes back, if it changes anything about it.
    promised: Option<Duration>,
    /// It changes neither the token nor the VIPs.
    promise_alone: bool,
}

impl<E: Enforcer> Holder<E> {
    pub(super) fn write_what_is_missing(&mut self) {
        let mut vips = self.assigned.clone();
        vips.extend(self.maybe_up.iter().filter(|vip| !self.assigned.contains(vip)).cloned());
        let drops_since = self.to_give_up().unwrap_or(self.drops_since);
        let same = self.token_wanted.is_none() && vips == self.remembered;
        let gives_up = drops_since != self.drops_since;
        if same && self.promise_wanted.is_none() && !gives_up {
            self.store_fault = None;
            return;
        }
        if same && self.promise_wanted.is_none() && clock::now() < self.give_up_at {
            return;
        }
        if self.token_wanted.is_none() && self.store_fault.is_some() && clock::now() < self.not_before {
            return;
        }
        let Some(mut store) = self.store.take() else { return };
        // Another one may be wanted before this one is stored.
        let token = self.token_wanted.take();
        let highest = token.unwrap_or(self.lease.highest());
        let promised = self.promise_wanted.take();
        let task = tokio::task::spawn_blocking(move || {
            let promised = promised.unwrap_or(store.stored().promised());
            let result = store.store(highest, vips, promised, drops_since);
            (store, result)
        });
        self.writing = Some(Writing { task, token, promised, promise_alone: same });
    }

    pub(super) fn on_stored(&mut self, stored: Option<Stored>) {
        let writing = self.writing.take();
        let promised = writing.as_ref().and_then(|writing| writing.promised);
        let wanted = writing.as_ref().and_then(|writing| writing.token);
        let promise_alone = writing.is_some_and(|writing| writing.promise_alone);
        let result = match stored {
            Some((store, result)) => {
                self.remembered = store.stored().vips.clone();
                self.drops_since = store.stored().drops_since;
                let highest = store.stored().highest;
                self.store = Some(store);
                result.map(|()| highest).map_err(|error| describe(&error))
            }
            // The writer panicked: it has no way to, and without its store nothing is accepted.
            None => Err("the state directory is lost; restart the agent".to_owned()),
        };
        let stored = result.is_ok();
        let effects = match result {
            Ok(highest) => {
                self.store_fault = None;
                if wanted.is_some() || highest > self.lease.highest() {
                    self.lease.on_persisted(highest, clock::now())
                } else {
                    Vec::new()
                }
            }
            // Nothing here rests on it: only the coordinators are told later that failsafe is
            // given up. A healthy active is not moved for that.
            Err(fault) if promise_alone && promised.is_none() => {
                warn!(%fault, "that failsafe is given up could not be stored; it is tried again");
                self.give_up_at = clock::now().plus(RETRY_AFTER);
                Vec::new()
            }
            Err(fault) => {
                if self.store_fault.as_ref() != Some(&fault) {
                    error!(%fault, "the state could not be stored; no lease is taken");
                }
                self.store_fault = Some(fault);
                if promise_alone {
                    // What is held, or will be, does not rest on a promise to others.
                    Vec::new()
                } else {
                    self.not_before = clock::now().plus(RETRY_AFTER);
                    self.lease.on_persist_failed()
                }
            }
        };
        self.run_effects(effects);
        if let Some(promised) = promised {
            self.on_promise_stored(promised, stored);
        }
    }

    /// The declaration that gives failsafe up, while that is not on disk.
    pub(super) fn to_give_up(&self) -> Option<u64> {
        let failsafe = self.group.as_ref().is_none_or(|group| group.failsafe);
        (!failsafe && self.revision > self.drops_since).then_some(self.revision)
    }
}

fn describe(error: &StoreError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The end of the write under way; never, without one. `None` when the writer panicked.
pub(super) async fn finished(writing: &mut Option<Writing>) -> Option<Stored> {
    match writing {
        Some(writing) => (&mut writing.task).await.ok(),
        None => pending().await,
    }
}
