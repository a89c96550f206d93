//! Packets that are lost: in one direction, or between some hosts only.
//!
//! Frames are dropped where they enter the switch, or where they enter a host, by a netdev table
//! of our own. Links stay up: nobody is told by a lost carrier.

use anyhow::Result;

use super::{INTERFACE, Network, port};
use crate::command::must;

/// The table that drops frames: never that of an agent under test.
const TABLE: &str = "pmt-cut";

/// Which packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut<'a> {
    /// Everything that the host sends.
    Mute(&'a str),
    /// Everything that is sent to the host.
    Deaf(&'a str),
    /// Everything between the host and each of the others, in both directions.
    Between(&'a str, &'a [&'a str]),
}

impl Network {
    /// Starts losing packets. Cuts do not add up: [`mend`](Self::mend) comes first.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn cut(&self, cut: Cut<'_>) -> Result<()> {
        match cut {
            Cut::Mute(host) => self.drop_in("sw", &[(port(host), String::new())]),
            Cut::Deaf(host) => self.drop_in(host, &[(INTERFACE.to_owned(), String::new())]),
            Cut::Between(host, others) => {
                let mut drops = Vec::new();
                for other in others {
                    drops.extend([(port(host), self.to(other)?), (port(other), self.to(host)?)]);
                }
                self.drop_in("sw", &drops)
            }
        }
    }

    /// Loses nothing any more.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn mend(&self) -> Result<()> {
        self.hosts.keys().map(String::as_str).chain(["sw"]).try_for_each(|host| {
            // Added first, so that there is something to delete.
            self.nft(host, &format!("add table netdev {TABLE}; delete table netdev {TABLE}"))
        })
    }

    fn to(&self, host: &str) -> Result<String> {
        Ok(self.address(host)?.to_string())
    }

    /// Drops what comes in at each interface for the address given, or everything for none.
    fn drop_in(&self, host: &str, drops: &[(String, String)]) -> Result<()> {
        let mut text = format!("add table netdev {TABLE};");
        for (interface, address) in drops {
            let chain = format!("{TABLE} in-{interface}");
            text += &format!(
                " add chain netdev {chain} {{ type filter hook ingress device {interface} priority 0; }};"
            );
            let rules = match address.as_str() {
                "" => vec!["drop".to_owned()],
                to => vec![format!("ip daddr {to} drop"), format!("arp daddr ip {to} drop")],
            };
            for rule in rules {
                text += &format!(" add rule netdev {chain} {rule};");
            }
        }
        self.nft(host, &text)
    }

    fn nft(&self, host: &str, text: &str) -> Result<()> {
        must("ip", &["netns", "exec", &self.namespace(host), "nft", text]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::Duration;

    use super::*;
    use crate::privileged::skip_unless_privileged;
    use crate::wait::PATIENCE;

    /// A thousand times what a datagram takes here.
    const LONG_ENOUGH: Duration = Duration::from_millis(200);

    const A: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);
    const C: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 3);

    #[test]
    fn a_cut_loses_what_it_says_and_nothing_else() -> Result<()> {
        if skip_unless_privileged("a_cut_loses_what_it_says_and_nothing_else")? {
            return Ok(());
        }
        let network = Network::create(&[("a", A), ("b", B), ("c", C)])?;
        let ways = [("a", B), ("b", A), ("a", C), ("c", B)];
        for (cut, arrives) in [
            (Cut::Mute("a"), [false, true, false, true]),
            (Cut::Deaf("a"), [true, false, true, true]),
            (Cut::Between("a", &["b"]), [false, false, true, true]),
            (Cut::Between("b", &["a", "c"]), [false, false, true, false]),
        ] {
            // While all is well they learn each other's hardware addresses, so that afterwards one
            // direction is enough for a datagram.
            for (from, to) in ways {
                assert!(datagram(&network, from, to, PATIENCE)?, "{from} to {to} before {cut:?}");
            }
            network.cut(cut)?;
            for ((from, to), arrives) in ways.into_iter().zip(arrives) {
                let wait = if arrives { PATIENCE } else { LONG_ENOUGH };
                assert_eq!(datagram(&network, from, to, wait)?, arrives, "{from} to {to} with {cut:?}");
            }
            network.mend()?;
        }
        Ok(())
    }

    /// Whether a datagram arrives in time.
    fn datagram(network: &Network, from: &str, to: Ipv4Addr, wait: Duration) -> Result<bool> {
        let host = network.hosts.iter().find(|(_, address)| **address == to).map(|(host, _)| host.as_str());
        let receiver = network.within(host.unwrap_or_default(), move || UdpSocket::bind((to, 0)))??;
        receiver.set_read_timeout(Some(wait))?;
        let address = receiver.local_addr()?;
        network.within(from, move || UdpSocket::bind("0.0.0.0:0")?.send_to(b"?", address))??;
        match receiver.recv(&mut [0; 8]) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
