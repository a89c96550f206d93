//! One appliance: the agent's lease in whole ticks, its disk, and the VIP in its kernel.
//!
//! [`Lease`] mirrors `nva_agent::lease::Lease`. It keeps times as what is left of them, or how
//! long ago they were, so that equal situations are equal states whenever they happen.

use super::{Bounds, Mutation};

/// No token: nobody was ever active.
pub const NONE: u8 = 0;

/// A lease held or pending, or [`Term::NOTHING`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term {
    /// Its token.
    pub token: u8,
    /// Ticks to its deadline; 0 means that there is no lease.
    pub left: u8,
}

impl Term {
    /// No lease.
    pub const NOTHING: Term = Term { token: NONE, left: 0 };

    /// Whether there is a lease.
    pub fn is_some(self) -> bool {
        self.left > 0
    }

    fn tick(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            *self = Term::NOTHING;
        }
    }
}

/// What a leader answers, with `ttl` in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Hold.
    Grant {
        /// The fencing token.
        token: u8,
        /// From before the request left.
        ttl: u8,
    },
    /// Hold nothing, and refuse lower tokens.
    Standby {
        /// The group's newest token.
        token: u8,
    },
    /// Not yet; refuse lower tokens.
    Wait {
        /// The group's newest token.
        token: u8,
    },
}

/// An answer, and how long ago its request left, by the agent's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reply {
    /// Ticks since the request left.
    pub age: u8,
    /// The answer to it.
    pub answer: Answer,
}

/// The lease of a running agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The highest token on disk, as this life knows it.
    pub stored: u8,
    /// The highest token seen.
    pub floor: u8,
    /// The token being stored, or [`NONE`].
    pub storing: u8,
    /// What is held.
    pub held: Term,
    /// What will be held once its token is on disk.
    pub pending: Term,
    /// Ticks since the newest answered request left; no more than the longest lease is told apart.
    pub newest: u8,
}

impl Lease {
    /// The lease of a life that begins with `stored` on disk.
    pub fn new(stored: u8, bounds: &Bounds) -> Lease {
        let (held, pending) = (Term::NOTHING, Term::NOTHING);
        Lease { stored, floor: stored, storing: NONE, held, pending, newest: bounds.ttl }
    }

    /// Takes in a reply.
    pub fn on_reply(&mut self, reply: Reply, bounds: &Bounds) {
        let newer = reply.age < self.newest;
        self.newest = self.newest.min(reply.age);
        match reply.answer {
            Answer::Grant { token, ttl } => {
                let refused = token < self.floor && bounds.mutation != Some(Mutation::LowerTokenAccepted);
                if !refused && token != NONE && newer {
                    let late = bounds.mutation == Some(Mutation::DeadlineFromArrival);
                    let left = if late { ttl } else { ttl.saturating_sub(reply.age) };
                    self.granted(Term { token, left }, bounds);
                }
            }
            Answer::Standby { token } => {
                self.floor = self.floor.max(token);
                if bounds.mutation == Some(Mutation::ActsBeforeDisk) && self.floor > self.stored {
                    self.stored = self.floor;
                    self.storing = self.floor;
                }
                if self.pending.token <= token {
                    self.pending = Term::NOTHING;
                }
                if self.held.token <= token {
                    self.held = Term::NOTHING;
                }
                self.store_if_needed();
            }
            Answer::Wait { token } => {
                self.floor = self.floor.max(token);
                if newer {
                    self.pending = Term::NOTHING;
                }
                self.store_if_needed();
            }
        }
    }

    fn granted(&mut self, new: Term, bounds: &Bounds) {
        if new.left == 0 {
            return;
        }
        self.floor = new.token;
        if self.held.is_some() && self.held.token == new.token {
            self.held.left = self.held.left.max(new.left);
            return;
        }
        if new.token > self.stored {
            if bounds.mutation == Some(Mutation::ActsBeforeDisk) {
                self.stored = new.token;
                self.held = new;
                self.storing = new.token;
                return;
            }
            if !(self.pending.token == new.token && self.pending.left > new.left) {
                self.pending = new;
            }
            self.store_if_needed();
            return;
        }
        self.held = new;
    }

    fn store_if_needed(&mut self) {
        if self.storing == NONE && self.floor > self.stored {
            self.storing = self.floor;
        }
    }

    /// The token being stored is on disk.
    pub fn on_stored(&mut self) {
        self.stored = self.stored.max(self.storing);
        self.storing = NONE;
        if self.pending.is_some() && self.pending.token <= self.stored {
            self.held = self.pending;
            self.pending = Term::NOTHING;
        }
        self.store_if_needed();
    }

    /// The token could not be stored.
    pub fn on_store_failed(&mut self) {
        self.storing = NONE;
        self.pending = Term::NOTHING;
        self.held = Term::NOTHING;
    }

    /// One tick of the machine's clock.
    pub fn tick(&mut self, bounds: &Bounds) {
        self.held.tick();
        self.pending.tick();
        self.newest = (self.newest + 1).min(bounds.ttl);
    }
}

/// One appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Appliance {
    /// The token on disk.
    pub disk: u8,
    /// Ticks until the kernel takes the VIP away; 0 means that it is not there.
    pub vip: u8,
    /// The agent's lease, while the agent runs.
    pub lease: Option<Lease>,
    /// Ticks since the agent started; no more than the longest lease is told apart.
    pub life: u8,
    /// The highest token that any report gave as accepted while it gave nothing as held: reports
    /// may arrive at any later time, so this is all of them.
    pub reported: u8,
}

impl Appliance {
    /// An appliance whose agent has been running for long and holds nothing.
    pub fn new(bounds: &Bounds) -> Appliance {
        let lease = Some(Lease::new(NONE, bounds));
        Appliance { disk: NONE, vip: 0, lease, life: bounds.ttl, reported: NONE }
    }

    /// Changes the lease, if the agent runs, and does what follows from that to the VIP.
    pub fn with_lease(&mut self, change: impl FnOnce(&mut Lease)) {
        let Some(lease) = &mut self.lease else { return };
        let held = lease.held;
        change(lease);
        if lease.held.is_some() {
            self.vip = lease.held.left;
        } else if held.is_some() {
            self.vip = 0;
        }
    }

    /// Sends a report, which some leader will get at some time.
    pub fn report(&mut self, bounds: &Bounds) {
        let Some(lease) = &self.lease else { return };
        // What an earlier life left on the interface is held, lease or not.
        let leftover = self.vip > 0 && bounds.mutation != Some(Mutation::LeftoverDenied);
        if !lease.held.is_some() && !leftover {
            self.reported = self.reported.max(lease.stored);
        }
    }

    /// One tick of the machine's clock: the kernel's part, and the agent's if it runs.
    pub fn tick(&mut self, bounds: &Bounds) {
        self.vip = self.vip.saturating_sub(1);
        if self.lease.is_some() {
            self.life = (self.life + 1).min(bounds.ttl);
        }
        self.with_lease(|lease| lease.tick(bounds));
    }
}
