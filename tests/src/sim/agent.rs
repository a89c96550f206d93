//! An appliance with its agent: the product's [`Lease`] in a shell that mirrors
//! `nva-agent/src/holder` and `reporter.rs`, and a kernel that ends what the agent forgets.

mod holder;
mod reporter;

use std::collections::VecDeque;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::time::Mono;
use nva_agent::lease::Lease;

use super::clock::{At, Clock};
use super::event::Event;
use super::setup::COORDINATORS;

/// VIPs on the interfaces: the kernel takes them away at `until`, whatever becomes of the agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) token: Token,
    pub(crate) until: At,
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
    /// The highest token on disk.
    pub(crate) disk: Token,
    pub(crate) writing: Option<Token>,
    pub(crate) token_wanted: Option<Token>,
    pub(crate) store_fault: bool,
    pub(crate) not_before: Mono,
    pub(crate) maybe_up: bool,
    pub(crate) vips_up: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) carried: Option<Carried>,
    pub(crate) seq: u64,
    pub(crate) told: (Token, Option<Token>, bool, bool),
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
            writing: None,
            token_wanted: None,
            store_fault: false,
            not_before: Mono::default(),
            maybe_up: false,
            vips_up: false,
            ttl: None,
            carried: None,
            seq: 0,
            told: (Token::NONE, None, false, false),
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
        self.vips_up = false;
        self.turn_at = At::MAX;
        self.reporters = [Reporter::default(); COORDINATORS];
    }

    /// A new life, with what an earlier one stored.
    pub(crate) fn start(&mut self) {
        self.up = true;
        self.lease = Lease::new(self.disk);
        self.store_fault = false;
        self.not_before = Mono::default();
        // An earlier life may have left the addresses.
        self.maybe_up = true;
        self.ttl = None;
        self.seq = 0;
        self.told = (self.disk, None, false, false);
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
