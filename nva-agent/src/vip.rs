//! Holds VIPs so that the *kernel* ends them with the lease: an agent that is killed or hangs
//! leaves nothing behind (docs/adr/0009-vip-lease-enforcement.md).
//!
//! Two layers. The gate ends a VIP to the millisecond, where nftables is there. The lifetime of
//! the address removes it a little later, or, without a gate, early enough to be safe alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use coordinator_api::agent::{GateAssignment, VipAssignment};
use coordinator_core::ids::ApplianceName;
use coordinator_core::model::GateSpec;
use coordinator_core::time::Mono;
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::addresses::{self, Addresses, EndedBy};
use crate::announce::Announcer;
use crate::clock;
use crate::enforcer::{Enforcer, Up};
use crate::gate::Gate;
use crate::gate_time::{self, Opened};
use crate::interfaces::{self, Interface};
use crate::probe_gate::{GateBoard, ProbeGates, Told};

/// Where VIPs may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedInterfaces {
    /// Anywhere that the group's declaration says.
    Any,
    /// Only on these.
    Only(BTreeSet<String>),
}

/// Holds VIPs by the kernel's own clocks.
#[derive(Debug)]
pub(crate) struct KernelEnforcer {
    addresses: Addresses,
    gate: Gate,
    /// Why there is no gate, and when to try again.
    no_gate: Option<(String, Mono)>,
    opened: Opened,
    /// Opened when it is first needed: it takes a privilege that a group without VIPs does not.
    announcer: Option<Announcer>,
    allowed: AllowedInterfaces,
    probes: ProbeGates,
}

impl KernelEnforcer {
    /// Connects to the kernel, in the network namespace of this thread.
    /// Health probes are answered by tasks of `runtime`; `board` says how that goes.
    pub(crate) fn connect(
        appliance: &ApplianceName,
        allowed: AllowedInterfaces,
        runtime: Handle,
        board: GateBoard,
    ) -> io::Result<Self> {
        Ok(KernelEnforcer {
            addresses: Addresses::connect()?,
            gate: Gate::connect(appliance)?,
            no_gate: None,
            opened: Opened::default(),
            announcer: None,
            allowed,
            probes: ProbeGates::connect(appliance, runtime, board)?,
        })
    }

    /// Makes the gate guard these VIPs, if nftables will have it. True when it does.
    async fn guard(&mut self, vips: &[IpAddr]) -> bool {
        if self.gate.guards(vips) {
            return true;
        }
        let now = clock::now();
        if self.no_gate.as_ref().is_some_and(|(_, retry_at)| now < *retry_at) {
            return false;
        }
        self.opened = Opened::default();
        match self.gate.install(vips).await {
            Ok(()) => {
                info!(vips = vips.len(), "the gate guards the virtual addresses");
                self.no_gate = None;
                true
            }
            Err(error) => {
                if self.no_gate.as_ref().is_none_or(|(old, _)| *old != error) {
                    warn!(%error, "no gate: the lifetimes of addresses alone end a lost lease, which costs a second of it");
                }
                self.no_gate = Some((error, now.plus(gate_time::RETRY)));
                false
            }
        }
    }

    /// Opens the gate until just before `deadline`. False when it is too late for that.
    fn open(&mut self, deadline: Mono) -> io::Result<bool> {
        let now = clock::now();
        if self.opened.will_do(now, deadline) {
            return Ok(true);
        }
        let in_time = gate_time::open_until(deadline, |timeout| self.gate.open_for(timeout))?;
        if in_time {
            self.opened = Opened::at(now, deadline);
        } else {
            self.gate.shut()?;
            self.opened = Opened::default();
        }
        Ok(in_time)
    }
}

impl Enforcer for KernelEnforcer {
    async fn faults(&mut self, vips: &[VipAssignment], ttl: Duration) -> Vec<String> {
        if vips.is_empty() {
            return Vec::new();
        }
        let all = match interfaces::list() {
            Ok(all) => all,
            Err(error) => return vec![format!("could not list the network interfaces: {error}")],
        };
        let mut faults: Vec<String> =
            vips.iter().filter_map(|vip| interface_fault(vip, &all, &self.allowed)).collect();
        self.guard(&guarded(vips)).await;
        faults.extend(ttl_fault(ttl, self.no_gate.as_ref().map(|(error, _)| error.as_str())));
        if self.announcer.is_none() {
            match Announcer::open() {
                Ok(announcer) => self.announcer = Some(announcer),
                Err(error) => faults.push(format!(
                    "could not open a packet socket to announce virtual addresses: {error}; nva-agent needs CAP_NET_RAW"
                )),
            }
        }
        faults
    }

    async fn hold(&mut self, vips: &[VipAssignment], now: Mono, deadline: Mono) -> Result<Up, String> {
        let guarded = guarded(vips);
        let was_open = self.opened.is_open(now);
        let mut ended_by = EndedBy::Lifetime;
        // Twice: somebody may have flushed all rules since, such as a firewall that was reloaded.
        for attempt in 1..=2 {
            if vips.is_empty() || !self.guard(&guarded).await {
                break;
            }
            match self.open(deadline) {
                Ok(true) => {
                    ended_by = EndedBy::Gate;
                    break;
                }
                Ok(false) => return Ok(Up::TooLate),
                Err(error) if attempt == 1 => warn!(%error, "the gate is gone; installing it again"),
                Err(error) => {
                    return Err(format!("could not open the gate for the virtual addresses: {error}"));
                }
            }
        }
        let up = self.addresses.hold(vips, now, deadline, ended_by).await?;
        Ok(match up {
            Up::Yes { fresh } => Up::Yes { fresh: fresh || (ended_by == EndedBy::Gate && !was_open) },
            Up::TooLate => Up::TooLate,
        })
    }

