//! How things stand on this appliance: what the reports and the health endpoint say.

use std::sync::Arc;
use std::time::Duration;

use coordinator_api::agent::{AgentGroup, GateAssignment, VipAssignment};
use coordinator_core::ids::Token;
use coordinator_core::time::Mono;

/// How things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The highest token on disk.
    pub highest: Token,
    /// The token of what is held. `None` promises that no VIP is on an interface and no probe gate
    /// open.
    pub holding: Option<Token>,
    /// When the lease ends without another renewal, on this machine's clock since boot.
    pub deadline: Option<Mono>,
    /// When the request had left that a leader last answered with the lease that is held.
    pub granted_at: Option<Mono>,
    /// The lease goes on by the promises of all peers, beyond what a leader granted.
    pub relying: bool,
    /// Until when this appliance has promised its peers to accept no lease.
    pub promised_until: Option<Mono>,
    /// The lease is held, all VIPs are on the interfaces and all probe gates open.
    pub vips_up: bool,
    /// The group's lease, once a leader said so.
    pub ttl: Option<Duration>,
    /// What to hold under the lease.
    pub vips: Vec<VipAssignment>,
    /// Which probe gates to open under the lease.
    pub gates: Vec<GateAssignment>,
    /// The group's newest declaration that is known.
    pub group: Option<Arc<AgentGroup>>,
    /// The declaration that this appliance acts on, and none that it did before; 0 for none yet.
    pub acknowledged: u64,
    /// What keeps this appliance from carrying traffic.
    pub faults: Vec<String>,
}

impl Standing {
    /// Whether others ought to hear of the difference at once: a renewal is none.
    pub(crate) fn differs(&self, other: &Standing) -> bool {
        let told = |s: &Standing| (s.highest, s.holding, s.vips_up, s.acknowledged, s.ttl, s.relying);
        told(self) != told(other) || self.faults != other.faults || self.group != other.group
    }
}
