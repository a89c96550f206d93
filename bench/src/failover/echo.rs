//! The client: a process of its own in the client's namespace. It asks all the time who has the
//! address and writes one line per tick.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use ::tests::clock::now_us;
use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, sendto};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// From one tick to the next.
pub const TICK: Duration = Duration::from_micros(500);

/// How long an answer may take to be counted: the network is a switch on the same machine.
pub const ANSWERED_WITHIN: Duration = Duration::from_millis(100);

/// `ETH_P_IP`.
const ETHERTYPE_IPV4: u16 = 0x0800;
const ICMP: u8 = 1;
/// The identifier of what goes by way of the neighbour cache; the two after it go straight to the
/// appliances.
const BY_CACHE: u16 = 0x5070;
const HEADERS: usize = 14 + 20 + 8;
/// Answers that wait while this process does not run.
const BUFFER: usize = 8 << 20;

/// A hardware address.
pub type Mac = [u8; 6];

/// One tick: what was asked when, and who answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tick {
    /// When it was asked ([`now_us`]).
    pub sent_us: u64,
    /// Who answered the client's own question: the bit of an appliance, or none.
    pub client: u8,
    /// Who answered the questions that went straight to the appliances: a bit for each.
    pub holders: u8,
}

impl Tick {
    /// As a line.
    fn line(self) -> String {
        format!("{} {} {}", self.sent_us, self.client, self.holders)
    }

    /// From a line.
    pub fn parse(line: &str) -> Option<Tick> {
        let mut fields = line.split(' ');
        let tick = Tick {
            sent_us: fields.next()?.parse().ok()?,
            client: fields.next()?.parse().ok()?,
            holders: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(tick)
    }
}

/// Asks until standard input closes.
///
/// # Errors
/// When the sockets cannot be opened, or nobody reads.
pub fn run(interface: &str, source: Ipv4Addr, vip: Ipv4Addr, macs: [Mac; 2]) -> Result<()> {
    ::tests::process::end_with_stdin();
    let link = link_of(interface)?;
    let own = link.addr().context("the interface has no hardware address")?;
    let protocol = Protocol::from(i32::from(ETHERTYPE_IPV4.to_be()));
    let wire =
        Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).context("could not open a packet socket")?;
    wire.set_nonblocking(true)?;
    wire.set_recv_buffer_size(BUFFER)?;
    let client = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    client.set_nonblocking(true)?;
    let to = SockAddr::from(SocketAddr::from((vip, 0)));
    let mut ticks = Ticks::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut next = Instant::now();
    loop {
        let number = ticks.begin(now_us());
        // No way there, no carrier: then there is no answer either.
        let _ = client.send_to(&echo(BY_CACHE, number), &to);
        for (id, mac) in (BY_CACHE + 1..).zip(macs) {
            let frame = framed(own, mac, source, vip, &echo(id, number));
            let _ = sendto(wire.as_raw_fd(), &frame, &link, MsgFlags::empty());
        }
        next = (next + TICK).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let mut buffer = [0; 256];
        // Everything that has come is taken in before any tick is over.
        let before = now_us();
        while let Ok(length) = (&wire).read(&mut buffer) {
            if let Some(reply) = buffer.get(..length).and_then(|frame| Reply::parse(frame, vip, macs)) {
                ticks.answered(&reply);
            }
        }
        for tick in ticks.over(before) {
            writeln!(out, "{}", tick.line())?;
        }
        out.flush()?;
    }
}

/// The ticks that may still be answered.
#[derive(Debug, Default)]
struct Ticks {
    first: u64,
    open: std::collections::VecDeque<Tick>,
}

impl Ticks {
    fn begin(&mut self, sent_us: u64) -> u64 {
        self.open.push_back(Tick { sent_us, ..Tick::default() });
        self.first + self.open.len() as u64 - 1
    }

    fn answered(&mut self, reply: &Reply) {
        let index = reply.number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(tick) = index.and_then(|index| self.open.get_mut(index)) else { return };
        if reply.id == BY_CACHE {
            tick.client |= reply.by;
        } else {
            tick.holders |= reply.by;
        }
    }

