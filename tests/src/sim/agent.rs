//! An appliance with its agent: the product's [`Lease`] in a shell that mirrors
//! `nva-agent/src/holder.rs` and `reporter.rs`, and a kernel that ends what the agent forgets.

use std::collections::VecDeque;
use std::time::Duration;

use coordinator_api::agent::Instruction;
use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::time::Mono;
use nva_agent::lease::{Effect, Lease};

use super::clock::{At, Clock, micros, ms};
use super::event::{Event, Message, NodeIx, Report, Timer};
use super::mutation::Mutation;
use super::setup::COORDINATORS;
use super::world::World;

/// `holder.rs`: after the disk or the kernel refused, no grant is taken for this long.
const RETRY_AFTER: Duration = Duration::from_millis(1_000);
/// `holder.rs`, `TURN`.
const TURN: At = ms(250);

/// VIPs on the interfaces: the kernel takes them away at `until`, whatever becomes of the agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) token: Token,
    pub(crate) until: At,
}

/// The reports to one coordinator, one at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reporter {
    pub(crate) waiting: Option<(u64, At, Mono)>,
    pub(crate) due: At,
}

/// One appliance.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: ApplianceName,
    pub(crate) group: usize,
    pub(crate) place: usize,
    pub(crate) clock: Clock,
    pub(crate) life: u64,
    pub(crate) machine_up: bool,
    pub(crate) up: bool,
    pub(crate) paused: u32,
    pub(crate) inbox: VecDeque<Event>,
    /// When it was last anything but well.
    pub(crate) unwell_at: At,
    pub(crate) disk_slow: u32,
    pub(crate) disk_failing: u32,
    /// The kernel does not take addresses away when asked; at their deadline it does.
    pub(crate) kernel_stuck: u32,
    pub(crate) lease: Lease,
    /// The highest token on disk.
    pub(crate) disk: Token,
    pub(crate) writing: Option<Token>,
    pub(crate) token_wanted: Option<Token>,
    pub(crate) store_fault: bool,
    pub(crate) not_before: Mono,
    pub(crate) maybe_up: bool,
    pub(crate) vips_up: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) carried: Option<Carried>,
    pub(crate) seq: u64,
    pub(crate) told: (Token, Option<Token>, bool, bool),
    pub(crate) turn_at: At,
    pub(crate) reporters: [Reporter; COORDINATORS],
}

impl Agent {
    pub(crate) fn new(name: ApplianceName, group: usize, place: usize, clock: Clock) -> Agent {
        Agent {
            name,
            group,
            place,
            clock,
            life: 1,
            machine_up: true,
            up: true,
            paused: 0,
            inbox: VecDeque::new(),
            unwell_at: 0,
            disk_slow: 0,
            disk_failing: 0,
            kernel_stuck: 0,
            lease: Lease::new(Token::NONE),
            disk: Token::NONE,
            writing: None,
            token_wanted: None,
            store_fault: false,
            not_before: Mono::default(),
            maybe_up: false,
            vips_up: false,
            ttl: None,
            carried: None,
            seq: 0,
            told: (Token::NONE, None, false, false),
            turn_at: At::MAX,
            reporters: [Reporter::default(); COORDINATORS],
        }
    }

    /// The process is gone; the disk and what the kernel holds are not.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.inbox.clear();
        self.writing = None;
        self.token_wanted = None;
        self.vips_up = false;
        self.turn_at = At::MAX;
        self.reporters = [Reporter::default(); COORDINATORS];
    }

    /// A new life, with what an earlier one stored.
    pub(crate) fn start(&mut self) {
        self.up = true;
        self.lease = Lease::new(self.disk);
        self.store_fault = false;
        self.not_before = Mono::default();
        // An earlier life may have left the addresses.
        self.maybe_up = true;
        self.ttl = None;
        self.seq = 0;
        self.told = (self.disk, None, false, false);
    }

    /// Whether nothing is wrong with it.
    pub(crate) fn well(&self) -> bool {
        self.machine_up
            && self.up
            && self.paused == 0
            && self.disk_slow + self.disk_failing + self.kernel_stuck == 0
    }

    pub(crate) fn carries(&self, at: At) -> bool {
        self.carried.is_some_and(|carried| carried.until > at)
    }
}

impl World {
    /// `Reporter::run`: at every interval, and at once when something changed.
    pub(crate) fn on_report_timer(&mut self, agent: usize, to: NodeIx) {
        let now = self.now;
        let longest = self.timings.report;
        let a = &mut self.agents[agent];
        if now < a.reporters[to].due {
            return;
        }
        let ttl = a.ttl.unwrap_or(Duration::from_secs(8));
        let wait = micros((ttl / 3).clamp(Duration::from_millis(250), Duration::from_millis(1_000)));
        let interval = micros(longest.min(ttl / 8).max(Duration::from_millis(20)));
        let next = match a.reporters[to].waiting {
            Some((_, sent, _)) if now < sent + wait => {
                let at = sent + wait;
                a.reporters[to].due = at;
                return self.at(at, COORDINATORS + agent, Timer::Report { to });
            }
            // The answer came too late, and the next report is due already.
            Some(_) | None => now + interval,
        };
        self.numbers += 1;
        let request = self.numbers;
        let a = &mut self.agents[agent];
        a.seq += 1;
        let mono = a.clock.mono(now);
        a.reporters[to] = Reporter { waiting: Some((request, now, mono)), due: next };
        let (highest, holding, vips_up, fault) = a.told;
        let report = Report { boot: a.life, seq: a.seq, highest, holding, vips_up, fault };
        self.at(next, COORDINATORS + agent, Timer::Report { to });
        self.send(COORDINATORS + agent, to, Message::Report { request, report });
    }