    async fn clear(&mut self, vips: &[VipAssignment]) -> Result<(), String> {
        if self.opened.was_opened() && self.gate.guards(&guarded(vips)) {
            self.opened = Opened::default();
            if let Err(error) = self.gate.shut() {
                warn!(%error, "the gate could not be shut; the addresses are removed all the same");
            }
        }
        self.addresses.clear(vips).await
    }

    fn announce(&mut self, vips: &[VipAssignment]) -> Result<(), String> {
        let announcer = self.announcer.as_ref().ok_or("no packet socket")?;
        let all = interfaces::list().map_err(|error| error.to_string())?;
        let mut first_error = None;
        for vip in vips {
            let Some(interface) = all.get(&vip.interface) else { continue };
            if let Err(error) = announcer.announce(vip.address, interface) {
                first_error.get_or_insert_with(|| {
                    format!("could not announce {} on {}: {error}", vip.address, vip.interface)
                });
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn gate_faults(&mut self, gates: &[GateAssignment], ttl: Duration) -> Vec<String> {
        let mut faults = self.probes.prepare(&specs(gates)).await;
        if !gates.is_empty() && ttl < gate_time::SHORTEST_TTL {
            faults.push(format!(
                "the group's lease is {} ms; probe gates need at least {} ms",
                ttl.as_millis(),
                gate_time::SHORTEST_TTL.as_millis()
            ));
        }
        faults
    }

    async fn open_gates(&mut self, gates: &[GateAssignment], deadline: Mono) -> Result<Up, String> {
        if let Some(fault) = self.probes.prepare(&specs(gates)).await.into_iter().next() {
            return Err(fault);
        }
        let in_time = self.probes.open(Told::Until(deadline)).await?;
        Ok(if in_time { Up::Yes { fresh: false } } else { Up::TooLate })
    }

    fn shut_gates(&mut self) {
        self.probes.shut();
    }

    async fn retire(&mut self) {
        self.probes.retire();
        if let Err(error) = self.gate.uninstall() {
            warn!(%error, "the gate could not be removed; it drops nothing but what goes to the virtual addresses");
        }
    }
}

fn specs(gates: &[GateAssignment]) -> Vec<GateSpec> {
    gates.iter().map(|assigned| assigned.gate.clone()).collect()
}

/// Each address once, in the order in which gates are compared.
fn guarded(vips: &[VipAssignment]) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> = vips.iter().map(|vip| vip.address).collect();
    addresses.into_iter().collect()
}

fn ttl_fault(ttl: Duration, no_gate: Option<&str>) -> Option<String> {
    let ms = ttl.as_millis();
    match no_gate {
        None if ttl < gate_time::SHORTEST_TTL => Some(format!(
            "the group's lease is {ms} ms; virtual addresses need at least {} ms",
            gate_time::SHORTEST_TTL.as_millis()
        )),
        Some(error) if ttl < addresses::SHORTEST_TTL => Some(format!(
            "the group's lease is {ms} ms; without nftables virtual addresses need at least {} ms, because the kernel \
             removes addresses to the second. Set a longer lease, or make nftables work: {error}",
            addresses::SHORTEST_TTL.as_millis()
        )),
        _ => None,
    }
}

fn interface_fault(
    vip: &VipAssignment,
    all: &BTreeMap<String, Interface>,
    allowed: &AllowedInterfaces,
) -> Option<String> {
    if let AllowedInterfaces::Only(allowed) = allowed
        && !allowed.contains(&vip.interface)
    {
        return Some(format!(
            "binding {}: this agent may not put addresses on {}; add it to `interfaces` in the agent's configuration",
            vip.binding, vip.interface
        ));
    }
    match all.get(&vip.interface) {
        None => Some(addresses::missing(vip)),
        Some(interface) if !interface.running => Some(format!(
            "binding {}: interface {} is down or has no carrier; bring it up or check its cable",
            vip.binding, vip.interface
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(interface: &str) -> VipAssignment {
        VipAssignment {
            binding: coordinator_core::ids::BindingName::new("front").unwrap(),
            address: "10.0.0.9".parse().unwrap(),
            prefix_len: 24,
            interface: interface.to_owned(),
        }
    }

    #[test]
    fn faults_say_what_to_do() {
        let all = interfaces::list().unwrap();
        let only = AllowedInterfaces::Only(BTreeSet::from(["eth7".to_owned()]));
        let refused = interface_fault(&vip("lo"), &all, &only).unwrap();
        assert!(refused.contains("add it to `interfaces`"), "{refused}");
        let missing = interface_fault(&vip("nosuch0"), &all, &AllowedInterfaces::Any).unwrap();
        assert!(missing.contains("no interface nosuch0"), "{missing}");
    }

    #[test]
    fn a_lease_that_cannot_be_enforced_is_a_fault() {
        let ms = Duration::from_millis;
        assert_eq!(ttl_fault(ms(100), None), None);
        assert!(ttl_fault(ms(99), None).is_some());
        assert_eq!(ttl_fault(ms(2_300), Some("no nft")), None);
        assert!(ttl_fault(ms(2_299), Some("no nft")).unwrap().contains("no nft"));
    }
}
