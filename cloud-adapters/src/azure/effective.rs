//! Effective routes: what Azure really does with a NIC's traffic, all tables and their
//! precedence considered. ARM gives them only for a NIC of a machine that runs.

use std::net::IpAddr;

use serde_json::Value;

use super::AzureAdapter;
use super::arm::CallFailure;
use super::arm::NETWORK;
use super::resource_id::ResourceId;
use crate::contract::Journal;

/// One route as it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveRoute {
    /// The destinations, for instance `0.0.0.0/0`.
    pub prefixes: Vec<String>,
    /// For instance `VirtualAppliance`.
    pub next_hop_type: String,
    /// The next hops, for routes to appliances.
    pub next_hops: Vec<IpAddr>,
    /// Whether it is in force; another may have taken precedence.
    pub active: bool,
}

impl AzureAdapter {
    /// The routes that apply to a NIC's traffic.
    ///
    /// # Errors
    /// [`CallFailure`]; also when the machine does not run.
    pub async fn effective_routes(
        &self,
        nic: &ResourceId,
        journal: &Journal,
    ) -> Result<Vec<EffectiveRoute>, CallFailure> {
        let result = self.arm.ask(nic, "effectiveRouteTable", NETWORK, journal).await?;
        let routes = result.get("value").and_then(Value::as_array);
        Ok(routes.into_iter().flatten().map(route).collect())
    }
}

fn route(value: &Value) -> EffectiveRoute {
    let list = |field: &str| {
        let list = value.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    };
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    EffectiveRoute {
        prefixes: list("addressPrefix").map(str::to_owned).collect(),
        next_hop_type: text("nextHopType").to_owned(),
        next_hops: list("nextHopIpAddress").filter_map(|hop| hop.parse().ok()).collect(),
        active: text("state") == "Active",
    }
}