    /// `Holder::on_answer`.
    pub(crate) fn on_reply(
        &mut self,
        agent: usize,
        from: NodeIx,
        request: u64,
        instruction: Instruction,
        ttl_ms: u64,
    ) {
        let now = self.now;
        let mutation = self.mutation;
        let a = &mut self.agents[agent];
        let Some((_, _, mut sent_at)) = a.reporters[from].waiting.take_if(|(r, _, _)| *r == request) else {
            return;
        };
        let mono = a.clock.mono(now);
        if mutation == Some(Mutation::DeadlineFromArrival) {
            sent_at = mono;
        }
        if instruction == Instruction::NotLeader {
            return;
        }
        a.ttl = (ttl_ms > 0).then(|| Duration::from_millis(ttl_ms));
        if matches!(instruction, Instruction::Grant { .. }) && mono < a.not_before {
            return;
        }
        if mutation == Some(Mutation::AcceptLowerToken)
            && let Instruction::Grant { token, .. } = instruction
            && token < a.lease.highest()
            && a.lease.holding().is_none()
        {
            a.lease = Lease::new(token);
        }
        let effects = a.lease.on_instruction(sent_at, mono, instruction);
        self.run_effects(agent, &effects);
        self.turn(agent);
    }

    fn run_effects(&mut self, agent: usize, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::PersistHighest(token) => self.agents[agent].token_wanted = Some(*token),
                Effect::Acquire(held) => {
                    let name = &self.agents[agent].name;
                    self.trace
                        .line(self.now, format_args!("{name} acquires the lease, token {}", held.token));
                }
                Effect::Renew(_) => {}
                Effect::Release(why) => {
                    let name = &self.agents[agent].name;
                    self.trace.line(self.now, format_args!("{name} releases the lease: {why}"));
                }
                Effect::Refused { token, highest } => {
                    let name = &self.agents[agent].name;
                    self.trace.line(self.now, format_args!("{name} refuses token {token}, it has {highest}"));
                }
            }
        }
    }

    /// `Holder::turn`: makes the disk, the interfaces and the standing what they ought to be.
    pub(crate) fn turn(&mut self, agent: usize) {
        let now = self.now;
        let a = &mut self.agents[agent];
        let mono = a.clock.mono(now);
        let effects = a.lease.on_time(mono);
        self.run_effects(agent, &effects);
        self.write_what_is_missing(agent);
        let a = &mut self.agents[agent];
        match a.lease.holding() {
            None => {
                a.vips_up = false;
                // Taking away fails while the kernel is stuck: it is tried again at every turn.
                if a.maybe_up && (a.kernel_stuck == 0 || !a.carries(now)) {
                    a.carried = None;
                    a.maybe_up = false;
                }
            }
            Some(held) => {
                a.maybe_up = true;
                a.vips_up = true;
                let until = a.clock.when(held.deadline);
                let new = !a.carries(now) || a.carried.is_none_or(|carried| carried.token != held.token);
                a.carried = Some(Carried { token: held.token, until });
                self.oracle_carries(agent, held.token, new);
            }
        }
        self.publish(agent);
        let a = &self.agents[agent];
        let wakeup = a.lease.next_wakeup().map_or(At::MAX, |at| a.clock.when(at));
        let retry = if a.maybe_up && a.lease.holding().is_none() { now + TURN } else { At::MAX };
        let next = wakeup.min(retry).max(now + 1);
        // One timer at a time: a lease that was renewed since only makes it look once too often.
        if next < At::MAX && (a.turn_at <= now || a.turn_at > next) {
            self.agents[agent].turn_at = next;
            self.at(next, COORDINATORS + agent, Timer::Turn);
        }
    }

    fn write_what_is_missing(&mut self, agent: usize) {
        let a = &mut self.agents[agent];
        if a.writing.is_some() {
            return;
        }
        let Some(token) = a.token_wanted else { return };
        a.writing = Some(token);
        let slow = a.disk_slow > 0;
        let takes = if slow { self.random.long_tail_ms(50, 3_000) } else { self.random.between(300, 6_000) };
        self.at(self.now + takes, COORDINATORS + agent, Timer::Stored);
    }

    /// `Holder::on_stored`.
    pub(crate) fn on_stored(&mut self, agent: usize) {
        let now = self.now;
        let a = &mut self.agents[agent];
        let Some(token) = a.writing.take() else { return };
        a.token_wanted = None;
        let mono = a.clock.mono(now);
        let effects = if a.disk_failing > 0 {
            a.store_fault = true;
            a.not_before = mono.plus(RETRY_AFTER);
            a.lease.on_persist_failed()
        } else {
            a.store_fault = false;
            let before = std::mem::replace(&mut a.disk, token);
            let effects = a.lease.on_persisted(token, mono);
            self.oracle_stored(agent, before, token);
            effects
        };
        self.run_effects(agent, &effects);
        self.turn(agent);
    }

    /// `Holder::publish`: whatever may still be on an interface is held, lease or not.
    fn publish(&mut self, agent: usize) {
        let a = &mut self.agents[agent];
        let held = a.lease.holding();
        let highest = a.lease.highest();
        let holding = held.map(|held| held.token).or_else(|| a.maybe_up.then_some(highest));
        let stuck = a.kernel_stuck > 0 && held.is_none() && a.maybe_up;
        let told = (highest, holding, a.vips_up && held.is_some(), a.store_fault || stuck);
        if told == a.told {
            return;
        }
        a.told = told;
        for to in 0..COORDINATORS {
            if self.agents[agent].reporters[to].waiting.is_none() {
                self.agents[agent].reporters[to].due = self.now;
                self.at(self.now, COORDINATORS + agent, Timer::Report { to });
            }
        }
    }
}
