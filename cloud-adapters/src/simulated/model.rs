//! The documents of the simulated cloud's API.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Tags of a resource, which the cloud keeps and does not read.
pub type Tags = BTreeMap<String, String>;

/// Whether the cloud has finished the newest change of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provisioning {
    /// It is at work: further writes are refused until it has finished.
    Updating,
    /// It has finished.
    Succeeded,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Unique among NICs.
    pub name: String,
    /// Changes with every write. Ignored in a write: `If-Match` is what counts.
    #[serde(default)]
    pub etag: String,
    /// Ignored in a write.
    #[serde(default = "succeeded")]
    pub provisioning: Provisioning,
    /// Kept as written.
    #[serde(default)]
    pub tags: Tags,
    /// At least one.
    pub ip_configurations: Vec<IpConfiguration>,
}

/// One address of a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpConfiguration {
    /// Unique within the NIC.
    pub name: String,
    /// Unique in the cloud.
    pub private_address: IpAddr,
    /// The public IP associated with it, by name.
    pub public_ip: Option<String>,
    /// Simulator only: where the data plane connects for this address. Fixed at creation.
    #[serde(default)]
    pub forward_to: Option<SocketAddr>,
}

/// A public IP address. Only associations of NICs change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicIp {
    /// Unique among public IPs.
    pub name: String,
    /// Changes with every association.
    #[serde(default)]
    pub etag: String,
    /// The address, for show: the data plane listens on loopback.
    pub address: IpAddr,
    /// `nic/ip-configuration` that it is associated with.
    #[serde(default)]
    pub ip_configuration: Option<String>,
}

/// A route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// Unique among route tables.
    pub name: String,
    /// Changes with every write. Ignored in a write: `If-Match` is what counts.
    #[serde(default)]
    pub etag: String,
    /// Ignored in a write.
    #[serde(default = "succeeded")]
    pub provisioning: Provisioning,
    /// Kept as written.
    #[serde(default)]
    pub tags: Tags,
    /// By unique name, in the order written.
    pub routes: Vec<Route>,
}

/// One route of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Unique within the table.
    pub name: String,
    /// The destination, for instance `0.0.0.0/0`. Kept as written.
    pub prefix: String,
    /// A private address. Traffic is dropped when no NIC has it.
    pub next_hop: IpAddr,
}

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachinePower {
    /// It is switched on.
    On,
    /// It is switched off: none of its NICs carries anything.
    Off,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Unique among machines.
    pub name: String,
    /// Changes with every write. Ignored in a write: `If-Match` is what counts.
    #[serde(default)]
    pub etag: String,
    /// Ignored in a write.
    #[serde(default = "succeeded")]
    pub provisioning: Provisioning,
    /// Kept as written.
    #[serde(default)]
    pub tags: Tags,
    /// As asked for; it is so once the cloud has finished.
    pub power: MachinePower,
    /// Its NICs, by name. Fixed at creation.
    pub nics: Vec<String>,
}

fn succeeded() -> Provisioning {
    Provisioning::Succeeded
}

/// What exists in the cloud: built in code, or posted to the admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Public IPs. Their association follows from the NICs.
    pub public_ips: Vec<PublicIp>,
    /// NICs.
    pub nics: Vec<Nic>,
    /// Route tables.
    pub route_tables: Vec<RouteTable>,
    /// Machines. A NIC that no machine has is always on.
    pub machines: Vec<Machine>,
}

impl Topology {
    /// Adds a public IP that is associated with nothing.
    #[must_use]
    pub fn public_ip(mut self, name: &str, address: IpAddr) -> Self {
        self.public_ips.push(PublicIp {
            name: name.to_owned(),
            etag: String::new(),
            address,
            ip_configuration: None,
        });
        self
    }

    /// Adds a NIC with one IP configuration, `ipconfig1`.
    #[must_use]
    pub fn nic(mut self, name: &str, private_address: IpAddr, forward_to: SocketAddr) -> Self {
        let config = IpConfiguration {
            name: "ipconfig1".to_owned(),
            private_address,
            public_ip: None,
            forward_to: Some(forward_to),
        };
        self.nics.push(Nic {
            name: name.to_owned(),
            etag: String::new(),
            provisioning: Provisioning::Succeeded,
            tags: Tags::new(),
            ip_configurations: vec![config],
        });
        self
    }

    /// Adds a machine that is on and has one NIC.
    #[must_use]
    pub fn machine(mut self, name: &str, nic: &str) -> Self {
        self.machines.push(Machine {
            name: name.to_owned(),
            etag: String::new(),
            provisioning: Provisioning::Succeeded,
            tags: Tags::new(),
            power: MachinePower::On,
            nics: vec![nic.to_owned()],
        });
        self
    }

    /// Adds a route, and its table if it is new.
    #[must_use]
    pub fn route(mut self, table: &str, route: &str, prefix: &str, next_hop: IpAddr) -> Self {
        let route = Route { name: route.to_owned(), prefix: prefix.to_owned(), next_hop };
        match self.route_tables.iter_mut().find(|t| t.name == table) {
            Some(table) => table.routes.push(route),
            None => self.route_tables.push(RouteTable {
                name: table.to_owned(),
                etag: String::new(),
                provisioning: Provisioning::Succeeded,
                tags: Tags::new(),
                routes: vec![route],
            }),
        }
        self
    }
}

/// Something that carries traffic: what the data plane listens for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    /// A public IP, by name.
    PublicIp(String),
    /// A route.
    Route {
        /// Its table.
        table: String,
        /// Its name.
        route: String,
    },
}

impl std::fmt::Display for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Carried::PublicIp(name) => write!(f, "public-ips/{name}"),
            Carried::Route { table, route } => write!(f, "route-tables/{table}/{route}"),
        }
    }
}

/// From `at` on, until the next entry for the same thing, `carriers` carried it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedBy {
    /// Since the cloud was started.
    #[serde(rename = "at_ms", with = "coordinator_core::time::millis")]
    pub at: Duration,
    /// What is carried.
    pub what: Carried,
    /// Every NIC IP configuration (`nic/ip-configuration`) or next hop that carries it. More
    /// than one is the split brain that must never be.
    pub carriers: Vec<String>,
}

/// One call of the API, as the cloud saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSeen {
    /// From 1, in the order of arrival.
    pub number: u64,
    /// When it arrived, since the cloud was started.
    #[serde(rename = "at_ms", with = "coordinator_core::time::millis")]
    pub at: Duration,
    /// For instance `PUT nics/nic-a`.
    pub call: String,
    /// What the caller got, or was kept from getting: `412 PreconditionFailed`, `200 (reply lost)`.
    pub result: String,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub message: String,
}
