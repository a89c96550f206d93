//! A whole group in the fake ARM: public IPs on pairs of NICs, and route tables, all at `fw-a`;
//! and a judge of what became of it.

mod judge;
pub mod pool;

use coordinator_core::ids::{AdapterName, ApplianceName};
use coordinator_core::model::{BindingKind, BindingSpec};
use serde_json::Value;

use super::FakeArm;
use super::documents::{Configuration, network_id, nic, public_ip, route_table, virtual_machine};

pub use judge::{active, everything_else};

/// The resource group of everything.
pub const GROUP: &str = "rg-dmz";
/// The adapter that the bindings name.
pub const ADAPTER: &str = "azure";
/// The appliances, and the hop that routes take to each.
pub const APPLIANCES: [(&str, [u8; 4]); 2] = [("fw-a", [10, 0, 0, 4]), ("fw-b", [10, 0, 0, 5])];

/// How large a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Public IPs, each on an IP configuration of its own.
    pub ips: usize,
    /// Pairs of NICs that they are spread over, in turn. At least 1 if there are any.
    pub pairs: usize,
    /// Route tables with a route each that follows the active, the first with two; and with
    /// routes that belong to others.
    pub tables: usize,
}

impl Shape {
    /// One public IP and three tables.
    pub const SMALL: Shape = Shape { ips: 1, pairs: 1, tables: 3 };
    /// Ten public IPs, some of which share a pair of NICs, and twenty tables.
    pub const LARGE: Shape = Shape { ips: 10, pairs: 6, tables: 20 };

    /// What a move has to write: the NICs and the tables.
    pub fn resources(self) -> usize {
        2 * self.pairs.min(self.ips) + self.tables
    }
}

/// A group in a fake ARM.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The cloud.
    pub arm: FakeArm,
    /// What the appliances share.
    pub bindings: Vec<BindingSpec>,
    before: Value,
}

impl Scene {
    /// A new cloud with a group of that size, at rest at `fw-a`.
    pub fn new(shape: Shape) -> Scene {
        let arm = FakeArm::new();
        let mut documents = Vec::new();
        for ip in 0..shape.ips {
            documents.push(public_ip(GROUP, &format!("pip-{ip}"), &format!("203.0.113.{}", ip + 1)));
        }
        for pair in 0..shape.pairs.min(shape.ips) {
            for (side, name) in ["a", "b"].into_iter().enumerate() {
                documents.push(nic_of(shape, pair, side, name));
                documents.push(virtual_machine(GROUP, &format!("vm-nic-{name}-{pair}")));
            }
        }
        for table in 0..shape.tables {
            let routes = [
                ("default", "0.0.0.0/0", "10.0.0.4"),
                ("branch", "10.8.0.0/16", "10.0.0.4"),
                ("other", "10.9.0.0/16", "10.0.0.9"),
            ];
            documents.push(route_table(GROUP, &format!("rt-{table}"), &routes));
        }
        arm.with(|cloud| documents.into_iter().for_each(|document| cloud.add(document)));
        Scene::around(arm, bindings(shape))
    }

    /// Takes a cloud as it is: what is not these bindings' is to stay so.
    pub fn around(arm: FakeArm, bindings: Vec<BindingSpec>) -> Scene {
        let before = everything_else(&arm, &bindings);
        Scene { arm, bindings, before }
    }

    /// What is wrong if the whole group is to be at `appliance` and nothing else may have
    /// changed since the start, byte for byte; empty if all is right. Also tells if two IP
    /// configurations ever carried one public IP.
    pub fn wrong(&self, appliance: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for binding in &self.bindings {
            let at = active(&self.arm, binding);
            if at.as_ref().map(ApplianceName::as_str) != Some(appliance) {
                wrong.push(format!("{} is at {at:?} and should be at {appliance}", binding.name));
            }
        }
        if everything_else(&self.arm, &self.bindings) != self.before {
            wrong.push("something else changed".to_owned());
        }
        let two = self.arm.with(|cloud| cloud.history().iter().find(|e| e.carriers.len() > 1).cloned());
        wrong.extend(two.map(|entry| format!("two carried one public IP: {entry:?}")));
        wrong
    }

    /// How many writes arrived.
    pub fn writes(&self) -> usize {
        self.arm.calls().iter().filter(|call| call.call.starts_with("PUT")).count()
    }
}

/// The NIC of one side of a pair, with a configuration for each of its public IPs.
fn nic_of(shape: Shape, pair: usize, side: usize, name: &str) -> Value {
    let mine = (0..shape.ips).filter(|ip| ip % shape.pairs == pair);
    let parts: Vec<(String, String, String)> = mine
        .map(|ip| (format!("config-{ip}"), format!("10.{}.{pair}.{}", side + 1, ip + 4), pip_id(ip)))
        .collect();
    let configurations: Vec<Configuration<'_>> = parts
        .iter()
        .map(|(name, address, pip)| Configuration { name, address, public_ip: (side == 0).then_some(pip) })
        .collect();
    nic(GROUP, &format!("nic-{name}-{pair}"), &configurations)
}

fn pip_id(ip: usize) -> String {
    network_id(GROUP, "publicIPAddresses", &format!("pip-{ip}"))
}

fn bindings(shape: Shape) -> Vec<BindingSpec> {
    let mut bindings = Vec::new();
    for ip in 0..shape.ips {
        let target = |side: &str| {
            let nic = network_id(GROUP, "networkInterfaces", &format!("nic-{side}-{}", ip % shape.pairs));
            format!("{nic}/ipConfigurations/config-{ip}")
        };
        let targets = APPLIANCES.iter().zip(["a", "b"]).map(|((fw, _), side)| (named(fw), target(side)));
        let kind =
            BindingKind::PublicIp { adapter: adapter(), resource: pip_id(ip), targets: targets.collect() };
        bindings.push(binding(&format!("web-{ip}"), kind));
    }
    for table in 0..shape.tables {
        for route in ["default", "branch"].iter().take(if table == 0 { 2 } else { 1 }) {
            let kind = BindingKind::Route {
                adapter: adapter(),
                table: network_id(GROUP, "routeTables", &format!("rt-{table}")),
                route: (*route).to_owned(),
                targets: APPLIANCES.iter().map(|(fw, hop)| (named(fw), (*hop).into())).collect(),
            };
            bindings.push(binding(&format!("rt-{table}-{route}"), kind));
        }
    }
    bindings
}

#[expect(clippy::expect_used, reason = "the names above are good ones, by the tests of this crate")]
fn binding(name: &str, kind: BindingKind) -> BindingSpec {
    BindingSpec { name: name.parse().expect("a binding's name"), kind }
}

#[expect(clippy::expect_used, reason = "a constant of this file")]
fn named(appliance: &str) -> ApplianceName {
    appliance.parse().expect("an appliance's name")
}

#[expect(clippy::expect_used, reason = "a constant of this file")]
fn adapter() -> AdapterName {
    ADAPTER.parse().expect("an adapter's name")
}
