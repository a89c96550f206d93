//! The agent protocol: the agent *pulls*.
//!
//! An agent posts an [`AgentReport`] to every coordinator, several times within a lease. For
//! each coordinator the report is a heartbeat sample; the leader's reply carries the lease. The
//! agent's deadline is `a0 + ttl`, where `a0` is its own clock *before* the request left, so
//! delay on the way only shortens a lease.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, BindingName, GroupName, NodeId, Token};
use coordinator_core::lease::Held;
use coordinator_core::model::GateSpec;
pub use coordinator_core::notice::{Notice, NoticeKind, NoticeSource, SourceReport, SourceState};
use serde::{Deserialize, Serialize};

/// Where reports are posted, on a coordinator's cluster listener, as JSON.
pub const REPORT_PATH: &str = "/agent/v1/report";

/// Most bytes of a report or a reply.
pub const MAX_BODY: usize = 64 * 1024;

/// Where an agent waits for news, on a coordinator's cluster listener, as JSON: it posts a
/// [`ChangesRequest`] and gets a [`Stamp`] when there is another one than it knows, or after
/// [`CHANGES_HOLD`].
///
/// The answer carries no instruction. It is only the cue to report at once instead of at the next
/// interval, so that a planned move does not wait for intervals. Without it everything works, only
/// later.
pub const CHANGES_PATH: &str = "/agent/v1/changes";

/// How long a coordinator holds an unchanged answer back.
pub const CHANGES_HOLD: Duration = Duration::from_secs(5);

/// Asks for news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangesRequest {
    /// Must be the name in the agent's certificate.
    pub appliance: ApplianceName,
    /// What the agent knows; `None` is answered at once.
    pub seen: Option<Stamp>,
}

/// Tells one state of the appliance's group from another, as far as an agent is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The newest grant of the active role.
    pub token: Token,
    /// How many earlier holders have not been proved released.
    pub unreleased: u64,
    /// The log index of the declaration.
    pub revision: u64,
}

/// What an agent says of its appliance and of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentReport {
    /// Must be the name in the agent's certificate.
    pub appliance: ApplianceName,
    /// A number drawn at the agent's start: tells one life of it from the next.
    pub boot: u64,
    /// Rises with every report of this life. Older ones that arrive late are ignored.
    pub seq: u64,
    /// The agent's version.
    pub version: String,
    /// The highest fencing token accepted, as stored on disk.
    pub highest: Token,
    /// The token of the lease held at this moment.
    pub holding: Option<Token>,
    /// Whether the VIPs of the group are on the interfaces, announced, and its probe gates open,
    /// under the lease held.
    pub vips_up: bool,
    /// What keeps this appliance from carrying traffic; empty when it is ready.
    pub faults: Vec<String>,
    /// The declaration that the agent acts on; 0 before it knows one.
    pub revision: u64,
    /// The peer that relayed this report, when the agent's own way here fails.
    pub via: Option<ApplianceName>,
    /// What the agent finds on its paths to its peers; at most [`MAX_PATHS`].
    pub peers: Vec<PeerPath>,
    /// What is announced to happen to this appliance: one entry for each source that the agent is
    /// to listen to, itself included. Of a source without an entry nothing stands.
    #[serde(default)]
    pub notices: Vec<SourceReport>,
}

/// Most paths in a report: two to each other appliance of the largest group.
pub const MAX_PATHS: usize = 32;

/// What an agent finds on one path to one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerPath {
    /// The peer.
    pub appliance: ApplianceName,
    /// Which of the peer's declared addresses, from 0: 0 is the management network, 1 the direct
    /// link.
    pub path: u8,
    /// Whether the peer answers there.
    pub up: bool,
    /// The mean time from a ping to its answer, in microseconds; `None` before the first answer.
    pub rtt_us: Option<u32>,
}

impl AgentReport {
    /// The part that the lease rests on.
    pub fn held(&self) -> Held {
        Held { highest: self.highest, holding: self.holding }
    }
}

/// A coordinator's reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReply {
    /// Who answers.
    pub node: NodeId,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// What to do. Only the leader gives one.
    pub instruction: Instruction,
    /// What the appliance is a part of, from the log of the node that answers.
    pub group: Option<AgentGroup>,
    /// To an agent that announces something: whether the group leaves its appliance. Only the leader
    /// says.
    #[serde(default)]
    pub handover: Option<Handover>,
}

/// Whether the group leaves an appliance for what its agent announces. An agent that announces a
/// [`NoticeKind::Shutdown`] waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handover {
    /// The group may still leave this appliance, or is leaving it: go on as long as you can.
    Pending,
    /// The group has left it, or was never there: nothing points at this appliance.
    Done,
    /// The group does not leave it: nothing is gained by waiting.
    Refused {
        /// Why not, in words.
        why: String,
    },
}

/// What the leader tells an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instruction {
    /// The answering node does not lead: nothing follows from it but that it is alive.
    NotLeader,
    /// Hold the group's VIPs and open its probe gates for `ttl_ms` from before the request left.
    Grant {
        /// The fencing token.
        token: Token,
        /// Milliseconds, rounded down.
        ttl_ms: u64,
    },
    /// Hold nothing, and refuse every token below `token` from now on.
    Standby {
        /// The group's newest token.
        token: Token,
    },
    /// The active role is yours but cannot be granted yet: keep what you have, gain nothing. Store
    /// `token` and refuse every one below it, so that the grant need not wait for the disk.
    Wait {
        /// The group's newest token.
        token: Token,
    },
    /// This appliance is in no group: hold nothing.
    NotDeclared,
}

/// What an agent needs to know of its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentGroup {
    /// Its name.
    pub name: GroupName,
    /// The log index of the declaration.
    pub revision: u64,
    /// The longest lease, in milliseconds.
    pub ttl_ms: u64,
    /// What to hold under the lease, on this appliance.
    pub vips: Vec<VipAssignment>,
    /// Where to answer health probes under the lease, and not otherwise.
    pub gates: Vec<GateAssignment>,
    /// Whether the active goes on past its lease while every peer promises to accept no grant.
    pub failsafe: bool,
    /// How much faster one machine's clock may run than another's, in parts per million.
    pub drift_ppm: u32,
    /// The other appliances of the group, in the declared order.
    pub peers: Vec<Peer>,
}

/// Another appliance of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub appliance: ApplianceName,
    /// Where its agent listens for its peers: the management network first, then the direct link.
    /// May be empty.
    pub addresses: Vec<SocketAddr>,
}

/// A VIP on one appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipAssignment {
    /// The binding.
    pub binding: BindingName,
    /// The address.
    pub address: IpAddr,
    /// Length of the subnet's prefix, in bits.
    pub prefix_len: u8,
    /// The network interface.
    pub interface: String,
}

/// A probe gate on one appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAssignment {
    /// The binding.
    pub binding: BindingName,
    /// The port, and how it answers.
    pub gate: GateSpec,
}
