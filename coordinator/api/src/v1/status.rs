//! `GET /v1/status`, `/healthz` and `/readyz`.

use coordinator_core::ids::NodeId;
use serde::{Deserialize, Serialize};

use super::group::GroupSummary;
use super::time::Timestamp;

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Drawn at `pointsman init`.
    pub cluster_id: String,
    /// The node that made this answer.
    pub node: NodeId,
    /// Its version of Pointsman.
    pub version: String,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// The Raft term.
    pub term: u64,
    /// Whether a majority of the voters acknowledged the leader lately. Followers cannot know
    /// that: there it says whether this node heard from a leader lately.
    pub quorum_ok: bool,
    /// The newest log index that the answering node has applied.
    pub applied: u64,
    /// The answering node's wall clock.
    pub time: Timestamp,
    /// How old this answer may be: zero for a linearizable read, absent when the answering node
    /// cannot tell.
    pub age_ms: Option<u64>,
    /// Every coordinator, by id.
    pub nodes: Vec<NodeStatus>,
    /// Every group, by name.
    pub groups: Vec<GroupSummary>,
}

/// One coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: NodeId,
    /// `host:port` of its cluster listener.
    pub cluster_address: String,
    /// Its part in Raft, as far as the answering node knows.
    pub role: NodeRole,
    /// Log entries that it has not acknowledged yet. Only the leader knows.
    pub lag: Option<u64>,
    /// How old its newest view of the appliances is, on the answering node.
    pub vantage_age_ms: Option<u64>,
}

/// A coordinator's part in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Leads.
    Leader,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Has stopped over a storage error.
    Stopped,
}

impl NodeRole {
    /// As written in tables.
    pub fn word(self) -> &'static str {
        match self {
            NodeRole::Leader => "leader",
            NodeRole::Follower => "follower",
            NodeRole::Candidate => "candidate",
            NodeRole::Learner => "learner",
            NodeRole::Stopped => "stopped",
        }
    }
}

/// `GET /healthz`: the process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// `GET /readyz`: whether the node can serve. Sent with 200 if so, 503 if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// All of what follows.
    pub ready: bool,
    /// A leader is known.
    pub leader: bool,
    /// Nearly everything known to be committed is applied.
    pub applied: bool,
    /// The storage takes writes.
    pub storage: bool,
}
