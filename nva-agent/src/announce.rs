//! Tells the neighbours where a VIP is now.
//!
//! IPv4: an ARP announcement (RFC 5227 §3: a request whose sender and target address are both the
//! VIP, to the broadcast address). IPv6: an unsolicited neighbour advertisement with the override
//! flag (RFC 4861 §7.2.6) to all nodes. Either makes a neighbour that knows the VIP under another
//! MAC correct itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use crate::interfaces::Interface;

/// When a VIP is announced, counted from taking it: at once, soon after in case a switch port was
/// still learning, and twice more for what was lost. RFC 5227 asks for two, two seconds apart.
pub(crate) const SCHEDULE: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(1_000), Duration::from_millis(2_000)];

const BROADCAST: [u8; 6] = [0xff; 6];
/// RFC 2464 §7: 33:33 and the last four bytes of ff02::1.
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const NEXT_HEADER_ICMPV6: u8 = 58;

/// Sends announcements. The socket stays open: closing one waits for the kernel to let go of it,
/// thousands of times longer than a send takes.
#[derive(Debug)]
pub(crate) struct Announcer {
    socket: Socket,
}

impl Announcer {
    /// Opens the socket. It receives nothing: protocol 0 subscribes to no frames.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        Ok(Announcer { socket })
    }

    /// Announces `vip` once on an interface. Does nothing on one without a MAC.
    ///
    /// # Errors
    /// What the send returned: the interface is down, or its queue is full.
    pub(crate) fn announce(&self, vip: IpAddr, interface: &Interface) -> io::Result<()> {
        let Some(mac) = interface.mac() else { return Ok(()) };
        let frame = match vip {
            IpAddr::V4(vip) => arp_announcement(mac, vip),
            IpAddr::V6(vip) => neighbour_advertisement(mac, vip),
        };
        // The kernel takes the interface's number from the address and the protocol from the frame.
        sendto(self.socket.as_raw_fd(), &frame, &interface.link, MsgFlags::empty())?;
        Ok(())
    }
}

fn ethernet(destination: [u8; 6], source: [u8; 6], ethertype: [u8; 2]) -> Vec<u8> {
    [&destination[..], &source, &ethertype].concat()
}

fn arp_announcement(mac: [u8; 6], vip: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    // RFC 826: Ethernet, IPv4, their address lengths, request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(vip.octets());
    frame.extend([0; 6]);
    frame.extend(vip.octets());
    frame
}

fn neighbour_advertisement(mac: [u8; 6], vip: Ipv6Addr) -> Vec<u8> {
    // RFC 4861 §4.4: type 136, code 0, checksum, then the flags: override, not solicited.
    let mut message = vec![136, 0, 0, 0, 0b0010_0000, 0, 0, 0];
    message.extend(vip.octets());
    // Option 2, target link-layer address, one unit of eight bytes.
    message.extend([2, 1]);
    message.extend(mac);
    let checksum = icmpv6_checksum(vip, ALL_NODES, &message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let mut frame = ethernet(ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length(&message).to_be_bytes());
    // Hop limit 255: receivers take nothing that a router forwarded (§7.1.2).
    frame.extend([NEXT_HEADER_ICMPV6, 255]);
    frame.extend(vip.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(message);
    frame
}

/// The length of an ICMPv6 message: 32 bytes for every one made here.
fn length(message: &[u8]) -> u16 {
    u16::try_from(message.len()).unwrap_or(u16::MAX)
}

/// RFC 4443 §2.3: the ones' complement sum over the pseudo-header of RFC 8200 §8.1 and the message.
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let trailer = [0, NEXT_HEADER_ICMPV6];
    let bytes =
        [&source.octets()[..], &destination.octets(), &length(message).to_be_bytes(), &trailer, message];
    let mut sum: u32 = 0;
    for part in bytes {
        for pair in part.chunks(2) {
            let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
            sum += u32::from(u16::from_be_bytes(word));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The loop above left at most 16 bits.
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x42];

    #[test]
    fn an_arp_announcement_claims_the_vip_for_the_mac() {
        let frame = arp_announcement(MAC, Ipv4Addr::new(10, 9, 0, 99));
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x42, 0x08, 0x06, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
            2, 0, 0, 0, 0, 0x42, 10, 9, 0, 99, // sender
            0, 0, 0, 0, 0, 0, 10, 9, 0, 99, // target
        ];
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_neighbour_advertisement_overrides_and_its_checksum_holds() {
        let vip: Ipv6Addr = "fd00:9::99".parse().unwrap();
        let frame = neighbour_advertisement(MAC, vip);
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(frame[20..22], [58, 255], "ICMPv6, hop limit 255");
        let message = &frame[54..];
        assert_eq!((message[0], message[4]), (136, 0b0010_0000));
        assert_eq!(message[8..24], vip.octets());
        assert_eq!(message[26..32], MAC);
        assert_eq!(icmpv6_checksum(vip, ALL_NODES, message), 0, "a sum over its own checksum is zero");
    }
}
