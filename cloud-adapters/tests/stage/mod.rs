//! The simulated cloud as a scene of the contract suite.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::Adapter;
use cloud_adapters::simulated::faults::{FaultPlan, Spread};
use cloud_adapters::simulated::model::{CallSeen, IpConfiguration, Topology};
use cloud_adapters::simulated::{Options, Running, SimulatedAdapter, SimulatedCloud};
use coordinator_core::ids::ApplianceName;
use coordinator_core::model::{BindingKind, BindingSpec};
use serde_json::{Value, json};

use crate::suite::Scene;

pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// A cloud with a binding that points at `fw-a` and may point at `fw-b`, and much else besides.
pub(crate) struct Stage {
    pub(crate) cloud: Running,
    pub(crate) binding: BindingSpec,
}

pub(crate) async fn public_ip() -> Stage {
    let targets = [("fw-a", "nic-a/ipconfig1"), ("fw-b", "nic-b/ipconfig1")];
    let kind = BindingKind::PublicIp {
        adapter: "sim".parse().unwrap(),
        resource: "pip-web".to_owned(),
        targets: targets.map(|(fw, target)| (fw.parse().unwrap(), target.to_owned())).into(),
    };
    Stage { cloud: cloud().await, binding: BindingSpec { name: "web".parse().unwrap(), kind } }
}

pub(crate) async fn route() -> Stage {
    Stage { cloud: cloud().await, binding: route_binding("default") }
}

pub(crate) fn route_binding(route: &str) -> BindingSpec {
    let targets = [("fw-a", [10, 0, 0, 4]), ("fw-b", [10, 0, 0, 5])];
    let kind = BindingKind::Route {
        adapter: "sim".parse().unwrap(),
        table: "rt-hub".to_owned(),
        route: route.to_owned(),
        targets: targets.map(|(fw, hop)| (fw.parse().unwrap(), hop.into())).into(),
    };
    BindingSpec { name: route.parse().unwrap(), kind }
}

async fn cloud() -> Running {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut topology = Topology::default()
        .public_ip("pip-web", [203, 0, 113, 1].into())
        .public_ip("pip-mail", [203, 0, 113, 2].into())
        .nic("nic-a", [10, 0, 0, 4].into(), nowhere)
        .nic("nic-b", [10, 0, 0, 5].into(), nowhere)
        .nic("nic-x", [10, 0, 0, 6].into(), nowhere)
        .route("rt-hub", "default", "0.0.0.0/0", [10, 0, 0, 4].into())
        .route("rt-hub", "branch", "10.8.0.0/16", [10, 0, 0, 4].into())
        .route("rt-hub", "foreign", "10.9.0.0/16", [10, 0, 0, 99].into());
    topology.nics[0].ip_configurations[0].public_ip = Some("pip-web".to_owned());
    topology.nics[1].tags.insert("owner".to_owned(), "network team".to_owned());
    topology.nics[1].ip_configurations.push(IpConfiguration {
        name: "mail".to_owned(),
        private_address: [10, 0, 0, 7].into(),
        public_ip: Some("pip-mail".to_owned()),
        forward_to: None,
    });
    topology.route_tables[0].tags.insert("owner".to_owned(), "network team".to_owned());
    SimulatedCloud::start(Options { topology, ..Options::default() }).await.unwrap()
}

impl Scene for Stage {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(SimulatedAdapter::new(&self.cloud.url(), None).unwrap())
    }

    fn binding(&self) -> &BindingSpec {
        &self.binding
    }

    fn active(&self) -> Option<ApplianceName> {
        match &self.binding.kind {
            BindingKind::PublicIp { resource, targets, .. } => {
                let at = self.cloud.public_ip(resource).unwrap().ip_configuration;
                targets.iter().find(|(_, target)| Some(*target) == at.as_ref()).map(|(fw, _)| fw.clone())
            }
            BindingKind::Route { table, route, targets, .. } => {
                let table = self.cloud.route_table(table).unwrap();
                let hop = table.routes.iter().find(|r| r.name == *route).map(|r| r.next_hop);
                targets.iter().find(|(_, target)| Some(**target) == hop).map(|(fw, _)| fw.clone())
            }
            BindingKind::Vip { .. } | BindingKind::ProbeGate(_) => None,
        }
    }

    fn assert_never_two(&self) {
        let history = self.cloud.history();
        let two = history.iter().find(|entry| entry.carriers.len() > 1);
        assert_eq!(two, None, "two carry one binding");
    }

    fn everything_else(&self) -> Value {
        let nics = ["nic-a", "nic-b", "nic-x"].map(|name| json!(self.cloud.nic(name).unwrap()));
        let mut all = json!({ "nics": nics, "table": self.cloud.route_table("rt-hub").unwrap() });
        let moved_ip = matches!(&self.binding.kind, BindingKind::PublicIp { .. });
        for document in all["nics"].as_array_mut().unwrap() {
            strip(document);
            for config in document["ip_configurations"].as_array_mut().unwrap() {
                if moved_ip && config["public_ip"] == "pip-web" {
                    config["public_ip"] = Value::Null;
                }
            }
        }
        strip(&mut all["table"]);
        for route in all["table"]["routes"].as_array_mut().unwrap() {
            if !moved_ip && route["name"] == *self.binding.name.as_str() {
                route["next_hop"] = Value::Null;
            }
        }
        all
    }

    fn calls(&self) -> Vec<CallSeen> {
        self.cloud.calls()
    }

    fn calls_arrived(&self) -> u64 {
        self.cloud.calls_arrived()
    }

    fn die_at_call(&self, number: u64) {
        self.cloud.set_faults(FaultPlan { silent_from: Some(number), ..FaultPlan::default() });
    }

    fn misbehave(&self, seed: u64) {
        self.cloud.set_faults(FaultPlan {
            seed,
            latency: Spread::millis(0, 2),
            provisioning: Spread::millis(0, 3),
            throttle: 0.05,
            error: 0.05,
            lose_reply: 0.05,
            apply_late: 0.05,
            late_by: Spread::millis(1, 40),
            ..FaultPlan::default()
        });
    }

    fn heal(&self) {
        self.cloud.set_faults(FaultPlan::default());
    }

    fn patience(&self) -> Duration {
        DEADLINE
    }
}

fn strip(document: &mut Value) {
    let document = document.as_object_mut().unwrap();
    document.remove("etag");
    document.remove("provisioning");
    document["tags"].as_object_mut().unwrap().remove("pointsman-token-dmz");
}
