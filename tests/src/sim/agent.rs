//! An appliance with its agent: the product's [`Lease`] in a shell that mirrors
//! `nva-agent/src/holder` and `reporter.rs`, and a kernel that ends what the agent forgets.

mod holder;
mod promises;
mod reporter;

use std::collections::VecDeque;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::time::Mono;
use nva_agent::lease::Lease;

use super::clock::{At, Clock};
use super::event::{Declared, Event};
use super::mutation::Mutation;
use super::setup::COORDINATORS;
use promises::Promiser;

pub(crate) use promises::Asked;

/// VIPs on the interfaces: the kernel takes them away at `until`, whatever becomes of the agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) token: Token,
    pub(crate) until: At,
}

/// A write under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing {
    token: Option<Token>,
    promised: Option<Duration>,
    drops_since: u64,
}

/// The reports to one coordinator, one at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reporter {
    pub(crate) waiting: Option<(u64, At, Mono)>,
    pub(crate) due: At,
}

/// One appliance.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: ApplianceName,
    pub(crate) group: usize,
    pub(crate) place: usize,
    pub(crate) clock: Clock,
    pub(crate) life: u64,
    pub(crate) machine_up: bool,
    pub(crate) up: bool,
    pub(crate) paused: u32,
    pub(crate) inbox: VecDeque<Event>,
    /// When it was last anything but well.
    pub(crate) unwell_at: At,
    pub(crate) disk_slow: u32,
    pub(crate) disk_failing: u32,
    /// The kernel does not take addresses away when asked; at their deadline it does.
    pub(crate) kernel_stuck: u32,
    pub(crate) lease: Lease,
    /// The highest token on disk, and for how long at most it may have promised.
    pub(crate) disk: Token,
    pub(crate) disk_promised: Duration,
    /// The newest declaration on disk that gave failsafe up: no older one counts any more.
    pub(crate) drops_since: u64,
    pub(crate) give_up_at: Mono,
    pub(crate) writing: Option<Writing>,
    pub(crate) token_wanted: Option<Token>,
    pub(crate) promise_wanted: Option<Duration>,
    /// Peers that wait until a promise is on disk.
    pub(crate) waiting: Vec<Asked>,
    pub(crate) promiser: Promiser,
    /// The group as a leader declared it last, and when the request had left that it came with.
    pub(crate) declared: Option<Declared>,
    pub(crate) assigned_at: Option<Mono>,
    pub(crate) acknowledged: u64,
    /// The newest grant that a leader gave to this life, and when its request had left.
    pub(crate) granted: Option<(Token, Mono)>,
    /// When its machine was last switched on: it was off until then.
    pub(crate) on_at: At,
    pub(crate) store_fault: bool,
    pub(crate) not_before: Mono,
    pub(crate) maybe_up: bool,
    pub(crate) vips_up: bool,
    pub(crate) carried: Option<Carried>,
    pub(crate) seq: u64,
    pub(crate) told: (Token, Option<Token>, bool, bool, u64),
    pub(crate) turn_at: At,
    pub(crate) reporters: [Reporter; COORDINATORS],
}

impl Agent {
    pub(crate) fn new(name: ApplianceName, group: usize, place: usize, clock: Clock) -> Agent {
        Agent {
            name,
            group,
            place,
            clock,
            life: 1,
            machine_up: true,
            up: true,
            paused: 0,
            inbox: VecDeque::new(),
            unwell_at: 0,
            disk_slow: 0,
            disk_failing: 0,
            kernel_stuck: 0,
            lease: Lease::new(Token::NONE),
            disk: Token::NONE,
            disk_promised: Duration::ZERO,
            drops_since: 0,
            give_up_at: Mono::default(),
            writing: None,
            token_wanted: None,
            promise_wanted: None,
            waiting: Vec::new(),
            promiser: Promiser::default(),
            declared: None,
            assigned_at: None,
            acknowledged: 0,
            granted: None,
            on_at: 0,
            store_fault: false,
            not_before: Mono::default(),
            maybe_up: false,
            vips_up: false,
            carried: None,
            seq: 0,
            told: (Token::NONE, None, false, false, 0),
            turn_at: At::MAX,
            reporters: [Reporter::default(); COORDINATORS],
        }
    }

    /// The process is gone; the disk and what the kernel holds are not.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.inbox.clear();
        self.writing = None;
        self.token_wanted = None;
        self.promise_wanted = None;
        self.waiting.clear();
        self.promiser = Promiser::default();
        self.vips_up = false;
        self.turn_at = At::MAX;
        self.reporters = [Reporter::default(); COORDINATORS];
    }

    /// A new life, with what an earlier one stored.
    pub(crate) fn start(&mut self, now: At, mutation: Option<Mutation>) {
        self.up = true;
        let forgets = mutation == Some(Mutation::ForgetsPromise);
        let promised = if forgets { Duration::ZERO } else { self.disk_promised };
        self.lease = Lease::after_promise(self.disk, promised, self.clock.mono(now));
        self.declared = None;
        self.assigned_at = None;
        self.acknowledged = 0;
        self.granted = None;
        self.give_up_at = Mono::default();
        self.store_fault = false;
        self.not_before = Mono::default();
        // An earlier life may have left the addresses.
        self.maybe_up = true;
        self.seq = 0;
        self.told = (self.disk, None, false, false, 0);
    }

    /// Whether nothing is wrong with it.
    pub(crate) fn well(&self) -> bool {
        self.machine_up
            && self.up
            && self.paused == 0
            && self.disk_slow + self.disk_failing + self.kernel_stuck == 0
    }

    pub(crate) fn carries(&self, at: At) -> bool {
        self.carried.is_some_and(|carried| carried.until > at)
    }
}
