//! Layouts of Raft's own values, frozen: openraft may change its structs, these stay.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::CodecError;
use crate::raft::types::{LogId, Membership, Peer, StoredMembership, Vote, log_id};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogIdV1 {
    term: u64,
    index: u64,
}

impl From<&LogId> for LogIdV1 {
    fn from(id: &LogId) -> Self {
        Self { term: id.committed_leader_id().term, index: id.index() }
    }
}

impl From<LogIdV1> for LogId {
    fn from(id: LogIdV1) -> Self {
        log_id(id.term, id.index)
    }
}

pub(super) fn pack_id(id: &Option<LogId>) -> Option<LogIdV1> {
    id.as_ref().map(LogIdV1::from)
}

pub(super) fn unpack_id(id: Option<LogIdV1>) -> Option<LogId> {
    id.map(LogId::from)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VoteV1 {
    term: u64,
    node: u64,
    committed: bool,
}

impl From<&Vote> for VoteV1 {
    fn from(vote: &Vote) -> Self {
        Self { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
    }
}

impl From<VoteV1> for Vote {
    fn from(vote: VoteV1) -> Self {
        if vote.committed {
            Vote::new_committed(vote.term, vote.node)
        } else {
            Vote::new(vote.term, vote.node)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MembershipV1 {
    configs: Vec<BTreeSet<u64>>,
    nodes: BTreeMap<u64, String>,
}

impl From<&Membership> for MembershipV1 {
    fn from(membership: &Membership) -> Self {
        Self {
            configs: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(id, peer)| (*id, peer.address.clone())).collect(),
        }
    }
}

impl TryFrom<MembershipV1> for Membership {
    type Error = CodecError;
    fn try_from(frozen: MembershipV1) -> Result<Self, CodecError> {
        // The state of a node that never saw a membership.
        if frozen.configs.is_empty() && frozen.nodes.is_empty() {
            return Ok(Membership::default());
        }
        let nodes: BTreeMap<u64, Peer> =
            frozen.nodes.into_iter().map(|(id, address)| (id, Peer { address })).collect();
        Membership::new(frozen.configs, nodes)
            .map_err(|error| CodecError::Invalid { detail: format!("membership: {error}") })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredMembershipV1 {
    log_id: Option<LogIdV1>,
    membership: MembershipV1,
}

impl From<&StoredMembership> for StoredMembershipV1 {
    fn from(stored: &StoredMembership) -> Self {
        Self { log_id: pack_id(stored.log_id()), membership: stored.membership().into() }
    }
}

impl TryFrom<StoredMembershipV1> for StoredMembership {
    type Error = CodecError;
    fn try_from(frozen: StoredMembershipV1) -> Result<Self, CodecError> {
        Ok(StoredMembership::new(unpack_id(frozen.log_id), frozen.membership.try_into()?))
    }
}
