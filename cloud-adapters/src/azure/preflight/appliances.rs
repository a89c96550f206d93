//! What the appliances' NICs and machines have to be like.

use std::collections::BTreeSet;
use std::net::IpAddr;

use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::ApplianceName;
use coordinator_core::model::BindingSpec;
use serde_json::Value;

use super::{Appliance, Look, appliances, sku, zones};
use crate::azure::adapter::Declared;
use crate::azure::arm::CallFailure;
use crate::azure::documents::{list, property, reference};
use crate::azure::power::COMPUTE;
use crate::azure::public_ip;
use crate::azure::resource_id::ResourceId;

impl Look<'_> {
    /// A NIC takes public IPs of one SKU only.
    pub(super) async fn skus(&mut self, declared: &public_ip::Declared) {
        let others: BTreeSet<ResourceId> =
            declared.nics().iter().flat_map(|nic| self.public_ips_on(nic)).collect();
        self.documents.fetch(&self.adapter.arm, others, self.journal).await;
        let Some(own) = self.documents.get(&declared.public_ip).map(sku) else { return };
        let mut found = Vec::new();
        for nic in declared.nics() {
            let other = self.public_ips_on(&nic).into_iter().find(|other| {
                self.documents.get(other).is_some_and(|other| !sku(other).eq_ignore_ascii_case(own))
            });
            if let Some(other) = other {
                let has = format!("it has {}, and {} is {own}", other.short(), declared.public_ip.name());
                let advice =
                    "bring all public IPs to one SKU: a NIC takes no mixture, so the attach would fail";
                found.push(CheckItem::fail(Check::AzureSku, nic.short(), has, advice));
            }
        }
        self.items.extend(found);
    }

    fn public_ips_on(&self, nic: &ResourceId) -> Vec<ResourceId> {
        let nic = self.documents.get(nic);
        let configurations = nic.map(|nic| list(nic, "ipConfigurations")).unwrap_or_default();
        configurations.iter().filter_map(|entry| reference(entry, "publicIPAddress")).collect()
    }

    pub(super) async fn appliances(&mut self, declared: &[(&BindingSpec, Declared<'_>)]) {
        let all = appliances(declared);
        for (name, appliance) in &all {
            self.forwarding(name, appliance);
            self.next_hops(name, &appliance.nics, &appliance.hops);
            self.machines(name, appliance).await;
        }
        let nics: BTreeSet<&ResourceId> = all.values().flat_map(|appliance| &appliance.nics).collect();
        self.acceleration(&nics);
    }

    fn forwarding(&mut self, appliance: &ApplianceName, Appliance { nics, .. }: &Appliance) {
        for id in nics {
            let Some(nic) = self.documents.get(id) else { continue };
            self.items.push(if switch(nic, "enableIPForwarding") {
                CheckItem::pass(Check::AzureForwarding, id.short(), "IP forwarding is on")
            } else {
                let advice = format!("switch it on: Azure drops what {appliance} is to forward");
                CheckItem::fail(Check::AzureForwarding, id.short(), "IP forwarding is off", advice)
            });
        }
    }

    /// A move leaves it as it is; a standby without it is a slower one.
    fn acceleration(&mut self, nics: &BTreeSet<&ResourceId>) {
        let known = nics
            .iter()
            .filter_map(|id| Some((*id, switch(self.documents.get(id)?, "enableAcceleratedNetworking"))));
        let known: Vec<_> = known.collect();
        let mixed = known.iter().any(|(_, on)| *on) && known.iter().any(|(_, on)| !*on);
        for (id, on) in known {
            let found = if on { "accelerated networking is on" } else { "accelerated networking is off" };
            self.items.push(if mixed && !on {
                let advice = "switch it on as on the others, or expect less after a move to it";
                CheckItem::warn(Check::AzureAcceleration, id.short(), found, advice)
            } else {
                CheckItem::pass(Check::AzureAcceleration, id.short(), found)
            });
        }
    }

    /// The next hops of routes are addresses of the appliance's NICs.
    fn next_hops(&mut self, appliance: &ApplianceName, nics: &BTreeSet<ResourceId>, hops: &BTreeSet<IpAddr>) {
        let known: Vec<&Value> = nics.iter().filter_map(|id| self.documents.get(id)).collect();
        if known.is_empty() {
            return;
        }
        for hop in hops {
            let has = known.iter().any(|nic| {
                list(nic, "ipConfigurations").iter().any(|configuration| {
                    property(configuration, "privateIPAddress").and_then(|a| a.parse().ok()) == Some(*hop)
                })
            });
            let what = format!("next hop {hop}");
            self.items.push(if has {
                CheckItem::pass(Check::AzureNextHop, what, format!("it is an address of {appliance}"))
            } else {
                // An appliance has a NIC on each side, and only those with public IPs are known.
                let found = format!("it is no address of the NICs of {appliance} that are declared");
                CheckItem::warn(Check::AzureNextHop, what, found, "see that it is one of its other NICs")
            });
        }
    }

    /// A standby that is switched off takes over nothing.
    async fn machines(&mut self, appliance: &ApplianceName, known: &Appliance) {
        let nics = known.nics.iter().filter_map(|id| self.documents.get(id));
        let machines: BTreeSet<ResourceId> =
            nics.filter_map(|nic| reference(nic, "virtualMachine")).collect();
        for machine in machines {
            let what = machine.short();
            let runs = match self.adapter.power_state(&machine, self.journal).await {
                Ok(Some(state)) if state == "PowerState/running" => {
                    CheckItem::pass(Check::AzureMachine, &what, format!("{appliance} runs"))
                }
                Ok(state) => {
                    let state = state.unwrap_or_else(|| "unknown".to_owned());
                    let found = format!("the state of {appliance} is {state}");
                    CheckItem::fail(Check::AzureMachine, &what, found, "start it")
                }
                Err(failure) => unread(Check::AzureMachine, &what, failure),
            };
            self.items.push(runs);
            let read = self.adapter.arm.get_path(machine.as_str(), COMPUTE, self.journal).await;
            match read {
                Ok(reply) => self.zones(appliance, known, &what, &reply.body),
                Err(failure) => self.items.push(unread(Check::AzureZone, &what, failure)),
            }
        }
    }

    /// Basic public IPs do not go onto machines in zones, and a public IP of one zone dies with it.
    fn zones(&mut self, appliance: &ApplianceName, known: &Appliance, machine: &str, document: &Value) {
        let own = zones(document);
        for public_ip in &known.public_ips {
            let Some(document) = self.documents.get(public_ip) else { continue };
            let what = public_ip.short();
            let theirs = zones(document);
            let item = match (own.as_slice(), theirs.as_slice()) {
                (&[zone], _) if sku(document).eq_ignore_ascii_case("Basic") => {
                    let found = format!("its SKU is Basic, and {machine} of {appliance} is in zone {zone}");
                    let advice = "upgrade it to Standard: Azure attaches no Basic one to a machine in a zone";
                    CheckItem::fail(Check::AzureZone, what, found, advice)
                }
                (&[zone], &[only]) if zone != only => {
                    let found =
                        format!("it is in zone {only} alone, and {machine} of {appliance} in zone {zone}");
                    let advice = "make one in all zones: this one is lost with its zone, wherever it points";
                    CheckItem::warn(Check::AzureZone, what, found, advice)
                }
                _ => {
                    let shown =
                        |zones: &[&str]| if zones.is_empty() { "none".to_owned() } else { zones.join(", ") };
                    let found = format!("its zones ({}) fit {machine} ({})", shown(&theirs), shown(&own));
                    CheckItem::pass(Check::AzureZone, what, found)
                }
            };
            self.items.push(item);
        }
    }
}

fn switch(nic: &Value, name: &str) -> bool {
    nic.get("properties").and_then(|properties| properties.get(name)) == Some(&Value::Bool(true))
}

fn unread(check: Check, what: &str, failure: CallFailure) -> CheckItem {
    let found = failure.into_adapter_error("read it").chain();
    let advice = "give the identity Microsoft.Compute/virtualMachines/read and instanceView/read";
    CheckItem::warn(check, what, found, advice)
}
