//! Puts VIPs on the interfaces so that the *kernel* takes them away when the lease is over.
//!
//! Every address gets a lifetime that ends within the lease, renewed while the lease is. An agent
//! that is killed or hangs leaves nothing behind (docs/adr/0009-vip-lease-enforcement.md).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use coordinator_api::agent::VipAssignment;
use coordinator_core::time::Mono;

use crate::announce::Announcer;
use crate::clock;
use crate::interfaces::{self, Interface};
use crate::netlink::{Netlink, NetlinkError};

/// How much later than its lifetime the kernel may remove an address: it looks at lifetimes at
/// most once a second, so a look just before the end puts the next one a second later.
/// Measured: 0.01 to 0.26 s, and up to 0.98 s when another address changes at the wrong moment.
const KERNEL_LATENESS: Duration = Duration::from_millis(1_050);

/// Within [`KERNEL_LATENESS`] and not needed for it: how long a netlink request may take.
const SPARE: Duration = Duration::from_millis(50);

/// The shortest lease under which VIPs can be held: one whole second of lifetime, the kernel's
/// lateness, and a quarter of a second for the reply and until the next renewal.
pub(crate) const SHORTEST_TTL: Duration = Duration::from_millis(2_300);

/// A refresh of an address is a notification to everyone who listens to netlink: not more often.
const REFRESH_EVERY: Duration = Duration::from_millis(250);

/// Where VIPs may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedInterfaces {
    /// Anywhere that the group's declaration says.
    Any,
    /// Only on these.
    Only(BTreeSet<String>),
}

/// What became of an attempt to hold VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    /// On the interfaces; `fresh` ones were not there, or may not have been, a moment ago.
    Yes {
        /// To be announced.
        fresh: bool,
    },
    /// The lease is too near its end for the kernel's clock: they are gone, or soon will be.
    TooLate,
}

/// A way to hold VIPs such that they end with the lease even if this process does not live to
/// end them. The lease's owner calls it from one thread.
pub(crate) trait Enforcer {
    /// What keeps these VIPs from being held here; empty when nothing does.
    fn faults(&mut self, vips: &[VipAssignment], ttl: Duration) -> Vec<String>;

    /// Adds or refreshes the VIPs, so that they are gone at `deadline` at the latest.
    async fn hold(&mut self, vips: &[VipAssignment], now: Mono, deadline: Mono) -> Result<Up, String>;

    /// Removes the VIPs. Success means that none of them is on its interface.
    async fn clear(&mut self, vips: &[VipAssignment]) -> Result<(), String>;

    /// Tells the neighbours.
    fn announce(&mut self, vips: &[VipAssignment]) -> Result<(), String>;
}

/// Holds VIPs as addresses with a lifetime.
#[derive(Debug)]
pub(crate) struct AddressLifetimes {
    netlink: Netlink,
    /// Opened when it is first needed: it takes a privilege that a group without VIPs does not.
    announcer: Option<Announcer>,
    allowed: AllowedInterfaces,
    /// When each address was last refreshed, and before when the kernel does not remove it.
    refreshed: BTreeMap<(String, IpAddr), (Mono, Mono)>,
}

impl AddressLifetimes {
    pub(crate) fn new(allowed: AllowedInterfaces) -> io::Result<Self> {
        Ok(AddressLifetimes {
            netlink: Netlink::connect()?,
            announcer: None,
            allowed,
            refreshed: BTreeMap::new(),
        })
    }
}

/// Whole seconds of lifetime that end within the lease whatever the kernel's timer does.
fn lifetime(now: Mono, deadline: Mono) -> Option<u32> {
    let seconds = deadline.since(now).saturating_sub(KERNEL_LATENESS).as_secs();
    u32::try_from(seconds).ok().filter(|&seconds| seconds > 0)
}

