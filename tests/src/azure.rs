//! A group on the fake ARM, served to whole coordinators: their configuration names its URL for
//! ARM, the token endpoint and the metadata service.

use std::fmt::Write;

use anyhow::{Result, bail};
use cloud_adapters::simulated::arm::documents::{Configuration, network_id, nic};
use cloud_adapters::simulated::arm::scene::{ADAPTER, APPLIANCES, GROUP, Scene, Shape};
use cloud_adapters::simulated::arm::{FakeArm, Served};
use coordinator_core::model::{BindingKind, BindingSpec};

use crate::service::Service;
use crate::wait::{self, is};

/// The group's name.
pub const PAIR: &str = "dmz";

/// A cloud with a group at rest on `fw-a`, and the two appliances, alive.
#[derive(Debug)]
pub struct AzureStage {
    scene: Scene,
    served: Served,
    appliances: [Service; 2],
}

impl AzureStage {
    /// Serves a new cloud with a group of that size. Needs a Tokio runtime, whose threads must
    /// not all be blocked by the test.
    ///
    /// # Errors
    /// When nothing can listen on loopback.
    pub async fn new(shape: Shape) -> Result<AzureStage> {
        let scene = Scene::new(shape);
        let served = scene.arm.serve().await?;
        let appliances = [Service::new(1).await?, Service::new(2).await?];
        Ok(AzureStage { scene, served, appliances })
    }

    /// The cloud.
    pub fn arm(&self) -> &FakeArm {
        &self.scene.arm
    }

    /// Where it is served: ARM, the token endpoint and the metadata service.
    pub fn url(&self) -> String {
        self.served.url()
    }

    /// The group in the cloud, and its judge.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// An appliance's service, which the coordinators probe.
    ///
    /// # Errors
    /// When there is no such appliance.
    pub fn appliance(&mut self, name: &str) -> Result<&mut Service> {
        let found = APPLIANCES.iter().zip(&mut self.appliances).find(|((known, _), _)| *known == name);
        match found {
            Some((_, service)) => Ok(service),
            None => bail!("no appliance {name}"),
        }
    }

    /// The adapter and the group, as an operator would write them.
    pub fn declarations(&self) -> String {
        self.adapter() + &self.group("flap_moves = 100")
    }

    /// A NIC for each coordinator, in a subnet of its own; returns their ids, in order.
    pub fn add_coordinator_nics(&mut self) -> Vec<String> {
        let add = |n: usize| {
            let (name, address) = (format!("nic-c{n}"), format!("10.3.0.{n}"));
            let configuration = Configuration { name: "ipconfig1", address: &address, public_ip: None };
            let mut document = nic(GROUP, &name, &[configuration]);
            let subnet = network_id(GROUP, "virtualNetworks", "vnet-dmz") + "/subnets/coordinators";
            document["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"] = subnet.into();
            let id = network_id(GROUP, "networkInterfaces", &name);
            self.arm().with(|cloud| cloud.add(document));
            id
        };
        let ids = (1..=3).map(add).collect();
        self.scene = Scene::around(self.scene.arm.clone(), self.scene.bindings.clone());
        ids
    }

    /// The `[[adapter]]`, with all three URLs overridden.
    pub fn adapter(&self) -> String {
        let url = self.served.url();
        let subscription = cloud_adapters::simulated::arm::documents::SUBSCRIPTION;
        format!(
            r#"
[[adapter]]
name = "{ADAPTER}"
kind = "azure"
arm_url = "{url}"
authority_url = "{url}"
imds_url = "{url}"
allow = ["/subscriptions/{subscription}/resourceGroups/{GROUP}"]
identity = {{ kind = "managed-identity" }}
"#
        )
    }

    /// The `[[group]]`, with these keys in its policy.
    pub fn group(&self, policy: &str) -> String {
        let mut text = format!("\n[[group]]\nname = \"{PAIR}\"\npolicy = {{ {policy} }}\n");
        for BindingSpec { name, kind } in &self.scene.bindings {
            let (what, targets) = match kind {
                BindingKind::PublicIp { resource, targets, .. } => {
                    (format!("kind = \"public-ip\"\nresource = \"{resource}\""), table(targets))
                }
                BindingKind::Route { table: id, route, targets, .. } => {
                    (format!("kind = \"route\"\ntable = \"{id}\"\nroute = \"{route}\""), table(targets))
                }
                _ => continue,
            };
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n[[group.binding]]\nname = \"{name}\"\nadapter = \"{ADAPTER}\"\n{what}\n\
                 targets = {{ {targets} }}\n"
            );
        }
        for ((name, _), service) in APPLIANCES.iter().zip(&self.appliances) {
            let (ip, port) = (service.address().ip(), service.address().port());
            text += &format!(
                r#"
[[group.appliance]]
name = "{name}"
address = "{ip}"
probe = [{{ kind = "tcp", port = {port}, interval = "200ms", timeout = "150ms", rise = 2, fall = 2 }}]
"#
            );
        }
        text
    }

    /// Fails with what is wrong unless the whole group is at `appliance` in the cloud, nothing
    /// else has changed byte for byte, and no public IP was ever carried twice.
    ///
    /// # Errors
    /// With what is wrong, and every call.
    pub fn check(&self, appliance: &str) -> Result<()> {
        let wrong = self.scene.wrong(appliance);
        if wrong.is_empty() {
            return Ok(());
        }
        let mut calls = String::new();
        for call in self.arm().calls() {
            let _ = writeln!(calls, "{:>6} {:?} {} {}", call.number, call.at, call.call, call.result);
        }
        bail!("{}\n{calls}", wrong.join("; "))
    }

    /// Writes that ARM accepted, in their order: the short ids of what was written.
    pub fn accepted(&self) -> Vec<String> {
        let calls = self.arm().calls().into_iter();
        let writes = calls.filter(|call| call.result.starts_with('2'));
        writes.filter_map(|call| call.call.strip_prefix("PUT ").map(str::to_owned)).collect()
    }

    /// Waits until ARM has accepted that many writes.
    ///
    /// # Errors
    /// When it has not for too long.
    pub fn await_accepted(&self, writes: usize) -> Result<()> {
        wait::until(&format!("{writes} writes are accepted"), || {
            let accepted = self.accepted();
            Ok(is(accepted.len() >= writes, || format!("{accepted:?}")))
        })
    }
}

/// An inline table's entries.
fn table<K: std::fmt::Display, V: std::fmt::Display>(entries: &std::collections::BTreeMap<K, V>) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key} = \"{value}\"")).collect();
    entries.join(", ")
}
