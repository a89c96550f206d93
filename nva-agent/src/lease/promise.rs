//! Promises between the appliances of a group, for when the coordinators' quorum is lost.
//!
//! The active appliance A goes on past what a leader granted as long as *every* other appliance
//! of its group promises to accept no grant:
//!
//! ```text
//!   A notes a0 ──▶ asks all peers, for ttl ──▶ each promises ──▶ A holds until a0 + ttl
//!                                                │
//!                     the peer accepts no grant until receipt + ttl × (1 + drift), by its clock
//! ```
//!
//! A's deadline counts from before it asked and a peer's promise from when it was asked, so the
//! promise is the later one to end by any clock within the bound on drift. A peer that holds, or
//! is about to, promises nothing. So while A relies on promises nobody else holds, whatever the
//! coordinators think. None of it is a way to get a lease: promises renew what is held, under
//! the token that it is held under, and a peer that knows a newer token refuses.

use std::time::Duration;

use coordinator_core::ids::Token;
use coordinator_core::model::LeaseSpec;
use coordinator_core::time::Mono;

use super::{Effect, Held, Lease, Why};

/// A promise on disk that is over is removed this much later, so that a run of short ones costs
/// one write at its start and one after its end.
const LINGER: Duration = Duration::from_secs(30);

/// What a peer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The token under which the peer holds.
    pub token: Token,
    /// For how long by the peer's clock. Zero says that the peer held under the token before
    /// `token`, holds nothing under it or older ones, and never will again.
    pub lasting: Duration,
    /// How much faster this clock may run than the peer's, in parts per million.
    pub drift_ppm: u32,
}

/// The answer to an [`Ask`] that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// No grant is accepted before then.
    Promised {
        /// By this appliance's clock.
        until: Mono,
    },
    /// Nothing yet: what is promised has to be on disk first. Ask the same again after the
    /// effect, or, where there is none, the one that is under way, is done.
    OnceStored(Option<Effect>),
    /// A promise that nobody relies on any more is over, if there was one.
    Freed,
}

/// Why nothing is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A newer token than the peer's is known: the peer's lease is over.
    #[error("token {0} is newer than yours")]
    NewerToken(Token),
    /// This appliance holds the lease itself, or is about to.
    #[error("this appliance holds the lease itself, or is about to")]
    Holding,
}

/// What an appliance has promised to its peers.
#[derive(Debug, Clone, Default)]
pub(super) struct Promises {
    /// No grant is accepted before.
    until: Mono,
    /// The highest token that was promised to; `None` when an earlier life promised, or nobody.
    token: Option<Token>,
    /// What is on disk allows promises of this length, at least, even while it is being changed.
    stored: Duration,
    storing: Option<Duration>,
}

impl Promises {
    pub(super) fn inherited(promised: Duration, now: Mono) -> Self {
        Promises { until: now.plus(promised), token: None, stored: promised, storing: None }
    }

    /// Until when no grant may be accepted, if not now.
    pub(super) fn forbid(&self, now: Mono) -> Option<Mono> {
        (now < self.until).then_some(self.until)
    }

    fn make(&mut self, now: Mono, ask: Ask) -> Given {
        let lasting = LeaseSpec { ttl: ask.lasting, drift_ppm: ask.drift_ppm, ..LeaseSpec::default() }.wait();
        if self.stored < lasting {
            return Given::OnceStored(self.store(lasting));
        }
        self.until = self.until.max(now.plus(lasting));
        self.token = self.token.max(Some(ask.token));
        Given::Promised { until: self.until }
    }

    /// Ends a promise to a peer that has given up for good what it promised for. A late one says
    /// nothing about promises to a token that is newer.
    fn lift(&mut self, below: Token) {
        if self.token.is_some_and(|token| token < below) {
            self.until = Mono::default();
            self.token = None;
        }
    }

    /// Takes a promise that has long been over from the disk.
    pub(super) fn forget(&mut self, now: Mono) -> Option<Effect> {
        let over = !self.stored.is_zero() && self.until.plus(LINGER) <= now;
        if over { self.store(Duration::ZERO) } else { None }
    }

    fn store(&mut self, lasting: Duration) -> Option<Effect> {
        if self.storing.is_some() {
            return None;
        }
        self.stored = self.stored.min(lasting);
        self.storing = Some(lasting);
        Some(Effect::PersistPromise(lasting))
    }
}

impl Lease {
    /// A peer asks for a promise. Everything else that the shell knows of and that may still be
    /// up on this machine is a reason to refuse, too.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was promised.
    pub fn promise(&mut self, now: Mono, ask: Ask) -> Result<Given, Refusal> {
        if ask.lasting.is_zero() {
            self.promises.lift(ask.token);
            return Ok(Given::Freed);
        }
        if self.told > ask.token {
            return Err(Refusal::NewerToken(self.told));
        }
        if self.holding.is_some() || self.pending.is_some() {
            return Err(Refusal::Holding);
        }
        Ok(self.promises.make(now, ask))
    }

    /// Until when this appliance has promised to accept no grant, if it has.
    pub fn promised_until(&self, now: Mono) -> Option<Mono> {
        self.promises.forbid(now)
    }

    /// A promise of this length is on disk: one that was asked for can be given.
    pub fn on_promise_persisted(&mut self, lasting: Duration) {
        self.promises.storing = None;
        self.promises.stored = lasting;
    }

    /// The promise could not be stored, and must not be given.
    pub fn on_promise_persist_failed(&mut self) {
        self.promises.storing = None;
    }

    /// *Every* peer promised to accept no grant for `ttl`, asked at `asked_at` or later by an
    /// appliance that held under `token`. Renews what is held under that token, and only that.
    pub fn on_promises(&mut self, asked_at: Mono, now: Mono, token: Token, ttl: Duration) -> Vec<Effect> {
        let mut effects = self.on_time(now);
        let new = Held::granted(token, asked_at, ttl);
        let longer = |held: &Held| held.token == token && held.deadline < new.deadline;
        if self.holding.as_ref().is_some_and(longer) && self.floor == token && now < new.release_at {
            self.relying = true;
            self.holding = Some(new);
            effects.push(Effect::Renew(new));
        }
        effects
    }

    /// A peer knows `token`: if it is newer than that of what is held, another appliance has been
    /// made active.
    pub fn on_newer_token(&mut self, token: Token, now: Mono) -> Vec<Effect> {
        let mut effects = self.on_time(now);
        if token > self.floor {
            effects.extend(self.superseded(token, Why::NewerToken));
        }
        effects
    }
}

#[cfg(test)]
#[path = "promise_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "promise_world.rs"]
mod world;
