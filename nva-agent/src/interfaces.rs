//! The network interfaces of this machine, as the kernel lists them now.

use std::collections::BTreeMap;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::LinkAddr;

/// One interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interface {
    /// Administratively up, with a carrier.
    pub(crate) running: bool,
    /// The link-layer address as the kernel gave it: number, kind and MAC. Also the address that
    /// frames for this interface are sent to.
    pub(crate) link: LinkAddr,
}

impl Interface {
    /// The MAC, where the interface has one of six bytes.
    pub(crate) fn mac(&self) -> Option<[u8; 6]> {
        (self.link.halen() == 6).then(|| self.link.addr()).flatten()
    }
}

/// All interfaces of this network namespace, by name.
///
/// Asked by netlink (the C library's `getifaddrs`); `/sys/class/net` shows the namespace in which
/// it was mounted, which need not be this one.
pub(crate) fn list() -> std::io::Result<BTreeMap<String, Interface>> {
    let mut found = BTreeMap::new();
    for entry in getifaddrs()? {
        let Some(link) = entry.address.as_ref().and_then(|address| address.as_link_addr()) else { continue };
        let running = entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
        found.insert(entry.interface_name, Interface { running, link: *link });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_loopback_interface_is_found() {
        let all = super::list().unwrap();
        assert!(all.get("lo").is_some_and(|lo| lo.link.ifindex() > 0), "{all:?}");
    }
}
