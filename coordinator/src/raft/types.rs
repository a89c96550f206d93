//! What openraft is instantiated with.
//!
//! Raft's own node id stays a `u64` here, because openraft's storage suite builds node ids from
//! integers; [`NodeId`] is what the rest of the coordinator sees.

use std::fmt;

use coordinator_core::apply::Rejection;
use coordinator_core::command::Command;
use coordinator_core::event::Event;
use coordinator_core::ids::NodeId;
use openraft::vote::leader_id_std;

openraft::declare_raft_types!(
    /// The replicated log of Pointsman.
    ///
    /// A term has at most one leader (`leader_id_std`), so that a term alone names a leadership.
    pub TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = Peer,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = super::runtime::Runtime,
);

/// A command on its way through the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Proposal(pub Command);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {:?}", self.0.actor)
    }
}

/// What applying an entry gave.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Applied(pub Result<Vec<Event>, Rejection>);

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(events) => write!(f, "{} events", events.len()),
            Err(rejection) => write!(f, "rejected: {rejection}"),
        }
    }
}

/// A member of the cluster as the log knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Peer {
    /// `host:port` of its cluster listener.
    pub address: String,
}

/// The Raft vote.
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
/// Term and index of a log entry.
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// A log entry.
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
/// A membership with the entry it came from.
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// The set of voters.
pub type Membership = openraft::Membership<u64, Peer>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// The id that openraft uses for `node`.
pub fn raft_id(node: NodeId) -> u64 {
    node.0
}

/// A log id of `term` and `index`.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(leader_id_std::CommittedLeaderId::new(term), index)
}
