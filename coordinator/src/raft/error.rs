//! The errors of the replica's handle.

use std::path::PathBuf;

use coordinator_core::apply::Rejection;
use coordinator_core::ids::NodeId;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The options contradict themselves.
    #[error("the replica's options are not usable: {detail}")]
    Options {
        /// Which rule is broken, with the values.
        detail: String,
    },
    /// The data directory cannot be used.
    #[error("could not open the data directory {}", path.display())]
    DataDir {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: super::data_dir::DataDirError,
    },
    /// The write-ahead log is damaged or unreadable.
    #[error("could not open the write-ahead log in {}", path.display())]
    Wal {
        /// Which directory.
        path: PathBuf,
        /// Why, with file, offset and what to do.
        source: super::wal::WalError,
    },
    /// The state could be neither opened nor set aside.
    #[error("could not open the state store in {}", path.display())]
    Store {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// Raft itself did not start.
    #[error("could not start raft")]
    Raft {
        /// Why.
        source: Cause,
    },
}

/// Why a proposal gave no events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Another node leads, or none does. Nothing was proposed.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<NodeId>,
    },
    /// The command is in the log and was refused by the state: nothing changed.
    #[error("the command was refused")]
    Rejected(#[source] Rejection),
    /// The deadline passed, or the leader changed midway. The command may or may not have been
    /// applied, now or later.
    #[error("the command was not confirmed in time; it may have been applied")]
    TimedOut,
    /// The command is larger than an entry may be. Nothing was proposed.
    #[error("the command is {bytes} bytes encoded; the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest possible.
        limit: usize,
    },
    /// The disk is too full. Nothing was proposed.
    #[error("the storage is full: {detail}")]
    StorageFull {
        /// What is missing, and what to do.
        detail: String,
    },
    /// The replica has stopped, for good or over a storage error.
    #[error("the replica has stopped")]
    Stopped,
}

/// Why leadership was not confirmed. In no case may the caller act as the leader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotConfirmed {
    /// Another node leads, or none does.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<NodeId>,
    },
    /// No quorum answered in time.
    #[error("no quorum confirmed the leadership in time")]
    NoQuorum,
    /// The replica has stopped.
    #[error("the replica has stopped")]
    Stopped,
}

/// Why the history could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The store failed or holds something unreadable.
    #[error("could not read the history")]
    Store(#[source] Cause),
    /// The replica has stopped.
    #[error("the replica has stopped")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// This node does not lead.
    #[error("this node is not the leader")]
    NotLeader,
    /// No follower is reachable and close enough behind.
    #[error("no follower is reachable and caught up")]
    NoCandidate,
    /// The follower did not take over in time. There may be no leader for up to two election
    /// timeouts.
    #[error("node {to} did not take over in time")]
    TimedOut {
        /// Whom it was handed to.
        to: NodeId,
    },
    /// The replica has stopped.
    #[error("the replica has stopped")]
    Stopped,
}
