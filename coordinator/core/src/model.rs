//! What an operator declares: groups, appliances, probes, bindings, policy.
//!
//! These structs travel in the replicated log and in the JSON of the API, so a field added here
//! is a change of both formats (docs/adr, "codec").

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod fencing;
mod gate;
mod probe;

pub use fencing::{FenceSpec, Fencing};
pub use gate::{GateProtocol, GateSpec};
pub use probe::{ProbeKind, ProbeSpec, Trust};

use crate::ids::{AdapterName, ApplianceName, BindingName, GroupName};
use crate::notice::NoticeKind;
use crate::time::millis;

/// One active appliance and its standbys, and the bindings they share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Unique in the cluster.
    pub name: GroupName,
    /// Two or more, in order of preference: the first is preferred.
    pub appliances: Vec<ApplianceSpec>,
    /// One or more.
    pub bindings: Vec<BindingSpec>,
    /// When and how to move.
    pub policy: Policy,
    /// The lease that an appliance needs to hold the group's VIPs and to open its probe gates.
    pub lease: LeaseSpec,
    /// What every coordinator watches *through* the active appliance: a VIP, the public IP, a host
    /// behind it. All must pass for the path to be up. May be empty.
    #[serde(default)]
    pub path_probes: Vec<ProbeSpec>,
}

impl GroupSpec {
    /// The appliance of that name.
    pub fn appliance(&self, name: &ApplianceName) -> Option<&ApplianceSpec> {
        self.appliances.iter().find(|a| a.name == *name)
    }

    /// The binding of that name.
    pub fn binding(&self, name: &BindingName) -> Option<&BindingSpec> {
        self.bindings.iter().find(|b| b.name == *name)
    }

    /// Whether any binding is held under a lease on the appliance itself.
    pub fn needs_lease(&self) -> bool {
        self.bindings.iter().any(|b| b.kind.needs_lease())
    }
}

/// An appliance of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplianceSpec {
    /// Unique in the cluster: an appliance belongs to one group.
    pub name: ApplianceName,
    /// Its own address, which never moves (the "health-monitor address" of some products).
    pub address: IpAddr,
    /// What every coordinator watches. All must pass for the appliance to be up. One or more.
    pub probes: Vec<ProbeSpec>,
    /// Where its agent listens for the agents of its group: on the management network first, then
    /// on the direct link. At most two; at least one in a failsafe group.
    #[serde(default)]
    pub peer: Vec<SocketAddr>,
    /// How it is switched off when it must be made sure that it carries nothing. Needed on every
    /// appliance of a group that fences.
    #[serde(default)]
    pub fence: Option<FenceSpec>,
}

/// Something that must follow the active appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingSpec {
    /// Unique within the group.
    pub name: BindingName,
    /// What it is.
    pub kind: BindingKind,
}

/// The kinds of binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingKind {
    /// An address that the active appliance's agent adds, holds under the lease and announces.
    Vip {
        /// The virtual address.
        address: IpAddr,
        /// Length of the subnet's prefix, in bits.
        prefix_len: u8,
        /// The network interface on each appliance.
        interfaces: BTreeMap<ApplianceName, String>,
    },
    /// A public IP address of a cloud, associated with one NIC IP configuration at a time.
    PublicIp {
        /// Which cloud connection.
        adapter: AdapterName,
        /// The public IP, by the adapter's own id.
        resource: String,
        /// The NIC IP configuration of each appliance, by the adapter's own id.
        targets: BTreeMap<ApplianceName, String>,
    },
    /// A route whose next hop is the active appliance.
    Route {
        /// Which cloud connection.
        adapter: AdapterName,
        /// The route table, by the adapter's own id.
        table: String,
        /// The route's name in that table.
        route: String,
        /// The next-hop address of each appliance.
        targets: BTreeMap<ApplianceName, IpAddr>,
    },
    /// A port on which the active appliance's agent answers a load balancer's health probe under
    /// the lease, and on which nobody is answered otherwise. The load balancer moves the traffic.
    ProbeGate(GateSpec),
}

impl BindingKind {
    /// Whether the appliance itself holds it, under a lease.
    pub fn needs_lease(&self) -> bool {
        matches!(self, BindingKind::Vip { .. } | BindingKind::ProbeGate(_))
    }

    /// One word for tables and messages.
    pub fn word(&self) -> &'static str {
        match self {
            BindingKind::Vip { .. } => "vip",
            BindingKind::PublicIp { .. } => "public-ip",
            BindingKind::Route { .. } => "route",
            BindingKind::ProbeGate(_) => "probe-gate",
        }
    }
}

