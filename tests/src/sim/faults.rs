//! What goes wrong, and for how long.

mod effect;

use super::clock::ms;
use super::event::{Event, NodeIx};
use super::raft::Role;
use super::setup::COORDINATORS;
use super::world::World;

/// A kind of trouble on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Cut,
    Lossy,
    Slow,
    Doubling,
}

/// A fault as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Links(Trouble, Vec<(NodeIx, NodeIx)>),
    CoordinatorDown(NodeIx),
    CoordinatorPaused(NodeIx),
    CoordinatorDiskSlow(NodeIx),
    CloudCut(NodeIx),
    /// The process; what the kernel holds stays.
    AgentDown(usize),
    AgentPaused(usize),
    MachineDown(usize),
    AgentDiskSlow(usize),
    AgentDiskFails(usize),
    KernelStuck(usize),
    CloudLate,
    CloudFails,
    CloudLosesReplies,
}

/// A fault to come: whom it strikes is found out when it does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// Whoever leads then is cut off from the other coordinators, not from the agents.
    CutLeader,
    /// An appliance that carries something then is cut off from all coordinators but a leader.
    CutActive,
    /// The same, or its agent is stopped or killed.
    HurtActive,
    /// A follower that could not see an active appliance is not heard of any more; a little later
    /// the leader cannot see it for a while.
    StaleWitness,
    /// While calls take long to arrive, the leader goes away and a group is moved back.
    LateCalls,
    /// This coordinator is down for a while.
    Down(NodeIx),
    /// This coordinator does not see this appliance for a while.
    Blind(NodeIx, usize),
    /// What two appliances say to each other suffers.
    BetweenPeers,
    /// This appliance's agent or machine starts anew.
    Restart(usize),
    Operator,
}

impl World {
    /// Draws the next fault, and when the one after it is due.
    pub(crate) fn on_nemesis(&mut self) {
        if self.calm {
            return;
        }
        let pause = if self.random.percent(35) { (100, 1_500) } else { (1_000, 9_000) };
        let next = self.now + self.random.span_ms(pause.0, pause.1);
        self.queue.push(next, Event::Nemesis);
        if self.last_resort.failsafe && self.random.percent(25) {
            return self.no_quorum();
        }
        match self.random.below(24) {
            0..=2 => self.leader_hop(),
            3..=4 => self.strike(Plan::CutLeader),
            5..=7 => self.strike(Plan::HurtActive),
            8 => self.strike(Plan::CutActive),
            9 => self.strike(Plan::StaleWitness),
            10..=11 => self.strike(Plan::LateCalls),
            _ => {
                let fault = self.any_fault();
                let span = self.random.long_tail_ms(150, 12_000);
                self.begin(fault, span);
            }
        }
        if self.random.percent(40) {
            let soon = self.now + self.random.span_ms(50, 2_500);
            self.queue.push(soon, Event::Strike(Plan::Operator));
        }
    }

    /// The leadership goes away and comes back while a lease is running and its holder is out of
    /// sight.
    fn leader_hop(&mut self) {
        let beat = self.timings.election_max;
        let first = 2 * beat + self.random.span_ms(50, 400);
        self.strike(Plan::CutLeader);
        let mut at = self.now + first;
        let hurt = at.saturating_sub(self.random.span_ms(1, 300));
        self.queue.push(hurt, Event::Strike(Plan::HurtActive));
        self.queue.push(at, Event::Strike(Plan::CutLeader));
        at += 2 * beat + self.random.span_ms(50, 600);
        self.queue.push(at, Event::Strike(Plan::Operator));
    }

