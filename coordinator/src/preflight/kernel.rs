//! Which way a packet would leave this machine: the kernel's own answer (`RTM_GETROUTE`), with all
//! tables, rules and metrics considered.

use std::net::IpAddr;
use std::time::Duration;

use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use rtnetlink::{Error, Handle};

/// The kernel answers at once, unless another process holds its lock.
const DEADLINE: Duration = Duration::from_secs(1);

/// `ENETUNREACH` and `EHOSTUNREACH`: an answer, and no failure.
const NO_ROUTE: [i32; 2] = [-101, -113];

/// Why the kernel did not say.
#[derive(Debug, thiserror::Error)]
pub(super) enum KernelError {
    /// No connection to it.
    #[error("could not ask the kernel for a route")]
    Connect(#[from] std::io::Error),
    /// It refused.
    #[error("could not ask the kernel for a route: {0}")]
    Failed(#[from] Error),
    /// It did not answer.
    #[error("could not ask the kernel for a route: no answer within {} ms", DEADLINE.as_millis())]
    TimedOut,
}

/// Where a packet goes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FirstHop {
    /// To its destination, which is on this machine or on a link of it.
    Direct,
    /// To a router.
    Via(IpAddr),
    /// Nowhere.
    NoRoute,
}

/// A connection to the kernel, in the network namespace of this process.
pub(super) struct Kernel {
    handle: Handle,
}

impl Kernel {
    /// Connects. The connection ends with the last handle.
    pub(super) fn connect() -> Result<Kernel, KernelError> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Kernel { handle })
    }

    /// Where a packet to `to` goes first.
    pub(super) async fn first_hop(&self, to: IpAddr) -> Result<FirstHop, KernelError> {
        let mut question = RouteMessage::default();
        let (family, bits, destination) = match to {
            IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
            IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
        };
        question.header.address_family = family;
        question.header.destination_prefix_length = bits;
        question.attributes.push(RouteAttribute::Destination(destination));
        let answers = self.handle.route().get(question).execute().try_collect::<Vec<_>>();
        match tokio::time::timeout(DEADLINE, answers).await.map_err(|_| KernelError::TimedOut)? {
            Ok(answers) => Ok(answers.first().map_or(FirstHop::NoRoute, read)),
            Err(Error::NetlinkError(refusal)) if NO_ROUTE.contains(&refusal.raw_code()) => {
                Ok(FirstHop::NoRoute)
            }
            Err(error) => Err(KernelError::Failed(error)),
        }
    }
}

fn read(answer: &RouteMessage) -> FirstHop {
    let gateway = answer.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(v4)) | RouteAttribute::Via(RouteVia::Inet(v4)) => {
            Some(IpAddr::V4(*v4))
        }
        RouteAttribute::Gateway(RouteAddress::Inet6(v6)) | RouteAttribute::Via(RouteVia::Inet6(v6)) => {
            Some(IpAddr::V6(*v6))
        }
        _ => None,
    });
    gateway.map_or(FirstHop::Direct, FirstHop::Via)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_on_this_machine_is_reached_directly() {
        let kernel = Kernel::connect().unwrap();
        assert_eq!(kernel.first_hop([127, 0, 0, 1].into()).await.unwrap(), FirstHop::Direct);
    }
}
