//! The single checks.

use coordinator_core::model::BindingSpec;
use serde_json::Value;

use super::{Appliance, Item, Look, appliances};
use crate::azure::adapter::Declared;
use crate::azure::documents::{MOST_TAGS, State, entry, list, property, reference, tag, token_on};
use crate::azure::resource_id::{Kind, ResourceId};
use crate::azure::{public_ip, route};
use crate::contract::AdapterError;

/// The version of Microsoft.Authorization that requests are shaped for.
const AUTHORIZATION: &str = "2022-04-01";

/// What has to be permitted on each kind of resource. `write` on a NIC is not enough: ARM wants
/// to see that we may join what its document refers to.
fn needed(id: &ResourceId) -> &'static [&'static str] {
    if id.is(Kind::Nic) {
        &["Microsoft.Network/networkInterfaces/read", "Microsoft.Network/networkInterfaces/write"]
    } else if id.is(Kind::RouteTable) {
        &["Microsoft.Network/routeTables/read", "Microsoft.Network/routeTables/write"]
    } else if id.is(Kind::PublicIp) {
        &["Microsoft.Network/publicIPAddresses/read", "Microsoft.Network/publicIPAddresses/join/action"]
    } else {
        &["Microsoft.Compute/virtualMachines/read"]
    }
}