    pub(crate) fn strike(&mut self, plan: Plan) {
        if self.calm {
            return;
        }
        match plan {
            Plan::Operator => self.on_operator(),
            Plan::CutLeader => {
                let leads = |node: &NodeIx| self.coordinators[*node].raft.role == Role::Leader;
                let leaders: Vec<_> = (0..COORDINATORS).filter(leads).collect();
                let Some(leader) = leaders.get(self.random.below(leaders.len())).copied() else { return };
                let others = (0..COORDINATORS).filter(|node| *node != leader);
                let links = others.flat_map(|node| [(leader, node), (node, leader)]).collect();
                let span = self.timings.election_max * 2 + self.random.span_ms(100, 2_000);
                self.begin(Fault::Links(Trouble::Cut, links), span);
            }
            Plan::CutActive => {
                let Some(agent) = self.a_carrier() else { return };
                let spared = self.random.below(COORDINATORS + 1);
                let node = COORDINATORS + agent;
                let cut = (0..COORDINATORS).filter(|c| *c != spared);
                let links = cut.flat_map(|c| [(c, node), (node, c)]).collect();
                let span = self.random.span_ms(500, 8_000);
                self.begin(Fault::Links(Trouble::Cut, links), span);
            }
            Plan::StaleWitness => self.stale_witness(),
            Plan::Down(node) => self.begin(Fault::CoordinatorDown(node), ms(28_000)),
            Plan::Blind(node, agent) => {
                let appliance = COORDINATORS + agent;
                self.begin(Fault::Links(Trouble::Cut, vec![(node, appliance), (appliance, node)]), ms(3_000));
            }
            Plan::LateCalls => self.late_calls(),
            Plan::BetweenPeers => self.between_peers(),
            Plan::Restart(agent) => {
                let span = self.random.long_tail_ms(20, 1_500);
                let machine = self.random.percent(30);
                let fault = if machine { Fault::MachineDown(agent) } else { Fault::AgentDown(agent) };
                self.begin(fault, span);
            }
            Plan::HurtActive => {
                let Some(agent) = self.a_carrier() else { return };
                let span = self.random.span_ms(500, 8_000);
                match self.random.below(4) {
                    0 => self.begin(Fault::AgentPaused(agent), span),
                    1 => self.begin(Fault::AgentDown(agent), span),
                    2 => self.begin(Fault::Links(Trouble::Slow, self.links_of(COORDINATORS + agent)), span),
                    _ => self.begin(Fault::Links(Trouble::Cut, self.links_of(COORDINATORS + agent)), span),
                }
            }
        }
    }

    /// The coordinators go away for long, all or all but one, or nobody hears them, or one
    /// appliance does not; and what the appliances say to each other suffers, too.
    fn no_quorum(&mut self) {
        let span = self.random.long_tail_ms(2_000, 25_000);
        let agent = self.random.below(self.agents.len());
        match self.random.below(6) {
            0..=1 => {
                let spared = self.random.below(COORDINATORS + 1);
                for node in (0..COORDINATORS).filter(|node| *node != spared) {
                    let span = span + self.random.span_ms(1, 2_000);
                    self.begin(Fault::CoordinatorDown(node), span);
                }
            }
            2 => {
                let all = (0..COORDINATORS).flat_map(|node| self.links_of(node)).collect();
                self.begin(Fault::Links(Trouble::Cut, all), span);
            }
            3 => {
                // Cut off alone, as often as not from peers that answer slowly.
                let alone = COORDINATORS + agent;
                self.begin(Fault::Links(Trouble::Cut, self.links_of(alone)), span);
                if self.random.percent(50) {
                    let others = (0..self.agents.len()).filter(|other| *other != agent);
                    let links = others.map(|other| (COORDINATORS + other, alone)).collect();
                    self.begin(Fault::Links(Trouble::Slow, links), span);
                }
            }
            _ => {
                let agents = 0..self.agents.len();
                let all = agents.flat_map(|agent| self.links_of(COORDINATORS + agent)).collect();
                self.begin(Fault::Links(Trouble::Cut, all), span);
            }
        }
        for _ in 0..self.random.below(4) {
            let at = self.now + self.random.span_ms(100, 8_000);
            let plan = match self.random.below(4) {
                0 => Plan::Restart(self.random.below(self.agents.len())),
                1 => Plan::Operator,
                _ => Plan::BetweenPeers,
            };
            self.queue.push(at, Event::Strike(plan));
        }
    }

    /// Trouble from one appliance to another, or both ways.
    fn between_peers(&mut self) {
        let agent = self.random.below(self.agents.len());
        let group = self.agents[agent].group;
        let peers: Vec<_> =
            (0..self.agents.len()).filter(|a| *a != agent && self.agents[*a].group == group).collect();
        let Some(peer) = peers.get(self.random.below(peers.len())) else { return };
        let (one, other) = (COORDINATORS + agent, COORDINATORS + peer);
        let links =
            if self.random.percent(60) { vec![(one, other)] } else { vec![(one, other), (other, one)] };
        let trouble = self.any_trouble();
        let span = self.random.long_tail_ms(200, 8_000);
        self.begin(Fault::Links(trouble, links), span);
    }

