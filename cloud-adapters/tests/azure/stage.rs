//! Azure as a scene of the contract suite: a DMZ with two appliances, and much else besides.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::azure::options::{Endpoints, Identity, Pace};
use cloud_adapters::azure::{AzureAdapter, AzureOptions};
use cloud_adapters::contract::Adapter;
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::documents::{
    Configuration, network_id, nic, public_ip as pip, route_table, virtual_machine,
};
use cloud_adapters::simulated::arm::faults::ArmFaults;
pub(crate) use cloud_adapters::simulated::arm::scene::{GROUP, active, everything_else};
use cloud_adapters::simulated::faults::Spread;
use cloud_adapters::simulated::model::CallSeen;
use coordinator_core::ids::ApplianceName;
use coordinator_core::model::{BindingKind, BindingSpec};
use serde_json::Value;

use crate::suite::Scene;

pub(crate) struct AzureStage {
    pub(crate) arm: FakeArm,
    pub(crate) binding: BindingSpec,
}

pub(crate) async fn public_ip() -> AzureStage {
    AzureStage { arm: dmz(), binding: public_ip_binding("web", "pip-web", "ipconfig1") }
}

pub(crate) async fn ipv6() -> AzureStage {
    AzureStage { arm: dmz(), binding: public_ip_binding("web6", "pip-web6", "v6") }
}

pub(crate) async fn route() -> AzureStage {
    AzureStage { arm: dmz(), binding: route_binding("rt-hub", "default") }
}

/// Two appliances with a NIC each; `nic-x` belongs to nobody.
pub(crate) fn dmz() -> FakeArm {
    let arm = FakeArm::new();
    let (web, web6, mail) = (id("pip-web"), id("pip-web6"), id("pip-mail"));
    let configuration = |name, address, public_ip| Configuration { name, address, public_ip };
    let documents = [
        pip(GROUP, "pip-web", "203.0.113.1"),
        pip(GROUP, "pip-web6", "2001:db8::1"),
        pip(GROUP, "pip-mail", "203.0.113.2"),
        nic(
            GROUP,
            "nic-a",
            &[
                configuration("ipconfig1", "10.0.0.4", Some(web.as_str())),
                configuration("v6", "fd00::4", Some(web6.as_str())),
                configuration("spare", "10.0.0.14", None),
            ],
        ),
        nic(
            GROUP,
            "nic-b",
            &[
                configuration("ipconfig1", "10.0.0.5", None),
                configuration("v6", "fd00::5", None),
                configuration("mail", "10.0.0.15", Some(mail.as_str())),
            ],
        ),
        nic(GROUP, "nic-x", &[configuration("ipconfig1", "10.0.0.6", None)]),
        virtual_machine(GROUP, "vm-nic-a"),
        virtual_machine(GROUP, "vm-nic-b"),
        route_table(
            GROUP,
            "rt-hub",
            &[
                ("default", "0.0.0.0/0", "10.0.0.4"),
                ("branch", "10.8.0.0/16", "10.0.0.4"),
                ("foreign", "10.9.0.0/16", "10.0.0.99"),
            ],
        ),
    ];
    arm.with(|cloud| documents.into_iter().for_each(|document| cloud.add(document)));
    arm
}

pub(crate) fn id(public_ip: &str) -> String {
    network_id(GROUP, "publicIPAddresses", public_ip)
}

pub(crate) fn nic_id(nic: &str) -> String {
    network_id(GROUP, "networkInterfaces", nic)
}

pub(crate) fn table_id(table: &str) -> String {
    network_id(GROUP, "routeTables", table)
}

pub(crate) fn public_ip_binding(name: &str, public_ip: &str, configuration: &str) -> BindingSpec {
    let target = |nic: &str| format!("{}/ipConfigurations/{configuration}", nic_id(nic));
    public_ip_between(name, public_ip, [("fw-a", target("nic-a")), ("fw-b", target("nic-b"))])
}

pub(crate) fn public_ip_between<'a>(
    name: &str,
    public_ip: &str,
    targets: impl IntoIterator<Item = (&'a str, String)>,
) -> BindingSpec {
    let targets = targets.into_iter().map(|(fw, target)| (fw.parse().unwrap(), target));
    let kind = BindingKind::PublicIp {
        adapter: "azure".parse().unwrap(),
        resource: id(public_ip),
        targets: targets.collect(),
    };
    BindingSpec { name: name.parse().unwrap(), kind }
}

pub(crate) fn route_binding(table: &str, route: &str) -> BindingSpec {
    let targets = [("fw-a", [10, 0, 0, 4]), ("fw-b", [10, 0, 0, 5])];
    let kind = BindingKind::Route {
        adapter: "azure".parse().unwrap(),
        table: table_id(table),
        route: route.to_owned(),
        targets: targets.map(|(fw, hop)| (fw.parse().unwrap(), hop.into())).into(),
    };
    BindingSpec { name: format!("{table}-{route}").parse().unwrap(), kind }
}

/// What an adapter needs to be told to use a fake ARM at `url`.
pub(crate) fn options(url: &str) -> AzureOptions {
    let url: reqwest::Url = url.parse().unwrap();
    AzureOptions {
        endpoints: Endpoints {
            arm: url.clone(),
            authority: url.clone(),
            imds: url,
            audience: "https://management.azure.com/".to_owned(),
        },
        identity: Identity::ManagedIdentity { client_id: None },
        allow: vec![network_id(GROUP, "x", "y").split("/providers").next().unwrap().to_owned()],
        ca: None,
        pace: Pace::default(),
    }
}

pub(crate) fn adapter(arm: &FakeArm) -> Arc<AzureAdapter> {
    let transport = Arc::new(arm.clone());
    Arc::new(AzureAdapter::with_transport(options("https://arm.test/"), transport).unwrap())
}

pub(crate) fn assert_never_two(arm: &FakeArm) {
    let two = arm.with(|cloud| cloud.history().iter().find(|entry| entry.carriers.len() > 1).cloned());
    assert_eq!(two, None, "two carry one public IP");
}

impl Scene for AzureStage {
    fn adapter(&self) -> Arc<dyn Adapter> {
        adapter(&self.arm)
    }

    fn binding(&self) -> &BindingSpec {
        &self.binding
    }

    fn active(&self) -> Option<ApplianceName> {
        active(&self.arm, &self.binding)
    }

    fn assert_never_two(&self) {
        assert_never_two(&self.arm);
    }

    fn everything_else(&self) -> Value {
        everything_else(&self.arm, std::slice::from_ref(&self.binding))
    }

    fn calls(&self) -> Vec<CallSeen> {
        self.arm.calls()
    }

    fn calls_arrived(&self) -> u64 {
        self.arm.calls_arrived()
    }

    fn die_at_call(&self, number: u64) {
        self.arm.set_faults(ArmFaults { silent_from: Some(number), ..ArmFaults::default() });
    }

    fn misbehave(&self, seed: u64) {
        self.arm.set_faults(ArmFaults {
            seed,
            latency: Spread::millis(10, 200),
            provisioning: Spread::millis(1_000, 20_000),
            tagging: Spread::millis(0, 2_000),
            retry_after: Some(10),
            throttle: 0.05,
            error: 0.05,
            lose_reply: 0.05,
            apply_late: 0.05,
            late_by: Spread::millis(100, 30_000),
            ..ArmFaults::default()
        });
    }

    fn heal(&self) {
        self.arm.set_faults(ArmFaults::default());
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(600)
    }
}
