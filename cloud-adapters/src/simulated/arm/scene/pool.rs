//! A pool in the fake ARM: three members between two load balancers.

use std::collections::BTreeSet;

use coordinator_core::ids::ApplianceName;
use coordinator_core::pool::{Side, Way};
use serde_json::json;

use super::{ADAPTER, GROUP};
use crate::simulated::arm::FakeArm;
use crate::simulated::arm::documents::{Configuration, network_id, nic};

/// The members. The first two have a NIC for each side, the last has one for both.
pub const MEMBERS: [&str; 3] = ["px-a", "px-b", "px-c"];

const BOTH: [Side; 2] = [Side::Ingress, Side::Egress];

/// A pool in a fake ARM. All members are in on both sides, and in a third backend pool as well,
/// which is nobody's business.
#[derive(Debug, Clone)]
pub struct PoolScene {
    /// The cloud.
    pub arm: FakeArm,
}

impl Default for PoolScene {
    fn default() -> Self {
        let arm = FakeArm::new();
        for (at, member) in (4u8..).zip(MEMBERS) {
            let sides: &[Side] = if member == MEMBERS[2] { &BOTH[..1] } else { &BOTH };
            for side in sides {
                let address = format!("10.0.{}.{at}", u8::from(*side == Side::Egress));
                let configuration = Configuration { name: "ipconfig1", address: &address, public_ip: None };
                let mut document = nic(GROUP, &nic_name(member, *side), &[configuration]);
                let pools = "/properties/ipConfigurations/0/properties/loadBalancerBackendAddressPools";
                if let Some(list) = document.pointer_mut(pools).and_then(|list| list.as_array_mut()) {
                    let there =
                        BOTH.iter().filter(|other| nic_name(member, **other) == nic_name(member, *side));
                    list.extend(there.map(|side| json!({ "id": backend_pool(*side) })));
                }
                arm.with(|cloud| cloud.add(document));
            }
        }
        PoolScene { arm }
    }
}

impl PoolScene {
    /// Who gets traffic on a side.
    pub fn behind(&self, side: Side) -> BTreeSet<&'static str> {
        let inside = self.arm.with(|cloud| cloud.behind(&backend_pool(side)));
        MEMBERS.into_iter().filter(|member| inside.contains(&target(member, side).to_lowercase())).collect()
    }

    /// The fewest members that one of the two backend pools ever had.
    pub fn fewest(&self) -> usize {
        let ours = BOTH.map(|side| backend_pool(side).to_lowercase());
        let sizes = |cloud: &mut crate::simulated::arm::cloud::ArmCloud| {
            let entries = cloud.behind_history().iter().filter(|entry| ours.contains(&entry.backend_pool));
            entries.map(|entry| entry.inside.len()).min()
        };
        self.arm.with(sizes).unwrap_or(0)
    }

    /// How a coordinator is told of a side.
    pub fn way(&self, side: Side) -> Option<Way> {
        let targets =
            MEMBERS.iter().map(|member| Some((ApplianceName::new(*member).ok()?, target(member, side))));
        Some(Way::BackendPool {
            adapter: ADAPTER.parse().ok()?,
            backend_pool: backend_pool(side),
            targets: targets.collect::<Option<_>>()?,
        })
    }
}

/// The id of a side's backend pool.
pub fn backend_pool(side: Side) -> String {
    network_id(GROUP, "loadBalancers", &format!("lb-{side}")) + "/backendAddressPools/proxies"
}

/// The id of a member's NIC on a side.
pub fn nic_of(member: &str, side: Side) -> String {
    network_id(GROUP, "networkInterfaces", &nic_name(member, side))
}

/// The id of a member's IP configuration on a side.
pub fn target(member: &str, side: Side) -> String {
    format!("{}/ipConfigurations/ipconfig1", nic_of(member, side))
}

fn nic_name(member: &str, side: Side) -> String {
    let side = if member == MEMBERS[2] { Side::Ingress } else { side };
    format!("{member}-{side}")
}
