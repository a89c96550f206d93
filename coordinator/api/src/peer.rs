//! What agents of one group say to each other, as JSON over mutual TLS.
//!
//! Both ends carry certificates of the role appliance from the cluster's authority. The server
//! answers only a peer that the newest declaration it knows names in its own group.

use coordinator_core::ids::{ApplianceName, GroupName, Token};
use serde::{Deserialize, Serialize};

/// Where an active appliance asks its peers to accept no grant for a while.
pub const PROMISE_PATH: &str = "/peer/v1/promise";

/// Where an agent asks whether its peer is there.
pub const PING_PATH: &str = "/peer/v1/ping";

/// Most bytes of a request or a reply between agents.
pub const MAX_BODY: usize = 4 * 1024;

/// Asks for a promise. See `docs/adr/0015-failsafe.md` for what rests on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromiseRequest {
    /// Who asks; must be the name in the certificate.
    pub appliance: ApplianceName,
    /// The group of both.
    pub group: GroupName,
    /// The token of the lease that the asker holds.
    pub token: Token,
    /// For how long, in milliseconds, counted by the peer from receipt, and longer by the bound on
    /// clock drift; at most the group's lease. 0 ends what was promised to tokens *below* `token`:
    /// the asker held under the one before it, holds nothing under it or older ones and never will
    /// again, however late this arrives. Promises to newer ones are not the asker's to end.
    pub for_ms: u64,
}

/// The answer to a [`PromiseRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromiseReply {
    /// Whether the peer will accept no grant, of any token, for the time asked.
    pub promised: bool,
    /// Why not, in words; empty when it promised.
    pub why: String,
    /// The highest token that the peer knows of. One above the asker's ends the asker's lease.
    pub token: Token,
}

/// Asks whether a peer is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingRequest {
    /// Who asks; must be the name in the certificate.
    pub appliance: ApplianceName,
    /// The group of both.
    pub group: GroupName,
}

/// The answer to a [`PingRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingReply {
    /// Who answers.
    pub appliance: ApplianceName,
}