    /// Takes out those that were asked too long before `now_us` to be answered.
    fn over(&mut self, now_us: u64) -> Vec<Tick> {
        let limit = u64::try_from(ANSWERED_WITHIN.as_micros()).unwrap_or(u64::MAX);
        let over = self.open.iter().take_while(|tick| now_us.saturating_sub(tick.sent_us) > limit).count();
        self.first += over as u64;
        self.open.drain(..over).collect()
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    id: u16,
    number: u64,
    /// The bit of the appliance that it came from.
    by: u8,
}

impl Reply {
    fn parse(frame: &[u8], vip: Ipv4Addr, macs: [Mac; 2]) -> Option<Reply> {
        let from: Mac = frame.get(6..12)?.try_into().ok()?;
        let by = 1 << macs.iter().position(|mac| *mac == from)?;
        let packet = frame.get(14..)?;
        // RFC 791: no options, as in the question. RFC 792: type 0 is an echo reply.
        let ours =
            packet.first() == Some(&0x45) && packet.get(9) == Some(&ICMP) && packet.get(20) == Some(&0);
        if !ours || packet.get(12..16)? != vip.octets() {
            return None;
        }
        let id = u16::from_be_bytes(packet.get(24..26)?.try_into().ok()?);
        let number = u64::from_be_bytes(packet.get(28..36)?.try_into().ok()?);
        (BY_CACHE..BY_CACHE + 3).contains(&id).then_some(Reply { id, number, by })
    }
}

/// An echo request (RFC 792) that carries its number.
fn echo(id: u16, number: u64) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    let mut message = vec![8, 0, 0, 0];
    message.extend(id.to_be_bytes());
    message.extend([high, low]);
    message.extend(number.to_be_bytes());
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn framed(from: Mac, to: Mac, source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + message.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    // Not to be fragmented, so no identification is needed (RFC 6864); 64 hops.
    header.extend([0, 0, 0x40, 0, 64, ICMP, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Vec::with_capacity(HEADERS + message.len());
    frame.extend(to);
    frame.extend(from);
    frame.extend(ETHERTYPE_IPV4.to_be_bytes());
    frame.extend(header);
    frame.extend(message);
    frame
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

fn link_of(interface: &str) -> Result<LinkAddr> {
    let mut all = getifaddrs().context("could not list the interfaces")?;
    let found =
        all.find_map(|a| (a.interface_name == interface).then_some(a.address?)?.as_link_addr().copied());
    found.with_context(|| format!("no interface {interface}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
    const A: Mac = [2, 0, 0, 0, 0, 0xa];
    const B: Mac = [2, 0, 0, 0, 0, 0xb];

    /// What the kernel of `from` makes of the question.
    fn answer(from: Mac, id: u16, number: u64) -> Vec<u8> {
        let mut message = echo(id, number);
        message[0] = 0;
        framed(from, [2; 6], VIP, Ipv4Addr::new(10, 0, 0, 1), &message)
    }

    #[test]
    fn an_answer_is_known_by_its_number_and_its_sender() {
        let reply = Reply::parse(&answer(B, BY_CACHE + 1, 70_000), VIP, [A, B]);
        assert_eq!(reply, Some(Reply { id: BY_CACHE + 1, number: 70_000, by: 2 }));
        assert_eq!(Reply::parse(&answer([9; 6], BY_CACHE, 1), VIP, [A, B]), None);
        assert_eq!(Reply::parse(&answer(A, 7, 1), VIP, [A, B]), None);
        let question = framed(A, B, VIP, VIP, &echo(BY_CACHE, 1));
        assert_eq!(Reply::parse(&question, VIP, [A, B]), None);
    }

    #[test]
    fn the_checksum_of_a_checked_message_is_zero() {
        assert_eq!(checksum(&echo(BY_CACHE, 123_456_789)), 0);
    }

    #[test]
    fn answers_count_until_a_tick_is_over() {
        let mut ticks = Ticks::default();
        let limit = u64::try_from(ANSWERED_WITHIN.as_micros()).unwrap();
        assert_eq!((ticks.begin(0), ticks.begin(500)), (0, 1));
        ticks.answered(&Reply { id: BY_CACHE, number: 0, by: 1 });
        ticks.answered(&Reply { id: BY_CACHE + 2, number: 1, by: 2 });
        assert_eq!(ticks.over(limit), []);
        assert_eq!(ticks.over(limit + 1), [Tick { sent_us: 0, client: 1, holders: 0 }]);
        ticks.answered(&Reply { id: BY_CACHE, number: 0, by: 1 });
        ticks.answered(&Reply { id: BY_CACHE + 1, number: 1, by: 1 });
        let both = Tick { sent_us: 500, client: 0, holders: 3 };
        assert_eq!(ticks.over(limit + 501), [both]);
        assert_eq!((Tick::parse(&both.line()), ticks.begin(9)), (Some(both), 2));
    }
}
