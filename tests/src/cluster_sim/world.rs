//! What everything in a run shares: chance, the trace, the links, the nodes, the judge.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::judge::{Judge, Violation};
use super::machine::Machine;
use super::{Mutation, NODES, Options, Outcome};

/// Lines kept when only the end is of interest.
const KEPT: usize = 150;

/// One direction between two nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) cut: bool,
    /// In a hundred.
    pub(super) lost: u32,
    /// In a hundred.
    pub(super) doubled: u32,
    /// The longest delay, in microseconds.
    pub(super) slow: u64,
}

impl Link {
    pub(super) const SOUND: Link = Link { cut: false, lost: 0, doubled: 0, slow: 3_000 };
}

pub(super) struct Core {
    pub(super) chance: StdRng,
    pub(super) links: BTreeMap<(u64, u64), Link>,
    pub(super) nodes: BTreeMap<u64, Machine>,
    pub(super) judge: Judge,
    pub(super) crashes: u64,
    /// Clients ask for nothing more.
    pub(super) quiet: bool,
    trace: VecDeque<String>,
    digest: u64,
    violation: Option<Violation>,
}

/// The world of one run.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) root: PathBuf,
    pub(super) origin: Instant,
    core: Mutex<Core>,
    violated: Notify,
}

impl World {
    pub(super) fn new(options: Options, root: PathBuf) -> World {
        let core = Core {
            chance: StdRng::seed_from_u64(options.seed),
            links: BTreeMap::new(),
            nodes: NODES.into_iter().map(|id| (id, Machine::new(&root, id))).collect(),
            judge: Judge::default(),
            crashes: 0,
            quiet: false,
            trace: VecDeque::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            violation: None,
        };
        World { options, root, origin: Instant::now(), core: Mutex::new(core), violated: Notify::new() }
    }

    /// One short lock, never held across an await.
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mutated(&self, mutation: Mutation) -> bool {
        self.options.mutation == Some(mutation)
    }

    /// Virtual time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(super) fn line(&self, what: fmt::Arguments<'_>) {
        let now = self.now();
        let line = format!("{:>4}.{:06} {what}", now.as_secs(), now.subsec_micros());
        let mut core = self.core();
        core.fold(line.as_bytes());
        if !self.options.keep_all && core.trace.len() >= KEPT {
            core.trace.pop_front();
        }
        core.trace.push_back(line);
    }

    pub(super) fn violated(&self, invariant: &'static str, what: String) {
        self.core().break_rule(invariant, what);
        self.violated.notify_one();
    }

    /// Resolves when something was broken.
    pub(super) async fn violation(&self) {
        while self.core().violation.is_none() {
            self.violated.notified().await;
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        let ran = self.now();
        let mut core = self.core();
        let violation = core.violation.take();
        let purged = core.judge.purged;
        let (acknowledged, reads, terms) = core.judge.counts();
        let trace = std::mem::take(&mut core.trace).into();
        let (digest, crashes) = (core.digest, core.crashes);
        Outcome {
            options: self.options,
            violation,
            trace,
            digest,
            ran,
            acknowledged,
            reads,
            terms,
            crashes,
            purged,
        }
    }
}

impl Core {
    /// Takes something into the digest (FNV-1a).
    pub(super) fn fold(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn break_rule(&mut self, invariant: &'static str, what: String) {
        self.violation.get_or_insert(Violation { invariant, what });
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.chance.random_range(0..100) < percent
    }

    /// Mostly near `low`, now and then up to `high`, in microseconds.
    pub(super) fn span(&mut self, low: u64, high: u64) -> Duration {
        let high = if self.percent(80) { low + (high - low) / 5 } else { high };
        Duration::from_micros(self.chance.random_range(low..=high))
    }

    pub(super) fn link(&self, from: u64, to: u64) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or(Link::SOUND)
    }

    pub(super) fn node(&mut self) -> u64 {
        NODES[self.chance.random_range(0..NODES.len())]
    }
}
