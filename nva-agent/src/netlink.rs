//! Adds, refreshes and removes addresses by rtnetlink.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, CacheInfo};
use rtnetlink::{Error, Handle};

/// A netlink request is answered by the kernel at once, unless another process holds its lock.
const DEADLINE: Duration = Duration::from_millis(500);
/// `EEXIST`: there already, which is what was wanted.
const ALREADY_THERE: i32 = -17;
/// `EADDRNOTAVAIL` and `ENODEV`: gone already.
const NOT_THERE: [i32; 2] = [-99, -19];
const NOT_PERMITTED: i32 = -1;

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// No `CAP_NET_ADMIN` in this network namespace.
    #[error(
        "not permitted to change addresses; nva-agent needs CAP_NET_ADMIN (and CAP_NET_RAW) to hold virtual addresses"
    )]
    NotPermitted,
    /// Anything else.
    #[error("netlink: {0}")]
    Failed(#[from] Error),
    /// The kernel did not answer.
    #[error("netlink: no answer within {} ms", DEADLINE.as_millis())]
    Timeout,
}

/// A connection to the kernel.
#[derive(Debug)]
pub(crate) struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Connects, in the network namespace of this thread, and serves the connection on this
    /// thread's runtime.
    pub(crate) fn connect() -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Netlink { handle })
    }

    /// Adds `address` for `seconds`, or gives it that long from now if it is there.
    ///
    /// The prefix is that of a single host: the subnet is on the interface already, by the
    /// appliance's own address. A second address of the same subnet would become a "secondary"
    /// that the kernel removes together with the first, and would bring a second connected route.
    pub(crate) async fn hold(&self, index: u32, address: IpAddr, seconds: u32) -> Result<(), NetlinkError> {
        let mut request = self.handle.address().add(index, address, host_prefix(address)).replace();
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_valid = seconds;
        // Deprecated from the start for IPv6: with its long prefix it would otherwise be chosen as
        // the source of the appliance's own connections (RFC 6724 rules 3 and 8).
        lifetime.ifa_preferred = if address.is_ipv4() { seconds } else { 0 };
        let mut flags = AddressFlags::Noprefixroute;
        if address.is_ipv6() {
            // Duplicate address detection would keep the VIP silent for a second, and give it up
            // for good while the last frames of the old holder are still under way.
            flags |= AddressFlags::Nodad;
        }
        let attributes = &mut request.message_mut().attributes;
        attributes.push(AddressAttribute::Flags(flags));
        attributes.push(AddressAttribute::CacheInfo(lifetime));
        within_deadline(request.execute(), &[ALREADY_THERE]).await
    }

    /// Removes what [`Netlink::hold`] added. Done already is done; without permission it fails even
    /// then, so that missing permission is noticed on a standby and not at the failover.
    pub(crate) async fn remove(&self, index: u32, address: IpAddr) -> Result<(), NetlinkError> {
        let mut ours = self.handle.address().add(index, address, host_prefix(address));
        let ours = std::mem::take(ours.message_mut());
        within_deadline(self.handle.address().del(ours).execute(), &NOT_THERE).await
    }

    /// Removes these addresses from these interfaces, whoever added them with whatever prefix.
    /// One listing for all of them: listing for each would be quadratic.
    pub(crate) async fn remove_any(&self, unwanted: &BTreeSet<(u32, IpAddr)>) -> Result<(), NetlinkError> {
        let query = self.handle.address().get().execute().try_collect::<Vec<_>>();
        let all = tokio::time::timeout(DEADLINE, query).await.map_err(|_| NetlinkError::Timeout)??;
        for found in all {
            let is_unwanted = found.attributes.iter().any(|attribute| match attribute {
                // For IPv4 `Address` is the far end of a point-to-point link; IPv6 has no `Local`.
                AddressAttribute::Address(address) if address.is_ipv4() => false,
                AddressAttribute::Address(address) | AddressAttribute::Local(address) => {
                    unwanted.contains(&(found.header.index, *address))
                }
                _ => false,
            });
            if is_unwanted {
                within_deadline(self.handle.address().del(found).execute(), &NOT_THERE).await?;
            }
        }
        Ok(())
    }
}

async fn within_deadline(
    request: impl Future<Output = Result<(), Error>>,
    also_fine: &[i32],
) -> Result<(), NetlinkError> {
    match tokio::time::timeout(DEADLINE, request).await {
        Err(_) => Err(NetlinkError::Timeout),
        Ok(Ok(())) => Ok(()),
        Ok(Err(Error::NetlinkError(refusal))) if also_fine.contains(&refusal.raw_code()) => Ok(()),
        Ok(Err(Error::NetlinkError(refusal))) if refusal.raw_code() == NOT_PERMITTED => {
            Err(NetlinkError::NotPermitted)
        }
        Ok(Err(error)) => Err(NetlinkError::Failed(error)),
    }
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