impl Look<'_> {
    /// Whether a resource was read; an item says so or why not.
    pub(super) fn readable(&mut self, id: &ResourceId) -> bool {
        let what = id.short();
        match self.documents.require(id) {
            Ok(_) => {
                self.items.push(Item::pass(&what, "it can be read"));
                true
            }
            Err(error) => {
                let found = error.into_adapter_error("read it").chain();
                let advice = "correct the id in the declaration, or the role of the identity";
                self.items.push(Item::fail(&what, found, advice));
                false
            }
        }
    }

    /// The token has to fit on it, and the state has to be a good one.
    pub(super) fn writable(&mut self, id: &ResourceId) {
        let Some(document) = self.documents.get(id) else { return };
        let what = id.short();
        let state = State::of(document);
        let token = token_on(document, self.group);
        let tags = document.get("tags").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        let full = tags >= MOST_TAGS && matches!(token, Ok(None)) && !id.is(Kind::PublicIp);
        if let Err(why) = token {
            self.items.push(Item::fail(&what, why, "see which cluster wrote it before anything else"));
        } else if full {
            let advice = format!("remove one: the tag {} needs a place", tag(self.group));
            self.items.push(Item::fail(&what, format!("it has all of {MOST_TAGS} tags"), advice));
        }
        match state {
            State::Succeeded => {}
            State::Updating => {
                let advice = "run this again when ARM has finished";
                self.items.push(Item::warn(&what, "someone is changing it", advice));
            }
            State::Failed => {
                let advice = "a move ends that by writing it again; find out what failed";
                self.items.push(Item::warn(&what, "its last change failed", advice));
            }
        }
    }

    /// Each permission that a move needs, as Microsoft.Authorization tells it for this identity.
    pub(super) async fn permissions(&mut self, id: &ResourceId) {
        let what = id.short();
        let path = format!("{}/providers/Microsoft.Authorization/permissions", id.as_str());
        let told = self.adapter.arm.get_path(&path, AUTHORIZATION, self.journal).await;
        let sets = match told {
            Ok(reply) => reply.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default(),
            Err(failure) => {
                let found = failure.into_adapter_error("read the permissions").chain();
                let advice =
                    "give the identity Microsoft.Authorization/permissions/read, or check its role by hand";
                self.items.push(Item::warn(&what, found, advice));
                return;
            }
        };
        let missing: Vec<&str> =
            needed(id).iter().copied().filter(|action| !sets.iter().any(|set| grants(set, action))).collect();
        if missing.is_empty() {
            self.items.push(Item::pass(&what, format!("permitted: {}", needed(id).join(", "))));
        } else {
            let found = format!("not permitted: {}", missing.join(", "));
            let advice =
                "add it to the identity's role, or assign the role at a scope that covers the resource";
            self.items.push(Item::fail(&what, found, advice));
        }
    }

    pub(super) fn public_ip(&mut self, declared: &public_ip::Declared) {
        let what = declared.public_ip.short();
        if let Err(error) = declared.actual(&self.documents, self.group) {
            let found = error.into_adapter_error("make sense of it").chain();
            let advice = "correct what it says; a move would fail on it";
            self.items.push(Item::fail(&what, found, advice));
        }
        if let Some(document) = self.documents.get(&declared.public_ip) {
            let sku = document.pointer("/sku/name").and_then(Value::as_str).unwrap_or("Basic");
            let method = property(document, "publicIPAllocationMethod").unwrap_or("Dynamic");
            if method.eq_ignore_ascii_case("Dynamic") {
                let advice = "make it static: a dynamic address is lost when it is detached";
                self.items.push(Item::fail(&what, "its allocation is dynamic", advice));
            } else if sku.eq_ignore_ascii_case("Basic") {
                let advice = "upgrade it to Standard: Basic is retired, and has no zones";
                self.items.push(Item::warn(&what, "its SKU is Basic", advice));
            } else {
                self.items.push(Item::pass(&what, format!("its SKU is {sku} and its allocation {method}")));
            }
        }
        for (appliance, target) in &declared.targets {
            let Some(nic) = self.documents.get(&target.nic) else { continue };
            let place = target.configuration.short();
            let found = entry(nic, "ipConfigurations", target.configuration.name());
            let Some(found) = found else {
                let advice =
                    format!("create it on {}, or correct the target of {appliance}", target.nic.name());
                self.items.push(Item::fail(&place, "there is no such IP configuration", advice));
                continue;
            };
            match reference(found, "publicIPAddress").filter(|has| *has != declared.public_ip) {
                Some(other) => {
                    let advice = "remove it: one IP configuration has one public IP";
                    let found = format!("it has another public IP, {}", other.short());
                    self.items.push(Item::fail(&place, found, advice));
                }
                None => {
                    self.items.push(Item::pass(&place, format!("{appliance} can take the public IP there")))
                }
            }
        }
    }

    pub(super) fn route(&mut self, declared: &route::Declared<'_>) {
        let what = format!("{}/{}", declared.table.short(), declared.route);
        let Some(table) = self.documents.get(&declared.table) else { return };
        match entry(table, "routes", declared.route) {
            Some(found) if property(found, "nextHopType") == Some("VirtualAppliance") => {
                self.items.push(Item::pass(&what, "it is a route to an appliance"));
            }
            Some(found) => {
                let hop = property(found, "nextHopType").unwrap_or("nothing");
                let advice = "see whether it is the right route: a move makes it one to an appliance";
                self.items.push(Item::warn(&what, format!("it leads to {hop}"), advice));
            }
            None => {
                let advice = "create it, with any next hop: its prefix is in no declaration";
                self.items.push(Item::fail(&what, "there is no such route", advice));
            }
        }
    }

    /// The next hops of routes are addresses of the appliances' NICs, which forward.
    pub(super) fn next_hops(&mut self, declared: &[(&BindingSpec, Declared<'_>)]) {
        for (appliance, Appliance { nics, hops }) in appliances(declared) {
            for id in &nics {
                let Some(nic) = self.documents.get(id) else { continue };
                let forwards = nic.pointer("/properties/enableIPForwarding") == Some(&Value::Bool(true));
                let what = id.short();
                self.items.push(if forwards {
                    Item::pass(&what, "IP forwarding is on")
                } else {
                    let advice = format!("switch it on: Azure drops what {appliance} is to forward");
                    Item::fail(&what, "IP forwarding is off", advice)
                });
            }
            let known: Vec<&Value> = nics.iter().filter_map(|id| self.documents.get(id)).collect();
            for hop in hops.iter().filter(|_| !known.is_empty()) {
                let has = known.iter().any(|nic| {
                    list(nic, "ipConfigurations").iter().any(|configuration| {
                        property(configuration, "privateIPAddress").and_then(|a| a.parse().ok()) == Some(*hop)
                    })
                });
                if !has {
                    // An appliance has a NIC on each side, and only those with public IPs are known.
                    let what = format!("next hop {hop}");
                    let found = format!("it is no address of the NICs of {appliance} that are declared");
                    self.items.push(Item::warn(&what, found, "see that it is one of its other NICs"));
                }
            }
        }
    }

    /// A standby that is switched off takes over nothing.
    pub(super) async fn machines(&mut self, declared: &[(&BindingSpec, Declared<'_>)]) {
        for (appliance, Appliance { nics, .. }) in appliances(declared) {
            let nics = nics.iter().filter_map(|id| self.documents.get(id));
            let machines: std::collections::BTreeSet<ResourceId> =
                nics.filter_map(|nic| reference(nic, "virtualMachine")).collect();
            for machine in machines {
                let what = machine.short();
                let item = match self.adapter.power_state(&machine, self.journal).await {
                    Ok(Some(state)) if state == "PowerState/running" => {
                        Item::pass(&what, format!("{appliance} runs"))
                    }
                    Ok(state) => {
                        let state = state.unwrap_or_else(|| "unknown".to_owned());
                        Item::fail(&what, format!("the state of {appliance} is {state}"), "start it")
                    }
                    Err(failure) => {
                        let error: AdapterError = failure.into_adapter_error("read its state");
                        let advice = "give the identity Microsoft.Compute/virtualMachines/instanceView/read";
                        Item::warn(&what, error.chain(), advice)
                    }
                };
                self.items.push(item);
            }
        }
    }
}

/// Whether a set of permissions has an action: granted, and not taken out again.
fn grants(set: &Value, action: &str) -> bool {
    let any = |field: &str| {
        let list = set.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).any(|pattern| matches(pattern, action))
    };
    any("actions") && !any("notActions")
}

/// Whether a pattern with `*` in it covers an action. Case does not count.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = action.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_permission_is_granted_by_a_pattern_and_taken_out_by_another() {
        for (pattern, covers) in [
            ("*", true),
            ("*/read", false),
            ("Microsoft.Network/*", true),
            ("microsoft.network/NETWORKINTERFACES/write", true),
            ("Microsoft.Network/*/write", true),
            ("Microsoft.Network/networkInterfaces/wri", false),
            ("Microsoft.Network/networkInterfaces/write/*", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern, "Microsoft.Network/networkInterfaces/write"), covers, "{pattern}");
        }
        let set = json!({ "actions": ["*"], "notActions": ["Microsoft.Network/routeTables/*"] });
        assert!(grants(&set, "Microsoft.Network/networkInterfaces/write"));
        assert!(!grants(&set, "Microsoft.Network/routeTables/write"));
    }
}
