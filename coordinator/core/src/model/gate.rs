//! Ports on which an appliance answers a load balancer's health probe, or does not.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A port on which the agent answers a load balancer's health probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateSpec {
    /// The TCP port, 1 to 65535, on every address of the appliance, IPv4 and IPv6. Nothing else may
    /// listen on it. Below 1024 the agent needs a privilege that nothing else of it needs.
    pub port: u16,
    /// What counts as an answer.
    pub protocol: GateProtocol,
    /// Who is answered at all; empty for everybody. At most 16.
    #[serde(default)]
    pub from: Vec<IpNet>,
}

impl GateSpec {
    /// Whether somebody at this address is answered. An IPv4 address may come mapped into IPv6.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.from.is_empty() || self.from.iter().any(|net| net.contains(&address))
    }
}

impl fmt::Display for GateSpec {
    /// As in tables, for instance `tcp 8686` or `http 8686 /ready`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.protocol {
            GateProtocol::Tcp => write!(f, "tcp {}", self.port),
            GateProtocol::Http { path } => write!(f, "http {} {path}", self.port),
        }
    }
}

/// What counts as an answer to a health probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateProtocol {
    /// A TCP connection is accepted. It is closed at once.
    Tcp,
    /// `GET path` is answered with status 200.
    Http {
        /// Begins with `/`; without a query.
        path: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_in_the_list_are_answered_and_everybody_without_one() {
        let gate = |from: &[&str]| GateSpec {
            port: 8686,
            protocol: GateProtocol::Tcp,
            from: from.iter().map(|net| net.parse().unwrap()).collect(),
        };
        let admits = |gate: &GateSpec, address: &str| gate.admits(address.parse().unwrap());
        assert!(admits(&gate(&[]), "192.0.2.1") && admits(&gate(&[]), "2001:db8::1"));
        let azure = gate(&["168.63.129.16/32", "2001:db8::/64"]);
        assert!(admits(&azure, "168.63.129.16") && admits(&azure, "::ffff:168.63.129.16"));
        assert!(admits(&azure, "2001:db8::9"));
        assert!(!admits(&azure, "168.63.129.17") && !admits(&azure, "2001:db8:1::9"));
    }
}
