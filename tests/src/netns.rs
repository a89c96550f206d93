//! Network namespaces joined by a switch: hosts that can be cut off for real.
//!
//! ```text
//!   c1    c2    c3    fw-a   fw-b   client      one namespace each, interface eth0
//!    └─────┴─────┴──┬───┴──────┴──────┘
//!                  br0                          the switch's namespace, ports p-c1, p-c2, …
//! ```
//!
//! Nothing is made in the machine's own namespace. Names begin with `pmt-<pid>-<n>-`, so tests
//! do not meet, and what a killed test left behind can be told from what is in use.

mod cut;

pub use cut::Cut;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::command::must;

/// The interface of every host.
pub const INTERFACE: &str = "eth0";

/// Bits of the prefix that all hosts share.
pub const PREFIX_LEN: u8 = 24;

/// What all names begin with.
const MARK: &str = "pmt-";

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// Whether a host is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Plugged in.
    Up,
    /// The cable is pulled: the host's interface stays up and has no carrier.
    Down,
}

/// Hosts on one switch; dropping it deletes them, also while a test panics.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    hosts: BTreeMap<String, Ipv4Addr>,
}

impl Network {
    /// Makes a switch and the given hosts with their addresses, all in one /24.
    ///
    /// # Errors
    /// What `ip` says; whatever was made by then is deleted.
    pub fn create(hosts: &[(&str, Ipv4Addr)]) -> Result<Network> {
        delete_leftovers();
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let mut network =
            Network { prefix: format!("{MARK}{}-{number}-", std::process::id()), hosts: BTreeMap::new() };
        let switch = network.namespace("sw");
        must("ip", &["netns", "add", &switch])?;
        // A learning switch and nothing else: no spanning tree that delays, no snooping that hides.
        let bridge = ["link", "add", "br0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"];
        network.in_switch(&bridge)?;
        network.in_switch(&["link", "set", "br0", "up"])?;
        for (host, address) in hosts {
            network.add(host, *address).with_context(|| format!("could not make host {host}"))?;
        }
        Ok(network)
    }

    /// The address of a host.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn address(&self, host: &str) -> Result<Ipv4Addr> {
        self.hosts.get(host).copied().with_context(|| format!("no host {host}"))
    }

    /// A command that runs `program` on a host.
    pub fn command(&self, host: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// Puts the calling thread on a host, for good: its new sockets are there, and so are the
    /// threads and processes that it starts.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enter(&self, host: &str) -> Result<()> {
        let path = Path::new("/run/netns").join(self.namespace(host));
        let namespace = File::open(&path).with_context(|| format!("could not open {}", path.display()))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).with_context(|| format!("could not enter {host}"))
    }

    /// Does something in a thread on a host, and waits for it.
    ///
    /// # Errors
    /// When the host cannot be entered.
    pub fn within<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let done = scope.spawn(|| self.enter(host).map(|()| work())).join();
            done.map_err(|_| anyhow!("the work on {host} panicked"))?
        })
    }

    /// Pulls or plugs in the cable of a host.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn set_link(&self, host: &str, link: Link) -> Result<()> {
        let word = match link {
            Link::Up => "up",
            Link::Down => "down",
        };
        self.in_switch(&["link", "set", &port(host), word]).map(drop)
    }

    /// The hardware address of a host, as `arp-watch` writes it.
    ///
    /// # Errors
    /// What `ip` says, or when it says something else than usual.
    pub fn mac(&self, host: &str) -> Result<String> {
        let shown = must("ip", &["-n", &self.namespace(host), "-o", "link", "show", INTERFACE])?;
        let mac = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        mac.map(str::to_owned).with_context(|| format!("no hardware address in {shown:?}"))
    }

    /// Whether an interface of the host carries `address`.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn carries(&self, host: &str, address: Ipv4Addr) -> Result<bool> {
        let shown = must("ip", &["-n", &self.namespace(host), "-4", "-o", "address", "show"])?;
        let wanted = format!("{address}/");
        Ok(shown.split_whitespace().any(|word| word.starts_with(&wanted)))
    }

    fn add(&mut self, host: &str, address: Ipv4Addr) -> Result<()> {
        let namespace = self.namespace(host);
        must("ip", &["netns", "add", &namespace])?;
        self.hosts.insert(host.to_owned(), address);
        let port = port(host);
        let cable = ["link", "add", &port, "type", "veth", "peer", "name", INTERFACE, "netns", &namespace];
        self.in_switch(&cable)?;
        self.in_switch(&["link", "set", &port, "master", "br0", "up"])?;
        let with_prefix = format!("{address}/{PREFIX_LEN}");
        must("ip", &["-n", &namespace, "link", "set", "lo", "up"])?;
        must("ip", &["-n", &namespace, "address", "add", &with_prefix, "dev", INTERFACE])?;
        must("ip", &["-n", &namespace, "link", "set", INTERFACE, "up"])?;
        Ok(())
    }

    fn in_switch(&self, args: &[&str]) -> Result<String> {
        must("ip", &[&["-n", &self.namespace("sw")], args].concat())
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in self.hosts.keys().map(String::as_str).chain(["sw"]) {
            delete(&self.namespace(host));
        }
    }
}

/// The switch's end of a host's cable.
fn port(host: &str) -> String {
    format!("p-{host}")
}

/// Deletes the namespaces of tests that are no longer running.
fn delete_leftovers() {
    let listed = must("ip", &["netns", "list"]).unwrap_or_default();
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let pid = name.strip_prefix(MARK).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            delete(name);
        }
    }
}

/// Ends what still runs in a namespace of ours, and deletes it.
fn delete(namespace: &str) {
    // Another test may have done the same in the meantime; a test's end must not fail over it.
    let pids = must("ip", &["netns", "pids", namespace]).unwrap_or_default();
    for pid in pids.split_whitespace() {
        let _ = must("kill", &["-9", pid]);
    }
    let _ = must("ip", &["netns", "del", namespace]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privileged::skip_unless_privileged;

    #[test]
    fn hosts_have_their_addresses_and_nothing_is_left_behind() -> Result<()> {
        if skip_unless_privileged("hosts_have_their_addresses_and_nothing_is_left_behind")? {
            return Ok(());
        }
        let (a, b) = (Ipv4Addr::new(10, 88, 0, 1), Ipv4Addr::new(10, 88, 0, 2));
        let network = Network::create(&[("a", a), ("b", b)])?;
        assert!(network.carries("b", b)? && !network.carries("b", a)?);
        assert_ne!(network.mac("a")?, network.mac("b")?);
        let prefix = network.prefix.clone();
        drop(network);
        assert!(!must("ip", &["netns", "list"])?.contains(&prefix));
        Ok(())
    }
}
