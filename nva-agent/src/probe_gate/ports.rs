//! The kernel's part of probe gates: nothing comes in to a port of the appliance itself, and nothing
//! but a reset goes out from it, unless the port is in a set whose elements time out.
//!
//! It looks at each packet, so a connection that was made before is cut as well. What is refused is
//! answered with a reset by the kernel itself, so that a load balancer need not wait for its probe to
//! time out. Forwarded traffic to the same port passes untouched.

use std::io;
use std::time::Duration;

use coordinator_core::ids::ApplianceName;
use coordinator_core::model::GateSpec;
use ipnet::IpNet;

use crate::nft::{self, LoadError, Nft};
use crate::nft_wire::{Batch, Family};

/// The set of ports that are open.
const LIVE: &str = "live";

/// What becomes of a packet that is refused.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    Reset,
    /// For a kernel that cannot reset.
    Silence,
}

impl Refusal {
    fn rule(self) -> &'static str {
        match self {
            Refusal::Reset => "reject with tcp reset",
            Refusal::Silence => "drop",
        }
    }
}

/// The kernel's gate for the ports of one appliance.
#[derive(Debug)]
pub(crate) struct PortGate {
    table: String,
    nft: Nft,
    guarded: Vec<GateSpec>,
}

impl PortGate {
    /// Connects to the kernel; installs nothing yet.
    pub(crate) fn connect(appliance: &ApplianceName) -> io::Result<Self> {
        // No appliance has a name with a '_', so this is never the table of another one's VIPs.
        let table = format!("pointsman_probe-{appliance}");
        Ok(PortGate { table, nft: Nft::connect()?, guarded: Vec::new() })
    }

    /// Whether exactly these are guarded.
    pub(crate) fn guards(&self, gates: &[GateSpec]) -> bool {
        self.guarded == gates
    }

    /// Whether any are.
    pub(crate) fn is_installed(&self) -> bool {
        !self.guarded.is_empty()
    }

    /// Guards these and no others, all shut. After an error none is guarded.
    pub(crate) async fn install(&mut self, gates: &[GateSpec]) -> Result<(), String> {
        self.guarded.clear();
        let mut loaded = nft::load(&rules(&self.table, gates, Refusal::Reset)).await;
        if let Err(LoadError::Refused(_)) = loaded {
            loaded = nft::load(&rules(&self.table, gates, Refusal::Silence)).await;
        }
        if let Err(error) = loaded {
            return match self.uninstall() {
                Ok(()) => Err(error.to_string()),
                Err(also) => Err(format!("{error}; and what is there could not be removed: {also}")),
            };
        }
        self.guarded = gates.to_vec();
        Ok(())
    }

    /// Removes the gate. Only once nothing listens on its ports.
    pub(crate) fn uninstall(&mut self) -> io::Result<()> {
        self.guarded.clear();
        let mut batch = Batch::new();
        batch.drop_table(Family::Inet, &self.table);
        self.nft.exchange(&batch.finish())
    }

    /// Opens the guarded ports for `timeout` from now, or for good.
    pub(crate) fn open_for(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.change(|batch, table, port| batch.renew(Family::Inet, table, LIVE, port, timeout))
    }

    /// Shuts them at once.
    pub(crate) fn shut(&mut self) -> io::Result<()> {
        self.change(|batch, table, port| batch.remove(Family::Inet, table, LIVE, port))
    }

    /// An error means that somebody removed the table, and that nothing is guarded.
    fn change(&mut self, put: impl Fn(&mut Batch, &str, &[u8])) -> io::Result<()> {
        if self.guarded.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for gate in &self.guarded {
            put(&mut batch, &self.table, &gate.port.to_be_bytes());
        }
        let result = self.nft.exchange(&batch.finish());
        if result.is_err() {
            self.guarded.clear();
        }
        result
    }
}

/// The whole gate, to be loaded as one transaction, shut.
///
/// The hooks of the machine's own traffic, not those that forwarded packets pass. A reset goes out
/// even while shut: it is how the kernel refuses, and says nothing but that.
fn rules(table: &str, gates: &[GateSpec], refusal: Refusal) -> String {
    let ports: Vec<String> = gates.iter().map(|gate| gate.port.to_string()).collect();
    let strangers: String = gates.iter().map(strangers).collect();
    format!(
        "add table inet {table}\ndelete table inet {table}\n\
table inet {table} {{
  set gates {{ type inet_service; elements = {{ {ports} }} }}
  set {LIVE} {{ type inet_service; flags timeout; }}
  chain in {{
    type filter hook input priority -350; policy accept;
{strangers}    tcp dport @gates tcp dport != @{LIVE} {refuse}
  }}
  chain out {{
    type filter hook output priority 350; policy accept;
    tcp sport @gates tcp sport != @{LIVE} tcp flags & rst == 0 drop
  }}
}}
",
        ports = ports.join(", "),
        refuse = refusal.rule()
    )
}

/// The rules that keep those away who are not to be answered at all.
fn strangers(gate: &GateSpec) -> String {
    if gate.from.is_empty() {
        return String::new();
    }
    let port = gate.port;
    let family = |v4: bool, word: &str, protocol: &str| {
        let nets = gate.from.iter().filter(|net| matches!(net, IpNet::V4(_)) == v4);
        let nets: Vec<String> = nets.map(IpNet::to_string).collect();
        if nets.is_empty() {
            format!("    tcp dport {port} meta nfproto {protocol} drop\n")
        } else {
            // One rule for each, because a set of nets that overlap is refused.
            let others: String = nets.iter().map(|net| format!(" {word} saddr != {net}")).collect();
            format!("    tcp dport {port} meta nfproto {protocol}{others} drop\n")
        }
    };
    family(true, "ip", "ipv4") + &family(false, "ip6", "ipv6")
}

#[cfg(test)]
mod tests {
    use coordinator_core::model::GateProtocol;

    use super::*;

    #[test]
    fn the_rules_name_each_port_and_who_may_ask_it() {
        let gate = |port, from: &[&str]| GateSpec {
            port,
            protocol: GateProtocol::Tcp,
            from: from.iter().map(|net| net.parse().unwrap()).collect(),
        };
        let text =
            rules("t", &[gate(8_686, &[]), gate(8_687, &["168.63.129.16/32", "10.0.0.0/8"])], Refusal::Reset);
        assert!(text.contains("elements = { 8686, 8687 }"), "{text}");
        let v4 = "tcp dport 8687 meta nfproto ipv4 ip saddr != 168.63.129.16/32 ip saddr != 10.0.0.0/8 drop";
        assert!(text.contains(v4), "{text}");
        assert!(text.contains("tcp dport 8687 meta nfproto ipv6 drop"), "{text}");
        assert!(!text.contains("dport 8686"), "everybody may ask it: {text}");
        assert!(text.contains("reject with tcp reset") && text.contains("rst == 0 drop"), "{text}");
        assert!(rules("t", &[gate(1, &[])], Refusal::Silence).contains("!= @live drop"));
    }
}