    fn stale_witness(&mut self) {
        let leads = |node: &NodeIx| self.coordinators[*node].raft.role == Role::Leader;
        let (Some(leader), Some(agent)) = ((0..COORDINATORS).find(leads), self.a_carrier()) else { return };
        let witness = (leader + 1 + self.random.below(COORDINATORS - 1)) % COORDINATORS;
        let appliance = COORDINATORS + agent;
        let both = |a, b| vec![(a, b), (b, a)];
        self.begin(Fault::Links(Trouble::Cut, both(witness, appliance)), ms(4_000));
        let gone = self.now + ms(3_000);
        self.queue.push(gone, Event::Strike(Plan::Down(witness)));
        let later = gone + ms(18_000);
        self.queue.push(later, Event::Strike(Plan::Blind(leader, agent)));
    }

    fn late_calls(&mut self) {
        let span = self.random.span_ms(6_000, 12_000);
        self.begin(Fault::CloudLate, span);
        let mut at = self.now + self.random.span_ms(10, 1_000);
        self.queue.push(at, Event::Strike(Plan::Operator));
        at += self.random.span_ms(500, 3_000);
        self.queue.push(at, Event::Strike(Plan::CutLeader));
        for _ in 0..3 {
            at += self.random.span_ms(700, 4_000);
            self.queue.push(at, Event::Strike(Plan::Operator));
        }
    }

    fn a_carrier(&mut self) -> Option<usize> {
        let carries = |agent: &usize| self.agents[*agent].carries(self.now);
        let carriers: Vec<_> = (0..self.agents.len()).filter(carries).collect();
        carriers.get(self.random.below(carriers.len())).copied()
    }

    /// Both ways between a node and all coordinators.
    fn links_of(&self, node: NodeIx) -> Vec<(NodeIx, NodeIx)> {
        (0..COORDINATORS).filter(|c| *c != node).flat_map(|c| [(c, node), (node, c)]).collect()
    }

    fn any_fault(&mut self) -> Fault {
        let coordinator = self.random.below(COORDINATORS);
        let agent = self.random.below(self.agents.len());
        match self.random.below(26) {
            0..=1 => Fault::CoordinatorDown(coordinator),
            2..=3 => Fault::CoordinatorPaused(coordinator),
            4 => Fault::CoordinatorDiskSlow(coordinator),
            5 => Fault::CloudCut(coordinator),
            6..=7 => Fault::AgentDown(agent),
            8..=9 => Fault::AgentPaused(agent),
            10 => Fault::MachineDown(agent),
            11 => Fault::AgentDiskSlow(agent),
            12 => Fault::AgentDiskFails(agent),
            13 => Fault::KernelStuck(agent),
            14..=15 => Fault::CloudLate,
            16 => Fault::CloudFails,
            17 => Fault::CloudLosesReplies,
            18 => Fault::Links(self.any_trouble(), self.links_of(coordinator)),
            19 => Fault::Links(self.any_trouble(), self.links_of(COORDINATORS + agent)),
            // One way only: heard and not hearing, or the other way round.
            20..=21 => {
                let out = self.random.percent(50);
                let node = if self.random.percent(50) { coordinator } else { COORDINATORS + agent };
                let links = self.links_of(node);
                let one_way = links.into_iter().enumerate().filter(|(i, _)| (i % 2 == 0) == out);
                Fault::Links(self.any_trouble(), one_way.map(|(_, link)| link).collect())
            }
            _ => {
                let nodes = COORDINATORS + self.agents.len();
                let other = (coordinator + 1 + self.random.below(nodes - 1)) % nodes;
                let link = if self.random.percent(50) { (coordinator, other) } else { (other, coordinator) };
                Fault::Links(self.any_trouble(), vec![link])
            }
        }
    }

    fn any_trouble(&mut self) -> Trouble {
        match self.random.below(8) {
            0..=3 => Trouble::Cut,
            4 => Trouble::Lossy,
            5..=6 => Trouble::Slow,
            _ => Trouble::Doubling,
        }
    }

    /// Every so often a wall clock is set: nothing but people and policies may go by it.
    pub(crate) fn set_a_wall_clock(&mut self) {
        let node = self.random.below(COORDINATORS);
        let ahead = i64::try_from(self.random.between(0, ms(6) / 1_000 * 1_000)).unwrap_or_default() - 3_000;
        self.coordinators[node].clock.wall_ahead_ms = ahead;
    }
}
