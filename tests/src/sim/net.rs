//! The network: every ordered pair of nodes has a link of its own, so that a fault may be one-way.

use super::clock::{At, ms};
use super::event::{Event, Message, NodeIx, Timer};
use super::random::Random;
use super::world::World;

/// From one node to another. Counts, because faults overlap.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) blocked: u32,
    pub(crate) lossy: u32,
    pub(crate) slow: u32,
    pub(crate) doubling: u32,
    /// When the newest fault ended.
    pub(crate) healed_at: At,
}

impl Link {
    pub(crate) fn faulty(&self) -> bool {
        self.blocked + self.lossy + self.slow > 0
    }

    /// How long a message takes; `None` when it is lost.
    fn delay(&self, random: &mut Random) -> Option<At> {
        if self.blocked > 0 || self.lossy > 0 && random.percent(40) {
            return None;
        }
        let usual = random.between(200, 4_000);
        Some(if self.slow > 0 { usual + random.long_tail_ms(50, 2_500) } else { usual })
    }
}

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    links: Vec<Link>,
}

impl Network {
    pub(crate) fn new(nodes: usize) -> Network {
        Network { nodes, links: vec![Link::default(); nodes * nodes] }
    }

    pub(crate) fn link(&mut self, from: NodeIx, to: NodeIx) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }

    /// Whether the way between two nodes, either way, was faulty after `since`.
    pub(crate) fn disturbed(&mut self, a: NodeIx, b: NodeIx, since: At) -> bool {
        let recent = |link: &Link| link.faulty() || link.healed_at >= since;
        recent(self.link(a, b)) || recent(self.link(b, a))
    }
}

impl World {
    /// Sends a message once `wait` is over, which is how long a disk takes. A process that dies
    /// before says nothing.
    pub(crate) fn send_after(&mut self, wait: At, from: NodeIx, to: NodeIx, message: Message) {
        if wait == 0 {
            return self.send(from, to, message);
        }
        self.at(self.now + wait, from, Timer::Say { to, message });
    }

    /// Sends a message. It may be lost, late, doubled, and overtaken.
    pub(crate) fn send(&mut self, from: NodeIx, to: NodeIx, message: Message) {
        let link = *self.net.link(from, to);
        if link.doubling > 0
            && self.random.percent(30)
            && let Some(delay) = link.delay(&mut self.random)
        {
            let at = self.now + delay + self.random.span_ms(1, 400);
            self.queue.push(at, Event::Deliver { from, to, message: message.clone() });
        }
        if let Some(delay) = link.delay(&mut self.random) {
            self.queue.push(self.now + delay, Event::Deliver { from, to, message });
        }
    }

    /// Whether a question and its answer get through within `limit`: a probe over TCP.
    pub(crate) fn round_trip(&mut self, from: NodeIx, to: NodeIx, limit: At) -> bool {
        let there = *self.net.link(from, to);
        let back = *self.net.link(to, from);
        let there = there.delay(&mut self.random);
        let back = back.delay(&mut self.random);
        matches!((there, back), (Some(a), Some(b)) if a + b + ms(1) <= limit)
    }
}