impl Enforcer for AddressLifetimes {
    fn faults(&mut self, vips: &[VipAssignment], ttl: Duration) -> Vec<String> {
        if vips.is_empty() {
            return Vec::new();
        }
        let all = match interfaces::list() {
            Ok(all) => all,
            Err(error) => return vec![format!("could not list the network interfaces: {error}")],
        };
        let mut faults = Vec::new();
        if ttl < SHORTEST_TTL {
            faults.push(format!(
                "the group's lease is {} ms; the kernel removes addresses to the second, so virtual addresses need a lease of at least {} ms",
                ttl.as_millis(),
                SHORTEST_TTL.as_millis()
            ));
        }
        for vip in vips {
            faults.extend(interface_fault(vip, &all, &self.allowed));
        }
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
        let mut fresh = false;
        for vip in vips {
            let key = (vip.interface.clone(), vip.address);
            let last = self.refreshed.get(&key).copied();
            let there = last.is_some_and(|(_, until)| now < until);
            if there && last.is_some_and(|(at, _)| now.since(at) < REFRESH_EVERY) {
                continue;
            }
            let Some(seconds) = lifetime(now, deadline) else {
                if there {
                    continue;
                }
                return Ok(Up::TooLate);
            };
            let index = index_of(vip)?;
            self.netlink
                .hold(index, vip.address, seconds)
                .await
                .map_err(|error| describe("add", vip, &error))?;
            // The lifetime counts from when the kernel did it, which may have taken a while.
            let latest = clock::now().plus(Duration::from_secs(u64::from(seconds))).plus(KERNEL_LATENESS);
            if latest > deadline.plus(SPARE) {
                return Err(describe("add in time", vip, &NetlinkError::Timeout));
            }
            // The kernel rounds an age up by 20 ms when it compares.
            let until = now.plus(Duration::from_secs(u64::from(seconds))).minus(Duration::from_millis(20));
            self.refreshed.insert(key, (now, until));
            fresh |= !there;
        }
        Ok(Up::Yes { fresh })
    }

    async fn clear(&mut self, vips: &[VipAssignment]) -> Result<(), String> {
        let mut first_error = None;
        for vip in vips {
            self.refreshed.remove(&(vip.interface.clone(), vip.address));
            // An interface that is gone took its addresses with it.
            let Ok(index) = index_of(vip) else { continue };
            if let Err(error) = self.netlink.remove(index, vip.address).await {
                // Go on: the others must not stay because of this one.
                first_error.get_or_insert_with(|| describe("remove", vip, &error));
            }
        }
        first_error.map_or(Ok(()), Err)
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
}

fn index_of(vip: &VipAssignment) -> Result<u32, String> {
    nix::net::if_::if_nametoindex(vip.interface.as_str()).map_err(|_| missing(vip))
}

fn missing(vip: &VipAssignment) -> String {
    format!(
        "binding {}: there is no interface {}; correct `interfaces` of the binding or create the interface",
        vip.binding, vip.interface
    )
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
        None => Some(missing(vip)),
        Some(interface) if !interface.running => Some(format!(
            "binding {}: interface {} is down or has no carrier; bring it up or check its cable",
            vip.binding, vip.interface
        )),
        Some(_) => None,
    }
}

fn describe(action: &str, vip: &VipAssignment, error: &NetlinkError) -> String {
    format!("binding {}: could not {action} {} on {}: {error}", vip.binding, vip.address, vip.interface)
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
    fn a_lifetime_ends_within_the_lease_however_late_the_kernel_is() {
        let now = Mono::from_millis(500);
        for remaining in 0..10_000 {
            let left = Duration::from_millis(remaining);
            match lifetime(now, now.plus(left)) {
                Some(seconds) => {
                    let gone = Duration::from_secs(u64::from(seconds)) + KERNEL_LATENESS;
                    assert!(seconds >= 1 && gone <= left, "{remaining}");
                }
                None => assert!(left < KERNEL_LATENESS + Duration::from_secs(1), "{remaining}"),
            }
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
}
