//! `arp-watch INTERFACE ADDRESS`: asks all the time who has an IPv4 address, and writes down who
//! says so, one JSON line per answer.
//!
//! Requests are ARP probes (RFC 5227 §1.1: no sender address), which change no neighbour's cache.
//! Each has a sender hardware address of its own, which answers repeat: so two answers to *one*
//! request are told from answers to two.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, sendto};
use socket2::{Domain, Protocol, Socket, Type};
use tests::clock::now_us;
use tests::timeline::ArpSeen;

/// From one request to the next.
const INTERVAL: Duration = Duration::from_millis(10);

/// `ETH_P_ARP`.
const ETHERTYPE_ARP: u16 = 0x0806;

/// Sender hardware addresses begin so: locally administered, and not of any host.
const MARK: [u8; 2] = [0x02, 0xaa];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let interface = args.next().context("which interface?")?;
    let wanted: Ipv4Addr = args.next().context("which address?")?.parse()?;
    tests::process::end_with_stdin();
    let link = link_of(&interface)?;
    let socket =
        Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ETHERTYPE_ARP.to_be()))))
            .context("could not open a packet socket")?;
    let mut out = io::stdout().lock();
    // When each request was sent, the first of them at index 1.
    let mut asked = vec![0];
    for request in 1_u32.. {
        asked.push(now_us());
        let next = Instant::now() + INTERVAL;
        // While the link is down a request goes nowhere, as it would on a cable.
        let _ = sendto(socket.as_raw_fd(), &frame(&link, request, wanted), &link, MsgFlags::empty());
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let mut buffer = [0; 128];
            let Ok(length) = (&socket).read(&mut buffer) else { break };
            let Some(frame) = buffer.get(..length).and_then(Arp::parse) else { continue };
            if let Some(seen) = frame.seen(wanted, &asked) {
                writeln!(out, "{}", serde_json::to_string(&seen)?)?;
            }
        }
    }
    Ok(())
}

fn link_of(interface: &str) -> Result<LinkAddr> {
    let mut all = getifaddrs().context("could not list the interfaces")?;
    let found =
        all.find_map(|a| (a.interface_name == interface).then_some(a.address?)?.as_link_addr().copied());
    found.with_context(|| format!("no interface {interface}"))
}

fn frame(link: &LinkAddr, request: u32, wanted: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    // The switch learns from this one, so answers to the made-up one are flooded to all.
    frame.extend(link.addr().unwrap_or_default());
    frame.extend(ETHERTYPE_ARP.to_be_bytes());
    // RFC 826: Ethernet, IPv4, their address lengths, request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(MARK);
    frame.extend(request.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend([0; 6]);
    frame.extend(wanted.octets());
    frame
}

/// An ARP frame for IPv4 over Ethernet.
struct Arp {
    operation: u16,
    sender_mac: [u8; 6],
    sender: Ipv4Addr,
    target_mac: [u8; 6],
    target: Ipv4Addr,
}

impl Arp {
    fn parse(frame: &[u8]) -> Option<Arp> {
        let body = frame.get(14..42)?;
        let mac = |at: usize| body.get(at..at + 6)?.try_into().ok();
        let address = |at: usize| {
            let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(bytes))
        };
        Some(Arp {
            operation: u16::from_be_bytes(body.get(6..8)?.try_into().ok()?),
            sender_mac: mac(8)?,
            sender: address(14)?,
            target_mac: mac(18)?,
            target: address(24)?,
        })
    }

    /// An answer to one of our requests, or an announcement of the address.
    fn seen(&self, wanted: Ipv4Addr, asked: &[u64]) -> Option<ArpSeen> {
        if self.sender != wanted {
            return None;
        }
        let mac = self.sender_mac.map(|byte| format!("{byte:02x}")).join(":");
        let at_us = now_us();
        let marked = self.target_mac.strip_prefix(&MARK).and_then(|rest| rest.try_into().ok());
        match marked {
            Some(number) if self.operation == 2 => {
                let request = u32::from_be_bytes(number);
                let asked_us = *asked.get(usize::try_from(request).ok()?)?;
                Some(ArpSeen::Answer { request, asked_us, at_us, mac })
            }
            _ => (self.target == wanted).then_some(ArpSeen::Announcement { at_us, mac }),
        }
    }
}
