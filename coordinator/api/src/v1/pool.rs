//! `GET /v1/pools` and `GET /v1/pools/{pool}`.

use std::net::IpAddr;

use coordinator_core::command::Actor;
use coordinator_core::ids::{ApplianceName, PoolName, Token};
use coordinator_core::observe::Verdict;
use coordinator_core::pool::{PoolSpec, Side};
use serde::{Deserialize, Serialize};

use super::group::{AgentStatus, VantageSight};
use super::time::Timestamp;

/// `GET /v1/pools`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolList {
    /// By name.
    pub pools: Vec<PoolSummary>,
}

/// One line on a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSummary {
    /// Its name.
    pub name: PoolName,
    /// The token of the newest change of any member.
    pub token: Token,
    /// Members that are in, and up by the verdict of the majority.
    pub serving: u32,
    /// Members that are in.
    pub inside: u32,
    /// Members that are up.
    pub up: u32,
    /// All its members.
    pub size: u32,
    /// Members of which a change is under way.
    pub changing: u32,
    /// Why a sick member is left where it is.
    pub hold: Option<String>,
    /// Members that are elsewhere than they must be, each side counted.
    pub drifting: u32,
}

/// Everything about a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// The line of the list.
    #[serde(flatten)]
    pub summary: PoolSummary,
    /// The log index of the newest declaration.
    pub revision: u64,
    /// Why members leave or return, or why they do not: one sentence each. Only the leader has any.
    pub why: Vec<String>,
    /// In the declared order.
    pub members: Vec<MemberStatus>,
    /// As declared.
    pub spec: PoolSpec,
}

/// One member of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name.
    pub name: ApplianceName,
    /// Its own address.
    pub address: IpAddr,
    /// Whether it is in.
    pub standing: MemberStanding,
    /// The token of the change that brought it there, or is bringing it there.
    pub token: Option<Token>,
    /// Since when it is there, or when the change began.
    pub standing_since: Option<Timestamp>,
    /// Who took it out, or changes it; absent for one that is in or new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The operator's reason, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it left or is being changed, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// Some of its sides have changed, and others have not yet.
    #[serde(default)]
    pub half_applied: bool,
    /// The recorded verdict.
    pub verdict: Verdict,
    /// Since when.
    pub since: Timestamp,
    /// The declared sides.
    pub sides: Vec<SideStatus>,
    /// What each vantage says; the leader has all of them, others their own.
    pub vantages: Vec<VantageSight>,
    /// Its agent's newest report to the answering node.
    pub agent: Option<AgentStatus>,
}

/// One side of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideStatus {
    /// Which.
    pub side: Side,
    /// Whether it is in there by the log; absent while that is not known.
    pub inside: Option<bool>,
    /// Attempts of the change that is under way.
    pub attempts: u32,
    /// What went wrong in the newest attempt.
    pub error: Option<String>,
    /// How the cloud differs from the log.
    pub drift: Option<String>,
}

/// Whether a member is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStanding {
    /// Declared, and never yet put in or taken out.
    New,
    /// On every side.
    In,
    /// Being taken out.
    Leaving,
    /// On no side.
    Out,
    /// Being put in.
    Returning,
}

impl MemberStanding {
    /// As written in tables.
    pub fn word(self) -> &'static str {
        match self {
            MemberStanding::New => "new",
            MemberStanding::In => "in",
            MemberStanding::Leaving => "leaving",
            MemberStanding::Out => "out",
            MemberStanding::Returning => "returning",
        }
    }
}

/// `POST /v1/pools/{pool}/members/{member}/take-out` and `…/put-in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRequest {
    /// Why. 1 to [`MAX_REASON`](super::MAX_REASON) bytes; it is recorded.
    pub reason: String,
}
