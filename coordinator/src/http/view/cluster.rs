//! The cluster as a whole.

use std::time::Duration;

use coordinator_api::v1::{ClusterStatus, NodeRole, NodeStatus, Readiness, Timestamp};
use coordinator_core::ids::NodeId;
use coordinator_core::state::State;
use coordinator_core::time::WallTime;

use super::group::group_summary;
use crate::control_loop::Overview;
use crate::raft::{ReplicaStatus, Role, StorageHealth};

/// A leader that no quorum acknowledged for so long has lost it: several of the longest election
/// timeouts that make sense.
const QUORUM_LOST: Duration = Duration::from_secs(2);

/// A node this many entries behind what it knows to be committed is not ready. It applies that
/// many in a few milliseconds, so a busy node is ready all the same.
const READY_LAG: u64 = 1000;

/// `GET /v1/status`.
pub(in crate::http) fn cluster_status(
    raft: &ReplicaStatus,
    state: &State,
    overview: &Overview,
    age_ms: Option<u64>,
    now: WallTime,
) -> ClusterStatus {
    ClusterStatus {
        cluster_id: raft.cluster_id.clone(),
        node: raft.node_id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        leader: raft.leader,
        term: raft.term,
        quorum_ok: quorum_ok(raft),
        applied: raft.applied.unwrap_or(0),
        time: now.into(),
        age_ms,
        nodes: raft.members.iter().map(|(id, address)| node_status(raft, overview, *id, address)).collect(),
        groups: state.groups.values().map(group_summary).collect(),
    }
}

fn quorum_ok(raft: &ReplicaStatus) -> bool {
    match raft.role {
        Role::Leader => raft.quorum_acked_ms_ago.is_some_and(|ago| u128::from(ago) < QUORUM_LOST.as_millis()),
        _ => raft.leader.is_some(),
    }
}

fn node_status(raft: &ReplicaStatus, overview: &Overview, id: NodeId, address: &str) -> NodeStatus {
    let about = overview.observations.reports.get(&id).map(|report| report.about);
    NodeStatus {
        id,
        cluster_address: address.to_owned(),
        role: role(raft, id),
        lag: if raft.leader == Some(id) { Some(0) } else { raft.followers.get(&id).map(|f| f.lag) },
        vantage_age_ms: about.map(|about| millis(overview.now.since(about))),
    }
}

fn role(raft: &ReplicaStatus, id: NodeId) -> NodeRole {
    if id != raft.node_id {
        // Of the others nothing is known but who leads: every member votes.
        return if raft.leader == Some(id) { NodeRole::Leader } else { NodeRole::Follower };
    }
    match raft.role {
        Role::Leader => NodeRole::Leader,
        Role::Follower => NodeRole::Follower,
        Role::Candidate => NodeRole::Candidate,
        Role::Learner => NodeRole::Learner,
        Role::Stopped => NodeRole::Stopped,
    }
}

/// `GET /readyz`.
pub(in crate::http) fn readiness(raft: &ReplicaStatus) -> Readiness {
    let behind = raft.committed.unwrap_or(0).saturating_sub(raft.applied.unwrap_or(0));
    let leader = raft.leader.is_some();
    let applied = raft.applied.is_some() && behind <= READY_LAG;
    let storage = raft.storage == StorageHealth::Ok;
    Readiness { ready: leader && applied && storage, leader, applied, storage }
}

/// Whole milliseconds, saturating.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time on the wire.
pub(super) fn at(time: WallTime) -> Timestamp {
    Timestamp(time)
}
