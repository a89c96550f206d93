//! The agent's side of the VIP lease: pure, with time as a parameter.
//!
//! ```text
//!              grant, token not on disk yet
//!   nothing ───────────────────────────────▶ pending ── stored ──▶ holding ─┐ renewal
//!      ▲                                        │                   │  ▲    │
//!      └── standby, not declared, disk fault ───┴── or deadline ◀───┘  └────┘
//! ```
//!
//! Four rules keep it safe:
//! - A deadline counts from before the request left (`a0 + ttl`), so delay only shortens it.
//! - A token is on disk before anything is held under it, or reported as accepted; a lower one is
//!   refused ever after, also by the next life of this agent.
//! - A grant whose request is not newer than the newest answer of any leader says nothing new:
//!   replies that arrive late or in another order extend nothing.
//! - While a peer relies on a promise of this appliance, no grant of any token is accepted
//!   ([`promise`]).

pub mod promise;

use std::time::Duration;

use coordinator_api::agent::Instruction;
use coordinator_core::ids::Token;
use coordinator_core::time::Mono;

use promise::Promises;

/// The longest that a lease ends before its deadline, so that the VIPs are *gone* at the
/// deadline rather than on their way out. A tenth of the lease where that is less.
const LONGEST_LEAD: Duration = Duration::from_millis(50);

/// A lease that is held, or will be once its token is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The fencing token.
    pub token: Token,
    /// Nothing may be held from here on.
    pub deadline: Mono,
    /// When the release has to start.
    pub release_at: Mono,
}

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No renewal came in time.
    Expired,
    /// The leader says that another appliance is active.
    Standby,
    /// A peer knows a newer token than that of what is held.
    NewerToken,
    /// The leader says that this appliance is in no group.
    NotDeclared,
    /// A newer token could not be stored.
    CannotStore,
    /// The VIPs could not be put in place.
    CannotEnforce,
    /// The agent is stopping.
    Stopping,
}

/// What the shell has to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Store the token, then say so with [`Lease::on_persisted`] or [`Lease::on_persist_failed`].
    /// At most one is under way at a time.
    PersistHighest(Token),
    /// Put the VIPs in place and announce them: the lease is new, or has a newer token.
    Acquire(Held),
    /// The same lease, for longer.
    Renew(Held),
    /// Take the VIPs away at once.
    Release(Why),
    /// A grant with a token lower than `highest` was refused. Nothing to do but to say so.
    Refused {
        /// Of the grant.
        token: Token,
        /// What this agent accepts at least.
        highest: Token,
    },
    /// Store for how long at most this appliance has promised, zero for not at all, then say so
    /// with [`Lease::on_promise_persisted`] or [`Lease::on_promise_persist_failed`]. At most one
    /// is under way at a time, beside that of a token.
    PersistPromise(Duration),
    /// A grant was not accepted, because of a promise. Nothing to do but to say so.
    HeldBack {
        /// Of the grant.
        token: Token,
        /// When the promise is over.
        until: Mono,
    },
}

/// The lease of one appliance.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The highest token on disk.
    stored: Token,
    /// The highest token seen: never below `stored`. Refusing starts before the disk is done.
    floor: Token,
    /// See [`Lease::newest`]. May be below `floor`, which is about other groups and lives too.
    told: Token,
    /// The token being stored.
    storing: Option<Token>,
    holding: Option<Held>,
    pending: Option<Held>,
    /// When the newest request that a leader answered had left.
    newest_request: Option<Mono>,
    /// When the request had left that what is held or pending was granted or last renewed for.
    granted_at: Option<Mono>,
    /// The deadline of what is held rests on the promises of peers.
    relying: bool,
    promises: Promises,
}

impl Lease {
    /// Nothing held, with the highest token that an earlier life stored.
    pub fn new(stored: Token) -> Self {
        Lease {
            stored,
            floor: stored,
            told: Token::NONE,
            storing: None,
            holding: None,
            pending: None,
            newest_request: None,
            granted_at: None,
            relying: false,
            promises: Promises::default(),
        }
    }

    /// Like [`Lease::new`], after an earlier life that had stored a promise for at most
    /// `promised`: it may be relied upon, so it holds from `now` on.
    pub fn after_promise(stored: Token, promised: Duration, now: Mono) -> Self {
        Lease { promises: Promises::inherited(promised, now), ..Lease::new(stored) }
    }

    /// The highest token on disk.
    pub fn highest(&self) -> Token {
        self.stored
    }

    /// The highest token that anybody has told of in this life, in this group.
    pub fn newest(&self) -> Token {
        self.told
    }

    /// The appliance is in another group than before: what was told of tokens was about that.
    pub fn on_other_group(&mut self) {
        self.told = Token::NONE;
    }

    /// The lease that is held.
    pub fn holding(&self) -> Option<Held> {
        self.holding
    }

    /// When the request had left that what is held was granted or last renewed for, by a leader.
    pub fn granted_at(&self) -> Option<Mono> {
        self.granted_at.filter(|_| self.holding.is_some())
    }

    /// Whether what is held would be over by now, or sooner than its deadline, but for the
    /// promises of peers.
    pub fn relying(&self) -> bool {
        self.relying
    }

    /// When [`Lease::on_time`] has something to do.
    pub fn next_wakeup(&self) -> Option<Mono> {
        self.holding.iter().chain(&self.pending).map(|held| held.release_at).min()
    }

