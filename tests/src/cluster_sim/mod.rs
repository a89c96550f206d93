//! The real cluster on a simulated network.
//!
//! Three replicas as they ship (openraft, the write-ahead log, the state machine and its store, the
//! codec, the voting gate, both ends of the peers' protocol) in one thread on a paused Tokio
//! clock. What is simulated is around them: the network between them, the disks of the log and of
//! the snapshots, and the end and the restart of their processes. Everything that happens by
//! chance follows from a seed.
//!
//! See docs/cluster-simulator.md.

mod clients;
mod commands;
mod faults;
mod judge;
mod machine;
mod mutation;
mod observe;
mod wire;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coordinator::raft::runtime::seed_this_thread;

pub use judge::Violation;
pub use mutation::Mutation;
use world::World;

/// The nodes, by their numbers.
const NODES: [u64; 3] = [1, 2, 3];
/// How long nothing goes wrong at the end, and everything must come into order.
const CALM: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What all chance follows from.
    pub seed: u64,
    /// Virtual seconds of faults; what comes after them takes a few more.
    pub seconds: u64,
    /// A deliberate mistake.
    pub mutation: Option<Mutation>,
    /// Whether the whole trace is kept, not its end alone.
    pub keep_all: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What was run.
    pub options: Options,
    /// The invariant that was broken first, if one was.
    pub violation: Option<Violation>,
    /// The trace, or its end.
    pub trace: Vec<String>,
    /// Of every line of the trace, and of the state at the end.
    pub digest: u64,
    /// How much virtual time passed.
    pub ran: Duration,
    /// Commands acknowledged to clients.
    pub acknowledged: u64,
    /// Reads that a quorum confirmed.
    pub reads: u64,
    /// Leaderships.
    pub terms: u64,
    /// Ends of processes.
    pub crashes: u64,
    /// Snapshots installed or built, as far as a node's log was purged.
    pub purged: u64,
}

/// Runs one seed.
pub fn run(options: Options) -> Outcome {
    seed_this_thread(Some(options.seed));
    let root = directory();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = match (root, runtime) {
        (Ok(root), Ok(runtime)) => {
            let outcome = runtime.block_on(story(options, root.path().to_owned()));
            // Ends every task, and with them the stores, before their directory goes.
            drop(runtime);
            outcome
        }
        (root, runtime) => {
            let detail = format!("{:?} {:?}", root.err(), runtime.err());
            Outcome::failed(options, Violation { invariant: "starts", what: detail })
        }
    };
    seed_this_thread(None);
    outcome
}

/// In memory where there is such a file system: what sled syncs need not wait for a disk here.
fn directory() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

async fn story(options: Options, root: std::path::PathBuf) -> Outcome {
    let world = Arc::new(World::new(options, root));
    let told = async {
        for id in NODES {
            world.start(id).await;
        }
        for client in 0..clients::COUNT {
            tokio::spawn(clients::run(world.clone(), client));
        }
        faults::run(&world, Duration::from_secs(options.seconds)).await;
        world.settle().await;
        if tokio::time::timeout(CALM, world.agree()).await.is_err() {
            let detail = world.disagreement();
            world.violated(
                "converges",
                format!("not in order {} s after the last fault: {detail}", CALM.as_secs()),
            );
        }
        world.judge_the_end().await;
    };
    tokio::select! {
        biased;
        () = world.violation() => {}
        () = told => {}
    }
    world.outcome()
}

impl Outcome {
    fn failed(options: Options, violation: Violation) -> Outcome {
        Outcome {
            options,
            violation: Some(violation),
            trace: Vec::new(),
            digest: 0,
            ran: Duration::ZERO,
            acknowledged: 0,
            reads: 0,
            terms: 0,
            crashes: 0,
            purged: 0,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        let Options { seed, seconds, mutation, .. } = self.options;
        match &self.violation {
            Some(Violation { invariant, what }) => writeln!(f, "\n{invariant} is broken: {what}")?,
            None => writeln!(f, "\nnothing was broken")?,
        }
        write!(f, "again: cargo run -p tests --bin cluster-sim -- --seed {seed} --seconds {seconds}")?;
        mutation.map_or(Ok(()), |mutation| write!(f, " --mutation {mutation}"))
    }
}
