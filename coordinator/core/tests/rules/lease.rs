//! The lease arithmetic against leaders that come and go, clocks that drift and messages that are
//! late: never do two appliances hold at one instant.

use std::time::Duration;

use coordinator_core::command::{
    CommandBody, OperationKind, RecordStep, ReleaseProof, StartOperation, StepOutcome,
};
use coordinator_core::ids::{ApplianceName, OperationId, Token};
use coordinator_core::lease::{Answer, Held, LeaseTable, WaitReason, proves_release};
use coordinator_core::model::LeaseSpec;
use coordinator_core::state::Group;
use coordinator_core::time::Mono;

use crate::common::{Log, appliance, binding, group_name};
use crate::operations::{active_pair, request, start, the_group};

#[test]
fn a_grant_lasts_from_the_last_confirmed_round_and_no_longer() {
    let log = active_pair(&["vip"]);
    let mut table = LeaseTable::new(Mono::from_millis(0));
    let mut ask = |now, t_q: Option<u64>| {
        let t_q = t_q.map(Mono::from_millis);
        table.answer(the_group(&log), &appliance("fw-a"), Mono::from_millis(now), t_q)
    };
    let token = the_group(&log).token;
    let too_old = Answer::Wait { because: WaitReason::QuorumTooOld };
    assert_eq!(ask(1_000, Some(900)), Answer::Grant { token, ttl: Duration::from_millis(2_900) });
    assert_eq!(ask(1_000, Some(1_001)), Answer::Grant { token, ttl: Duration::from_millis(3_000) });
    assert_eq!(ask(3_900, Some(900)), too_old);
    assert_eq!(ask(1_000, None), too_old);
}

#[test]
fn only_the_active_is_granted_and_only_after_the_release() {
    let mut log = active_pair(&["vip"]);
    let mut table = LeaseTable::new(Mono::from_millis(0));
    start(&mut log, "fw-b").expect("a switchover");
    let now = Mono::from_millis(100);
    let token = the_group(&log).token;
    assert_eq!(table.answer(the_group(&log), &appliance("fw-a"), now, Some(now)), Answer::Standby { token });
    let wait = Answer::Wait { because: WaitReason::EarlierHolder };
    assert_eq!(table.answer(the_group(&log), &appliance("fw-b"), now, Some(now)), wait);
}

#[test]
fn a_shorter_lease_declared_later_ends_no_earlier_grant() {
    let log = active_pair(&["vip"]);
    let mut group = the_group(&log).clone();
    let mut table = LeaseTable::new(Mono::from_millis(0));
    let granted_at = Mono::from_millis(10_000);
    table.answer(&group, &appliance("fw-a"), granted_at, Some(granted_at));
    let wait = group.spec.lease.wait();
    group.spec.lease.ttl = Duration::from_millis(100);
    assert!(table.over_at(&group, &appliance("fw-a")) >= granted_at.plus(wait));
}

#[test]
fn no_two_appliances_ever_hold_at_one_instant() {
    let mut grants = 0;
    let mut changes = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.run();
        assert_eq!(world.overlap, None, "seed {seed}");
        grants += world.grants;
        changes += world.changes;
    }
    // The run proves nothing if little happens in it.
    assert!(grants > SEEDS * 20, "only {grants} grants");
    assert!(changes > SEEDS, "the holder changed only {changes} times");
}

/// The check has teeth: a leader that records a release too early is caught.
#[test]
fn a_leader_that_does_not_wait_is_caught() {
    let caught = |break_it: fn(&mut World)| {
        (0..SEEDS).any(|seed| {
            let mut world = World::new(seed);
            break_it(&mut world);
            world.run();
            world.overlap.is_some()
        })
    };
    assert!(caught(|w| w.haste = LEASE.wait()), "no waiting at all");
    assert!(caught(|w| w.no_drift = true), "no allowance for drift");
    assert!(caught(|w| w.forget = true), "a new leader that forgets the earlier ones");
}

// The model. Real time is in microseconds, and every clock runs off it by up to 10 %.

const SEEDS: u64 = 250;
const STEPS: u32 = 1_000;
const LEASE: LeaseSpec =
    LeaseSpec { ttl: Duration::from_millis(300), drift_ppm: 100_000, accept_outage_on_leader_change: false };

/// A machine's clock: an offset and a rate of 1,000 to 1,100 per mille.
#[derive(Clone, Copy)]
struct Clock {
    offset: u64,
    rate: u64,
}

impl Clock {
    fn at(self, real: u64) -> Mono {
        Mono(Duration::from_micros(self.offset + real * self.rate / 1_000))
    }

