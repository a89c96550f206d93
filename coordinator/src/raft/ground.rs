//! What a replica stands on: the machine, or a simulated one.

use std::io;
use std::sync::Arc;

use super::data_dir::DataDir;
use super::disk::Disk;
use super::error::StartError;
use super::snapshot::SnapshotDir;
use super::wal::{Wal, WalError};

/// Entries after which a snapshot is taken.
const SNAPSHOT_EVERY: u64 = 5000;
/// Entries kept behind a snapshot, so that a follower shortly away needs no snapshot.
const KEEP_BEHIND: u64 = 1000;

/// Where files are and where work is done that blocks on them.
#[derive(Clone, Default)]
pub enum Ground {
    /// The data directory, threads, and a snapshot every 5,000 entries.
    #[default]
    Machine,
    /// A simulation in one thread.
    Simulated(Simulated),
}

/// A simulated machine: no threads, so that a run of one seed is like the other.
///
/// The identity and the state store stay in the data directory: they neither wait nor differ.
#[derive(Clone)]
pub struct Simulated {
    /// Instead of `wal/`.
    pub log: Arc<dyn Disk>,
    /// The size of the log's segments, in bytes.
    pub segment_size: u64,
    /// What tells a new log from any other.
    pub new_log: u64,
    /// Instead of `snapshots/`.
    pub snapshots: Arc<dyn Disk>,
    /// Entries after which a snapshot is taken.
    pub snapshot_every: u64,
    /// Entries kept in the log behind a snapshot.
    pub keep_behind: u64,
}

impl Ground {
    pub(super) fn open_log(&self, dir: &DataDir) -> Result<Wal, WalError> {
        match self {
            Ground::Machine => Wal::open(dir.wal()),
            Ground::Simulated(it) => Wal::open_as_task(it.log.clone(), it.segment_size, it.new_log),
        }
    }

    pub(super) fn open_snapshots(&self, dir: &DataDir) -> io::Result<SnapshotDir> {
        match self {
            Ground::Machine => SnapshotDir::open(dir.snapshots()),
            Ground::Simulated(it) => SnapshotDir::open_on(it.snapshots.clone()),
        }
    }

    pub(super) fn snapshot_every(&self) -> u64 {
        match self {
            Ground::Machine => SNAPSHOT_EVERY,
            Ground::Simulated(it) => it.snapshot_every,
        }
    }

    pub(super) fn keep_behind(&self) -> u64 {
        match self {
            Ground::Machine => KEEP_BEHIND,
            Ground::Simulated(it) => it.keep_behind,
        }
    }

    pub(super) fn blocking(&self) -> Blocking {
        match self {
            Ground::Machine => Blocking::Pool,
            Ground::Simulated(_) => Blocking::Inline,
        }
    }
}

/// Where work is done that waits for the disk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Blocking {
    /// On Tokio's threads for it.
    #[default]
    Pool,
    /// At once: a simulation has one thread, and its order of events must not depend on another.
    Inline,
}

impl Blocking {
    /// Does `work`; an error says that it panicked or that the process stops.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        match self {
            Blocking::Pool => tokio::task::spawn_blocking(work).await,
            Blocking::Inline => Ok(work()),
        }
    }
}

impl From<tokio::task::JoinError> for StartError {
    fn from(error: tokio::task::JoinError) -> Self {
        StartError::Raft { source: Box::new(error) }
    }
}