    /// Takes in the answer to a request that left at `sent_at`.
    pub fn on_instruction(&mut self, sent_at: Mono, now: Mono, instruction: Instruction) -> Vec<Effect> {
        let mut effects = self.on_time(now);
        if instruction == Instruction::NotLeader {
            return effects;
        }
        let newer = self.newest_request.is_none_or(|newest| sent_at > newest);
        self.newest_request = self.newest_request.max(Some(sent_at));
        match instruction {
            Instruction::NotLeader => {}
            Instruction::Grant { token, ttl_ms } => {
                self.told = self.told.max(token);
                if token < self.floor || token == Token::NONE {
                    effects.push(Effect::Refused { token, highest: self.floor });
                } else if newer {
                    effects.extend(self.granted(sent_at, now, token, Duration::from_millis(ttl_ms)));
                }
            }
            // Releasing is always safe, so the order of replies does not matter here.
            Instruction::Standby { token } => effects.extend(self.superseded(token, Why::Standby)),
            // To refuse more is always safe, so the order of replies does not matter here either.
            Instruction::Wait { token } => {
                self.floor = self.floor.max(token);
                if newer {
                    self.pending = None;
                }
                effects.extend(self.persist_if_needed());
            }
            Instruction::NotDeclared => {
                if newer {
                    self.pending = None;
                    effects.extend(self.release(Why::NotDeclared));
                }
            }
        }
        effects
    }

    fn granted(&mut self, sent_at: Mono, now: Mono, token: Token, ttl: Duration) -> Vec<Effect> {
        let new = Held::granted(token, sent_at, ttl);
        if new.release_at <= now {
            return Vec::new();
        }
        self.floor = token;
        if let Some(until) = self.promises.forbid(now) {
            let mut effects = vec![Effect::HeldBack { token, until }];
            effects.extend(self.persist_if_needed());
            return effects;
        }
        self.granted_at = Some(sent_at);
        match self.holding {
            Some(held) if held.token == token => {
                if new.deadline <= held.deadline {
                    return Vec::new();
                }
                self.relying = false;
                self.holding = Some(new);
                return vec![Effect::Renew(new)];
            }
            // What is held under an older token stays until its own deadline meanwhile.
            _ if token > self.stored => {
                let longer = |old: &Held| old.token == token && old.deadline > new.deadline;
                self.pending = Some(self.pending.filter(longer).unwrap_or(new));
                return self.persist_if_needed().into_iter().collect();
            }
            _ => {}
        }
        self.relying = false;
        self.holding = Some(new);
        vec![Effect::Acquire(new)]
    }

    /// Another appliance has the role, under `token`.
    fn superseded(&mut self, token: Token, why: Why) -> Vec<Effect> {
        self.floor = self.floor.max(token);
        self.told = self.told.max(token);
        self.pending = self.pending.filter(|pending| pending.token > token);
        let superseded = self.holding.is_some_and(|held| held.token <= token);
        let released = if superseded { self.release(why) } else { None };
        released.into_iter().chain(self.persist_if_needed()).collect()
    }

    fn persist_if_needed(&mut self) -> Option<Effect> {
        if self.storing.is_some() || self.floor <= self.stored {
            return None;
        }
        self.storing = Some(self.floor);
        Some(Effect::PersistHighest(self.floor))
    }

    /// `token` is on disk.
    pub fn on_persisted(&mut self, token: Token, now: Mono) -> Vec<Effect> {
        self.storing = None;
        self.stored = self.stored.max(token);
        let mut effects = self.on_time(now);
        if let Some(pending) = self.pending.take_if(|pending| pending.token <= self.stored) {
            self.relying = false;
            self.holding = Some(pending);
            effects.push(Effect::Acquire(pending));
        }
        effects.extend(self.persist_if_needed());
        effects
    }

    /// A token could not be stored. The grant is not accepted; it is tried again when the leader
    /// says something the next time.
    pub fn on_persist_failed(&mut self) -> Vec<Effect> {
        self.storing = None;
        self.pending = None;
        self.release(Why::CannotStore).into_iter().collect()
    }

    /// Ends what is over.
    pub fn on_time(&mut self, now: Mono) -> Vec<Effect> {
        self.pending = self.pending.filter(|pending| now < pending.release_at);
        let over = self.holding.is_some_and(|held| held.release_at <= now);
        let released = if over { self.release(Why::Expired) } else { None };
        released.into_iter().chain(self.promises.forget(now)).collect()
    }

    /// Gives up what is held: the VIPs cannot be put in place, or the agent is stopping.
    pub fn give_up(&mut self, why: Why) -> Option<Effect> {
        self.pending = None;
        self.release(why)
    }

    fn release(&mut self, why: Why) -> Option<Effect> {
        self.relying = false;
        self.holding.take().map(|_| Effect::Release(why))
    }
}

impl Held {
    /// What a grant of `ttl` gives, or promises for as long, for a request that left at `sent_at`.
    fn granted(token: Token, sent_at: Mono, ttl: Duration) -> Held {
        let deadline = sent_at.plus(ttl);
        Held { token, deadline, release_at: deadline.minus(LONGEST_LEAD.min(ttl / 10)) }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::Expired => "no renewal came in time",
            Why::Standby => "another appliance is active",
            Why::NewerToken => "a peer knows a newer token: another appliance is active",
            Why::NotDeclared => "this appliance is in no group",
            Why::CannotStore => "a newer token could not be stored",
            Why::CannotEnforce => "the virtual addresses could not be put in place",
            Why::Stopping => "the agent is stopping",
        })
    }
}

#[cfg(test)]
mod tests;
