//! The simulator: the product's own deciding code in a world of virtual time, where everything
//! that can go wrong does, and every run is determined by its seed (docs/simulator.md).
//!
//! Real: `coordinator_core` (apply, decide, observe, lease, release, action, check) and
//! `nva_agent::lease`. Modelled, each file naming what it mirrors: Raft, the control loop's shell,
//! the agent's shell, the adapter driver, the cloud, the network, disks, clocks and operators.

mod act;
mod agent;
mod clock;
mod cloud;
mod coordinator;
mod event;
mod faults;
mod invariants;
mod mutation;
mod net;
mod phases;
mod queue;
mod raft;
mod random;
mod setup;
mod trace;
mod world;

use std::fmt;

use clock::{START, ms};
use world::World;

pub use mutation::Mutation;
pub use trace::Keep;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Determines everything.
    pub seed: u64,
    /// Minutes of virtual time.
    pub minutes: u64,
    /// A deliberate mistake in the protocol.
    pub mutation: Option<Mutation>,
    /// How much of the trace is kept.
    pub keep: Keep,
    /// Whether everything is judged after every entry, and not only what it can have changed.
    pub thorough: bool,
}

/// An invariant did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: &'static str,
    /// How.
    pub what: String,
    /// When, in microseconds of virtual time since the beginning.
    pub at_us: u64,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// What was run.
    pub options: Options,
    /// The violation that ended it, if any did.
    pub violation: Option<Violation>,
    /// Virtual time that passed, in microseconds.
    pub ran_us: u64,
    /// Events handled.
    pub events: u64,
    /// Commands committed.
    pub committed: u64,
    /// A digest of everything that happened.
    pub digest: u64,
    /// As much of the trace as was asked for.
    pub trace: Vec<String>,
    /// How often a lease went on by the promises of peers, a grant was held back by one, and a
    /// machine was switched off.
    pub last_resorts: [u64; 3],
    /// The invariants that were judged at least once.
    pub judged: Vec<&'static str>,
}

/// Runs one seed to its end, or to the first violation.
#[must_use]
pub fn run(options: Options) -> Outcome {
    let end = START + ms(options.minutes * 60_000);
    let mut world = World::new(options);
    let broken = world.run(end);
    let violation = broken.map(|broken| Violation {
        invariant: broken.invariant,
        what: broken.what,
        at_us: world.now - START,
    });
    Outcome {
        options,
        ran_us: violation.as_ref().map_or(end - START, |violation| violation.at_us),
        violation,
        events: world.events,
        committed: world.oracle.log.len() as u64,
        digest: world.trace.digest(),
        last_resorts: world.oracle.last_resorts,
        judged: world.oracle.judged.iter().copied().collect(),
        trace: world.trace.into_lines(),
    }
}

impl Options {
    /// The command that runs the same again.
    pub fn reproduce(&self) -> String {
        let mutation = self.mutation.map(|mutation| format!(" --mutation {mutation}")).unwrap_or_default();
        format!("cargo run -p tests --bin sim -- --seed {} --minutes {}{mutation}", self.seed, self.minutes)
    }
}

impl fmt::Display for Outcome {
    /// For a violation: what, when, what led to it, and how to see it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seed, minutes, .. } = self.options;
        let Some(violation) = &self.violation else {
            return write!(f, "seed {seed}: {minutes} min, {} events, nothing broken", self.events);
        };
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "seed {seed}: {} is broken at {:.6} s: {}",
            violation.invariant,
            seconds(violation.at_us),
            violation.what
        )?;
        write!(f, "reproduce: {}", self.options.reproduce())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people: a run is far shorter than 2^53 µs")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
