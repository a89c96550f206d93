//! What an operator declares of a pool.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AdapterName, ApplianceName, PoolName};
use crate::model::{ProbeSpec, Trigger};
use crate::time::millis;

/// Appliances that are all active behind a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Unique in the cluster, among groups as well: it names the tag that holds the token.
    pub name: PoolName,
    /// Two or more.
    pub members: Vec<MemberSpec>,
    /// How the load balancer in front of the members is told who is in.
    #[serde(default)]
    pub ingress: Option<Way>,
    /// How the load balancer behind the members is told. At least one of the two sides is there.
    #[serde(default)]
    pub egress: Option<Way>,
    /// When a member leaves and returns.
    pub policy: PoolPolicy,
}

impl PoolSpec {
    /// The member of that name.
    pub fn member(&self, name: &ApplianceName) -> Option<&MemberSpec> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// The sides that are declared, ingress first.
    pub fn sides(&self) -> impl Iterator<Item = (Side, &Way)> {
        let sides = [(Side::Ingress, &self.ingress), (Side::Egress, &self.egress)];
        sides.into_iter().filter_map(|(side, way)| way.as_ref().map(|way| (side, way)))
    }

    /// How the load balancer of that side is told.
    pub fn side(&self, side: Side) -> Option<&Way> {
        match side {
            Side::Ingress => self.ingress.as_ref(),
            Side::Egress => self.egress.as_ref(),
        }
    }

    /// Most members that may be out at once by decision.
    pub fn max_out(&self) -> usize {
        let allowed =
            self.policy.max_out.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        allowed.min(self.members.len().saturating_sub(self.min_in()))
    }

    /// Members that must stay in, and be up, when one is taken out by decision. Never 0.
    pub fn min_in(&self) -> usize {
        usize::try_from(self.policy.min_in).unwrap_or(usize::MAX).max(1)
    }
}

/// A member of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSpec {
    /// Unique in the cluster: an appliance belongs to one pool or to one group.
    pub name: ApplianceName,
    /// Its own address.
    pub address: IpAddr,
    /// What every coordinator watches. All must pass for the member to be up. One or more.
    pub probes: Vec<ProbeSpec>,
}

/// The two sides of an appliance that traffic goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Where traffic comes in.
    Ingress,
    /// Where it goes out, or the answers come back.
    Egress,
}

impl Side {
    /// As written in messages.
    pub fn word(self) -> &'static str {
        match self {
            Side::Ingress => "ingress",
            Side::Egress => "egress",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How a load balancer is told who is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The member's NIC IP configuration is put into, or taken out of, a backend pool of a cloud's
    /// load balancer.
    BackendPool {
        /// Which cloud connection.
        adapter: AdapterName,
        /// The backend pool, by the adapter's own id.
        backend_pool: String,
        /// The NIC IP configuration of each member, by the adapter's own id.
        targets: BTreeMap<ApplianceName, String>,
    },
}

impl Way {
    /// What of it concerns one member: a member whose part changes has to be looked at anew.
    pub(crate) fn part(&self, member: &ApplianceName) -> (&AdapterName, &str, Option<&String>) {
        match self {
            Way::BackendPool { adapter, backend_pool, targets } => {
                (adapter, backend_pool.as_str(), targets.get(member))
            }
        }
    }

    /// The cloud connection.
    pub fn adapter(&self) -> &AdapterName {
        match self {
            Way::BackendPool { adapter, .. } => adapter,
        }
    }

    /// What it is, for tables: the backend pool's id.
    pub fn what(&self) -> &str {
        match self {
            Way::BackendPool { backend_pool, .. } => backend_pool,
        }
    }
}

/// When members leave and return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPolicy {
    /// Whether a sick member is taken out without an operator. Default automatic.
    pub take_out: Trigger,
    /// Whether one that is well again returns without an operator. Default automatic.
    pub put_in: Trigger,
    /// Members that must stay in and be up when one is taken out by decision. Default 1, which is
    /// also the least.
    pub min_in: u32,
    /// Most members out at once by decision. Default: as many as `min_in` leaves.
    #[serde(default)]
    pub max_out: Option<u32>,
    /// How long a member must have been down before it is taken out. Default 0.
    #[serde(rename = "take_out_wait_ms", with = "millis")]
    pub take_out_wait: Duration,
    /// How long a member that is out must have been up before it returns. Default 5 min.
    #[serde(rename = "return_after_ms", with = "millis")]
    pub return_after: Duration,
    /// A member that was taken out this often within `flap_window` stays out until the window has
    /// moved on, or an operator puts it in. At least 1, default 3.
    pub flap_moves: u32,
    /// See `flap_moves`. Default 1 h.
    #[serde(rename = "flap_window_ms", with = "millis")]
    pub flap_window: Duration,
    /// A vantage's report older than this does not count. Default 3 s.
    #[serde(rename = "freshness_ms", with = "millis")]
    pub freshness: Duration,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        PoolPolicy {
            take_out: Trigger::Automatic,
            put_in: Trigger::Automatic,
            min_in: 1,
            max_out: None,
            take_out_wait: Duration::ZERO,
            return_after: Duration::from_secs(300),
            flap_moves: 3,
            flap_window: Duration::from_secs(3600),
            freshness: Duration::from_secs(3),
        }
    }
}