/// When and how a group moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether a dead active is replaced without an operator.
    pub failover: Trigger,
    /// How long the active must have been down, by the group verdict, before it is replaced.
    #[serde(rename = "failover_wait_ms", with = "millis")]
    pub failover_wait: Duration,
    /// Whether the group returns to the preferred appliance without an operator.
    pub failback: Trigger,
    /// How long after a move, and how long healthy, before an automatic failback.
    #[serde(rename = "stabilisation_ms", with = "millis")]
    pub stabilisation: Duration,
    /// Automatic moves allowed within `flap_window`; one more freezes the group. At least 1.
    pub flap_moves: u32,
    /// See `flap_moves`.
    #[serde(rename = "flap_window_ms", with = "millis")]
    pub flap_window: Duration,
    /// An operation that takes longer is reported as stalled, and may be superseded.
    #[serde(rename = "operation_timeout_ms", with = "millis")]
    pub operation_timeout: Duration,
    /// A vantage's report older than this does not count.
    #[serde(rename = "freshness_ms", with = "millis")]
    pub freshness: Duration,
    /// What becomes of the VIPs when no quorum of coordinators can be reached. Default `drop`.
    #[serde(default)]
    pub quorum_loss: QuorumLoss,
    /// Whether an earlier active appliance is switched off. Default `never`.
    #[serde(default)]
    pub fencing: Fencing,
    /// Whether a path that fails through an active appliance which is up itself counts as the
    /// active being down. Default false: it is an event and nothing more.
    #[serde(default)]
    pub path_decides: bool,
    /// What is a reason to leave an active appliance when it is announced. Default: all but
    /// `freeze`, which is over in seconds.
    #[serde(default = "drain")]
    pub drain: BTreeSet<NoticeKind>,
    /// How long ahead of what is announced the group leaves; a notice that comes later than that
    /// has it leave at once. 1 s to 30 days, default 1 h: clouds that give minutes are left at
    /// once, and of those that give weeks the machine is used until its last hour.
    #[serde(default = "drain_ahead", rename = "drain_ahead_ms", with = "millis")]
    pub drain_ahead: Duration,
}

fn drain() -> BTreeSet<NoticeKind> {
    NoticeKind::ALL.into_iter().filter(|kind| *kind != NoticeKind::Freeze).collect()
}

fn drain_ahead() -> Duration {
    Duration::from_secs(3600)
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            failover: Trigger::Automatic,
            failover_wait: Duration::ZERO,
            failback: Trigger::Manual,
            stabilisation: Duration::from_secs(30 * 60),
            flap_moves: 3,
            flap_window: Duration::from_secs(3600),
            operation_timeout: Duration::from_secs(300),
            freshness: Duration::from_secs(3),
            quorum_loss: QuorumLoss::Drop,
            fencing: Fencing::Never,
            path_decides: false,
            drain: drain(),
            drain_ahead: drain_ahead(),
        }
    }
}

/// What the active appliance does with the VIPs when its lease cannot be renewed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuorumLoss {
    /// It gives them up when its lease is over.
    #[default]
    Drop,
    /// It keeps them for as long as every other appliance of the group promises, again and again,
    /// to accept no grant.
    Failsafe,
}

/// Who may start a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The coordinator, by itself.
    Automatic,
    /// Only an operator.
    Manual,
}

/// An appliance's time-bounded right to carry the group's VIPs and to open its probe gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSpec {
    /// How long a grant lasts at most, from the moment that a quorum last confirmed the leader.
    /// Default 3 s.
    #[serde(rename = "ttl_ms", with = "millis")]
    pub ttl: Duration,
    /// How much faster one machine's clock may run than another's, in parts per million.
    /// Default 10,000 (1 %).
    pub drift_ppm: u32,
    /// The operator's word that a lease may be too short to outlast a change of leader: whenever
    /// the leader changes, a healthy active may lose its VIPs for a moment. Default false, and then
    /// such a lease is refused. The coordinator knows how fast its elections are; the core does not.
    #[serde(default)]
    pub accept_outage_on_leader_change: bool,
}

impl Default for LeaseSpec {
    fn default() -> Self {
        LeaseSpec { ttl: Duration::from_secs(3), drift_ppm: 10_000, accept_outage_on_leader_change: false }
    }
}

impl LeaseSpec {
    /// How long to wait, on any clock within the drift bound, for a lease of `ttl` to be over
    /// on any other: `ttl × (1 + drift)`, and 1 ms for rounding.
    pub fn wait(&self) -> Duration {
        let extra_ns = self.ttl.as_nanos().saturating_mul(u128::from(self.drift_ppm)) / 1_000_000;
        let extra = Duration::from_nanos(u64::try_from(extra_ns).unwrap_or(u64::MAX));
        self.ttl.saturating_add(extra).saturating_add(Duration::from_millis(1))
    }
}
