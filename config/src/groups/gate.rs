//! Probe gates.

use std::net::IpAddr;

use coordinator_core::model::{BindingKind, GateProtocol, GateSpec};
use ipnet::IpNet;
use toml::de::DeValue;

use crate::decode::{Table, Value};

/// Who is answered: single addresses, and subnets.
#[derive(Debug, Default)]
struct Sources(Vec<IpNet>);

impl Value for Sources {
    const RULE: &'static str =
        "must be a list of IP addresses or subnets, such as [\"168.63.129.16\", \"10.0.0.0/8\"]";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        let one = |text: &str| match text.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address)),
            Err(_) => text.parse().ok(),
        };
        value
            .as_array()?
            .iter()
            .map(|entry| one(entry.get_ref().as_str()?))
            .collect::<Option<_>>()
            .map(Sources)
    }
}

pub(super) fn gate(t: &mut Table<'_>) -> Option<BindingKind> {
    let port = t.required::<u16>("port");
    let protocol = match t.required::<String>("protocol").as_deref() {
        Some("tcp") => {
            if t.has("path") {
                t.complain("path", "belongs to protocol = \"http\": a TCP probe asks for no path");
            }
            Some(GateProtocol::Tcp)
        }
        Some("http") => t.required("path").map(|path| GateProtocol::Http { path }),
        Some(other) => {
            t.fault("protocol", &format!("{other:?}"), "must be \"tcp\" or \"http\"");
            t.allow_all();
            None
        }
        None => {
            t.allow_all();
            None
        }
    };
    let from = t.or::<Sources>("from", Sources::default()).0;
    Some(BindingKind::ProbeGate(GateSpec { port: port?, protocol: protocol?, from }))
}