    /// The real time at which this clock shows `mono`, rounded up.
    fn real(self, mono: Mono) -> u64 {
        let micros = u64::try_from(mono.0.as_micros()).expect("a short run");
        (micros.saturating_sub(self.offset) * 1_000).div_ceil(self.rate)
    }
}

struct Leader {
    clock: Clock,
    /// In real time.
    elected: u64,
    table: LeaseTable,
    /// When it last sent a round that a quorum acknowledged, in real time. It stands still once
    /// another leader is elected.
    t_q: Option<u64>,
    /// What it has applied: stands still likewise.
    group: Group,
}

struct Agent {
    name: ApplianceName,
    clock: Clock,
    highest: Token,
    holding: Option<Token>,
    /// The end of its lease in real time.
    until: u64,
}

enum Message {
    Ask { agent: usize, leader: usize, sent: Mono, held: Held },
    Answer { agent: usize, sent: Mono, answer: Answer },
}

struct World {
    random: u64,
    real: u64,
    log: Log,
    leaders: Vec<Leader>,
    agents: Vec<Agent>,
    flying: Vec<(u64, Message)>,
    grants: u64,
    changes: u64,
    last_holder: usize,
    overlap: Option<String>,
    /// The agent whose requests are lost.
    cut_off: Option<usize>,
    /// Faults put in on purpose: leaders record a release this much too early ...
    haste: Duration,
    /// ... or without the allowance for drift ...
    no_drift: bool,
    /// ... or as if they had been elected long ago.
    forget: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut log = active_pair(&["vip"]);
        let name = group_name("dmz");
        let spec = &mut log.state.groups.get_mut(&name).expect("it is declared").spec;
        spec.lease = LEASE;
        // Every operation may be superseded by a forced one at once.
        spec.policy.operation_timeout = Duration::from_millis(1);
        let mut world = World {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            real: 1_000_000,
            log,
            leaders: Vec::new(),
            agents: Vec::new(),
            flying: Vec::new(),
            grants: 0,
            changes: 0,
            last_holder: 0,
            overlap: None,
            cut_off: None,
            haste: Duration::ZERO,
            no_drift: false,
            forget: false,
        };
        for name in ["fw-a", "fw-b"] {
            let clock = world.clock();
            let (name, highest) = (appliance(name), Token::NONE);
            world.agents.push(Agent { name, clock, highest, holding: None, until: 0 });
        }
        world
    }

    fn run(&mut self) {
        self.elect();
        for _ in 0..STEPS {
            self.real += self.below(8_000);
            self.deliver();
            match self.below(100) {
                0 => self.elect(),
                1 => self.move_away(),
                2..=35 => self.confirm_quorum(),
                36..=75 => self.ask(),
                _ => self.expire(),
            }
            if self.overlap.is_some() {
                return;
            }
        }
    }

    /// A new leader, which learns of its election a little later than it happens.
    fn elect(&mut self) {
        let clock = self.clock();
        let elected = if self.forget { 0 } else { self.real + self.below(5_000) };
        let group = the_group(&self.log).clone();
        let table = LeaseTable::new(clock.at(elected));
        self.leaders.push(Leader { clock, elected: self.real, table, t_q: None, group });
        self.real += 5_000;
    }

    /// A quorum acknowledges a round that the present leader sent up to 40 ms ago, but not
    /// before the round that it acknowledged last.
    fn confirm_quorum(&mut self) {
        let sent = self.real - self.below(40_000);
        if let Some(leader) = self.leaders.last_mut() {
            let floor = leader.t_q.unwrap_or(leader.elected);
            if sent >= floor {
                leader.t_q = Some(sent);
            }
        }
    }

    /// An operator forces the role onto the other appliance, whatever is running.
    fn move_away(&mut self) {
        let group = the_group(&self.log);
        let to = if group.active == Some(appliance("fw-a")) { "fw-b" } else { "fw-a" };
        let supersedes = group.operation.as_ref().map(|o| o.id);
        let request = request(&self.log, OperationKind::ForcedSwitchover, to);
        self.log.at += Duration::from_millis(10);
        let command = CommandBody::StartOperation(StartOperation { supersedes, ..request });
        self.log.by_operator(command).expect("a forced switchover");
        self.follow();
        // Half of the time the old active hears of nothing, and holds for as long as it may.
        let old = usize::from(to == "fw-a");
        self.cut_off = (self.below(2) == 0).then_some(old);
    }

    /// The present leader has applied everything that is committed; the others have not.
    fn follow(&mut self) {
        let group = the_group(&self.log).clone();
        if let Some(leader) = self.leaders.last_mut() {
            leader.group = group;
        }
    }

    /// An agent asks some leader: mostly the present one, sometimes a deposed one.
    fn ask(&mut self) {
        let agent = self.index(self.agents.len());
        if self.cut_off == Some(agent) {
            return;
        }
        let newest = self.leaders.len() - 1;
        let leader = newest - self.index(3).min(newest);
        let Agent { clock, highest, holding, until, .. } = self.agents[agent];
        let holding = holding.filter(|_| until > self.real);
        let held = Held { highest, holding };
        let message = Message::Ask { agent, leader, sent: clock.at(self.real), held };
        self.send(message);
    }

    fn send(&mut self, message: Message) {
        let late = if self.below(10) == 0 { 400_000 } else { 3_000 };
        let at = self.real + self.below(late);
        self.flying.push((at, message));
    }

    fn deliver(&mut self) {
        while let Some(next) = self.flying.iter().position(|(at, _)| *at <= self.real) {
            match self.flying.swap_remove(next).1 {
                Message::Ask { agent, leader, sent, held } => self.answer(agent, leader, sent, held),
                Message::Answer { agent, sent, answer } => self.take(agent, sent, answer),
            }
        }
    }

    fn answer(&mut self, agent: usize, leader: usize, sent: Mono, held: Held) {
        let name = self.agents[agent].name.clone();
        let present = leader + 1 == self.leaders.len();
        let Leader { clock, table, t_q, group, .. } = &mut self.leaders[leader];
        let t_q = t_q.map(|t_q| clock.at(t_q));
        let answer = table.answer(group, &name, clock.at(self.real), t_q);
        if present {
            let token = the_group(&self.log).token;
            if the_group(&self.log).unreleased.contains_key(&name) && proves_release(held, token) {
                self.release(&name, ReleaseProof::Confirmed);
            }
            if the_group(&self.log).active.as_ref() == Some(&name) && held.holding == Some(token) {
                self.complete();
            }
        }
        self.send(Message::Answer { agent, sent, answer });
    }

    /// The agent's rule: a lower token is refused, and a deadline counts from before the request.
    fn take(&mut self, agent: usize, sent: Mono, answer: Answer) {
        let real = self.real;
        let it = &mut self.agents[agent];
        match answer {
            Answer::Grant { token, ttl } if token >= it.highest => {
                it.highest = token;
                it.holding = Some(token);
                it.until = it.clock.real(sent.plus(ttl));
                if it.until > real {
                    self.held(agent);
                }
            }
            Answer::Standby { token } if token >= it.highest => {
                it.highest = token;
                it.holding = None;
                it.until = real;
            }
            _ => {}
        }
    }

    /// `agent` holds from now on: nobody else may.
    fn held(&mut self, agent: usize) {
        self.grants += 1;
        if self.last_holder != agent {
            self.changes += 1;
            self.last_holder = agent;
        }
        let (real, until) = (self.real, self.agents[agent].until);
        for (i, other) in self.agents.iter().enumerate().filter(|(i, _)| *i != agent) {
            if other.until > real {
                self.overlap =
                    Some(format!("at {real} {agent} holds until {until} and {i} until {}", other.until));
            }
        }
    }

    /// The present leader records what has run out by its own clock.
    fn expire(&mut self) {
        let group = the_group(&self.log);
        let Some(holder) = group.unreleased.keys().next().cloned() else { return };
        let Some(leader) = self.leaders.last() else { return };
        let mut over = leader.table.over_at(group, &holder).minus(self.haste);
        if self.no_drift {
            over = over.minus(LEASE.wait() - LEASE.ttl);
        }
        if leader.clock.at(self.real) >= over {
            self.release(&holder, ReleaseProof::Expired);
        }
    }

    fn release(&mut self, holder: &ApplianceName, proof: ReleaseProof) {
        let token = the_group(&self.log).token;
        let (group, appliance) = (group_name("dmz"), holder.clone());
        let command = CommandBody::RecordRelease { group, appliance, token, proof };
        self.log.by_coordinator(command).expect("a release");
        self.follow();
    }

    fn complete(&mut self) {
        if the_group(&self.log).operation.is_none() {
            return;
        }
        let record = RecordStep {
            group: group_name("dmz"),
            operation: OperationId(the_group(&self.log).token.0),
            binding: binding("vip"),
            outcome: StepOutcome::Done,
            calls: Vec::new(),
            took: Duration::ZERO,
        };
        self.log.by_coordinator(CommandBody::RecordStep(record)).expect("a step");
        self.follow();
    }

    fn clock(&mut self) -> Clock {
        // The extremes are where the bound is tight.
        let rate = match self.below(4) {
            0 => 1_000,
            1 => 1_100,
            _ => 1_000 + self.below(101),
        };
        Clock { offset: self.below(1_000_000_000), rate }
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("a short list")
    }

    /// xorshift64: the same for the same seed, everywhere.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit
    }
}
