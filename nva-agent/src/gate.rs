//! A gate in the kernel: nothing comes in to a VIP, and nothing goes out from it, unless the VIP
//! is in a set whose elements time out with the lease.
//!
//! Exact to the millisecond, and it needs no process: an element that is over does not match, no
//! matter when the kernel gets round to removing it. It covers IPv4, IPv6 and ARP on every
//! interface. Without nftables the lifetimes of addresses alone have to do (see `vip`).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use coordinator_core::ids::ApplianceName;

use crate::nft::{self, Nft};
use crate::nft_wire::{Batch, Family};

/// VIPs in one message of some 55 KiB; a socket takes 200 KiB at once.
const BATCH_VIPS: usize = 100;

/// The gate for the VIPs of one appliance.
#[derive(Debug)]
pub(crate) struct Gate {
    table: String,
    nft: Nft,
    guarded: Vec<IpAddr>,
}

impl Gate {
    /// Connects to the kernel; installs nothing yet.
    pub(crate) fn connect(appliance: &ApplianceName) -> io::Result<Self> {
        Ok(Gate { table: format!("pointsman-{appliance}"), nft: Nft::connect()?, guarded: Vec::new() })
    }

    /// Whether exactly these VIPs are guarded.
    pub(crate) fn guards(&self, vips: &[IpAddr]) -> bool {
        self.guarded == vips
    }

    /// Guards these VIPs and no others, all shut.
    ///
    /// After an error there is no gate at all: one that an earlier life left would stay shut.
    pub(crate) async fn install(&mut self, vips: &[IpAddr]) -> Result<(), String> {
        self.guarded.clear();
        if let Err(error) = nft::load(&rules(&self.table, vips)).await {
            return match self.uninstall() {
                Ok(()) => Err(error.to_string()),
                Err(also) => Err(format!("{error}; and what is there could not be removed: {also}")),
            };
        }
        self.guarded = vips.to_vec();
        Ok(())
    }

    /// Removes the gate. Only once the VIPs are off the interfaces, or end by their lifetimes.
    pub(crate) fn uninstall(&mut self) -> io::Result<()> {
        self.guarded.clear();
        let mut batch = Batch::new();
        batch.drop_table(Family::Inet, &self.table);
        batch.drop_table(Family::Arp, &self.table);
        self.nft.exchange(&batch.finish())
    }

    /// Lets the guarded VIPs through for `timeout` from now.
    pub(crate) fn open_for(&mut self, timeout: Duration) -> io::Result<()> {
        self.change(|batch, family, table, set, vip| {
            batch.renew(family, table, set, &key(vip), Some(timeout))
        })
    }

    /// Shuts the gate at once.
    pub(crate) fn shut(&mut self) -> io::Result<()> {
        self.change(|batch, family, table, set, vip| batch.remove(family, table, set, &key(vip)))
    }

    /// An error means that somebody removed the table, and that nothing is guarded.
    fn change(&mut self, put: impl Fn(&mut Batch, Family, &str, &str, IpAddr)) -> io::Result<()> {
        let mut result = Ok(());
        for vips in self.guarded.chunks(BATCH_VIPS) {
            let mut batch = Batch::new();
            for &vip in vips {
                for &(family, set) in sets(vip) {
                    put(&mut batch, family, &self.table, set, vip);
                }
            }
            result = result.and(self.nft.exchange(&batch.finish()));
        }
        if result.is_err() {
            self.guarded.clear();
        }
        result
    }
}

/// Where an address has to be let through.
fn sets(vip: IpAddr) -> &'static [(Family, &'static str)] {
    match vip {
        IpAddr::V4(_) => &[(Family::Inet, "live4"), (Family::Arp, "live4")],
        IpAddr::V6(_) => &[(Family::Inet, "live6")],
    }
}

/// An address as the kernel keeps it in a set.
fn key(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Removes both tables. `add` first, because deleting what does not exist fails.
fn cleared(table: &str) -> String {
    format!(
        "add table inet {table}\ndelete table inet {table}\nadd table arp {table}\ndelete table arp {table}\n"
    )
}

/// The whole gate, to be loaded as one transaction.
///
/// Priority -350 is before connection tracking and any NAT, 350 after them. A neighbour
/// advertisement is sent from the VIP itself, so it needs no rule of its own.
fn rules(table: &str, vips: &[IpAddr]) -> String {
    let list = |wanted: fn(&&IpAddr) -> bool| {
        let vips: Vec<String> = vips.iter().filter(wanted).map(IpAddr::to_string).collect();
        if vips.is_empty() { String::new() } else { format!("elements = {{ {} }}", vips.join(", ")) }
    };
    let (v4, v6) = (list(|vip| vip.is_ipv4()), list(|vip| vip.is_ipv6()));
    format!(
        "{cleared}\
table inet {table} {{
  set vips4 {{ type ipv4_addr; {v4} }}
  set vips6 {{ type ipv6_addr; {v6} }}
  set live4 {{ type ipv4_addr; flags timeout; }}
  set live6 {{ type ipv6_addr; flags timeout; }}
  chain in {{
    type filter hook prerouting priority -350; policy accept;
    ip daddr @vips4 ip daddr != @live4 drop
    ip6 daddr @vips6 ip6 daddr != @live6 drop
  }}
  chain out {{
    type filter hook postrouting priority 350; policy accept;
    ip saddr @vips4 ip saddr != @live4 drop
    ip6 saddr @vips6 ip6 saddr != @live6 drop
  }}
}}
table arp {table} {{
  set vips4 {{ type ipv4_addr; {v4} }}
  set live4 {{ type ipv4_addr; flags timeout; }}
  chain in {{
    type filter hook input priority 0; policy accept;
    arp daddr ip @vips4 arp daddr ip != @live4 drop
  }}
  chain out {{
    type filter hook output priority 0; policy accept;
    arp saddr ip @vips4 arp saddr ip != @live4 drop
  }}
}}
",
        cleared = cleared(table)
    )
}
