//! What a replica says of itself.

use std::collections::BTreeMap;
use std::time::Instant;

use coordinator_core::ids::NodeId;
use serde::{Deserialize, Serialize};

/// Who leads, as far as this node knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// The newest term this node has seen. A term has at most one leader.
    pub term: u64,
    /// Whether it is this node. A deposed leader that is cut off believes this for a while:
    /// [`confirm_leadership`](super::Replica::confirm_leadership) asks the quorum.
    pub is_self: bool,
    /// When this node noticed that it had won the election, on its monotonic clock: never earlier
    /// than the election itself. `None` unless `is_self`.
    pub elected_at: Option<Instant>,
}

/// The part a node plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides and replicates.
    Leader,
    /// Follows a leader.
    Follower,
    /// Stands for election.
    Candidate,
    /// Receives the log without a vote.
    Learner,
    /// Has stopped, for good or over a storage error.
    Stopped,
}

/// Whether the storage takes writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum StorageHealth {
    /// All is well.
    Ok,
    /// The disk is nearly full. What is left is kept for the coordinators' own decisions, such as
    /// failovers; operators' changes are refused.
    Low {
        /// What is missing, and what to do.
        detail: String,
    },
    /// The disk is too full to go on safely. Proposals are refused until there is room again;
    /// everything accepted so far is kept.
    Full {
        /// What is missing, and what to do.
        detail: String,
    },
    /// A write has not ended for much longer than a sound disk takes.
    Hung {
        /// For how long, and what that means.
        detail: String,
    },
    /// A write or a sync failed. This process writes nothing more: restart it once the disk is
    /// sound.
    Failed {
        /// What failed.
        detail: String,
    },
}

/// [`StorageHealth`] without the words, as nodes tell each other: from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StorageLevel {
    /// Takes everything.
    Ok,
    /// Takes the coordinators' own decisions.
    Low,
    /// Takes nothing.
    Full,
    /// Does not answer.
    Hung,
}

/// How the storage of a node is, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReport {
    /// How bad it is.
    pub level: StorageLevel,
    /// How long ago the newest write that has ended was begun, in milliseconds: what the storage
    /// did before that says nothing of now.
    pub wrote_ms_ago: u64,
}

impl StorageHealth {
    /// How bad it is.
    pub fn level(&self) -> StorageLevel {
        match self {
            StorageHealth::Ok => StorageLevel::Ok,
            StorageHealth::Low { .. } => StorageLevel::Low,
            StorageHealth::Full { .. } => StorageLevel::Full,
            // A node whose log has failed is about to stop.
            StorageHealth::Hung { .. } | StorageHealth::Failed { .. } => StorageLevel::Hung,
        }
    }

    /// What is wrong, if anything is.
    pub fn detail(&self) -> Option<&str> {
        match self {
            StorageHealth::Ok => None,
            StorageHealth::Low { detail }
            | StorageHealth::Full { detail }
            | StorageHealth::Hung { detail }
            | StorageHealth::Failed { detail } => Some(detail),
        }
    }
}

/// How far a follower is, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FollowerStatus {
    /// The newest entry known to be on its disk.
    pub matched: Option<u64>,
    /// Entries it is behind the leader.
    pub lag: u64,
    /// How long ago the newest request that it answered was sent, in milliseconds.
    pub acknowledged_ms_ago: Option<u64>,
}

/// What a replica says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaStatus {
    /// This node.
    pub node_id: NodeId,
    /// The cluster.
    pub cluster_id: String,
    /// The part it plays.
    pub role: Role,
    /// The newest term it has seen.
    pub term: u64,
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// The newest entry in its log.
    pub last_log: Option<u64>,
    /// The newest entry it knows to be committed.
    pub committed: Option<u64>,
    /// The newest entry applied to its state.
    pub applied: Option<u64>,
    /// The newest entry covered by its snapshot.
    pub snapshot: Option<u64>,
    /// The newest entry removed from its log.
    pub purged: Option<u64>,
    /// `host:port` of every voter's cluster listener.
    pub members: BTreeMap<NodeId, String>,
    /// On the leader: how far each follower is. Empty elsewhere.
    pub followers: BTreeMap<NodeId, FollowerStatus>,
    /// How long ago the newest heartbeat round that a quorum acknowledged was sent, in
    /// milliseconds; on the leader only.
    pub quorum_acked_ms_ago: Option<u64>,
    /// Whether the storage takes writes.
    pub storage: StorageHealth,
    /// Why the node does not vote yet, if it does not.
    pub not_voting: Option<String>,
}

/// That this node leads: see [`Replica::leading`](super::Replica::leading).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leading {
    /// In which term.
    pub term: u64,
    /// When the newest heartbeat round that a quorum acknowledged was *sent*; `None` before the
    /// first one of this term.
    pub quorum_acked_at: Option<std::time::Instant>,
}
