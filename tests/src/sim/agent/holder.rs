//! The owner of the lease: mirrors `nva-agent/src/holder`.

use std::time::Duration;

use coordinator_api::agent::Instruction;
use coordinator_core::time::Mono;
use nva_agent::lease::{Effect, Lease};

use super::{Agent, Carried, Writing};
use crate::sim::clock::{At, ms};
use crate::sim::event::{Declared, NodeIx, Timer};
use crate::sim::mutation::Mutation;
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

/// `holder.rs`: after the disk or the kernel refused, no grant is taken for this long.
const RETRY_AFTER: Duration = Duration::from_millis(1_000);
/// `holder.rs`, `TURN`.
const TURN: At = ms(250);

impl World {
    /// `Holder::on_answer`.
    pub(crate) fn on_reply(
        &mut self,
        agent: usize,
        from: NodeIx,
        request: u64,
        instruction: Instruction,
        declared: Option<Declared>,
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
        a.assign(sent_at, declared);
        if let Instruction::Grant { token, .. } = instruction {
            a.granted = a.granted.max(Some((token, sent_at)));
        }
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

    pub(super) fn run_effects(&mut self, agent: usize, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::PersistHighest(token) => {
                    self.agents[agent].token_wanted = Some(*token);
                    if self.mutation == Some(Mutation::PersistLater) {
                        let mono = self.agents[agent].clock.mono(self.now);
                        let effects = self.agents[agent].lease.on_persisted(*token, mono);
                        self.run_effects(agent, &effects);
                    }
                }
                Effect::Acquire(held) => {
                    self.agents[agent].promiser.last_held = Some(held.token);
                    let name = &self.agents[agent].name;
                    self.trace
                        .line(self.now, format_args!("{name} acquires the lease, token {}", held.token));
                }
                Effect::Renew(_) => {}
                Effect::Release(why) => {
                    let name = &self.agents[agent].name;
                    self.trace.line(self.now, format_args!("{name} releases the lease: {why}"));
                }
                Effect::PersistPromise(promised) => self.agents[agent].promise_wanted = Some(*promised),
                Effect::HeldBack { token, .. } => {
                    let name = &self.agents[agent].name;
                    self.oracle.last_resorts[1] += 1;
                    self.trace.line(
                        self.now,
                        format_args!("{name} does not accept token {token}: a peer relies on a promise"),
                    );
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
        match a.lease.holding().filter(|_| a.declared.is_some()) {
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
                let forever = self.mutation == Some(Mutation::GateNeedsAgent);
                let until = if forever { At::MAX } else { a.clock.when(held.deadline) };
                let new = !a.carries(now) || a.carried.is_none_or(|carried| carried.token != held.token);
                a.carried = Some(Carried { token: held.token, until });
                self.oracle_carries(agent, held.token, new);
            }
        }
        self.publish(agent);
        self.look_for_promises(agent);
        let a = &self.agents[agent];
        let wakeup = a.lease.next_wakeup().map_or(At::MAX, |at| a.clock.when(at));
        let unstored = a.store_fault || a.to_give_up().is_some();
        let waits = unstored && a.writing.is_none() || a.maybe_up && a.lease.holding().is_none();
        let retry = if waits { now + TURN } else { At::MAX };
        let next = wakeup.min(retry).max(now + 1);
        // One timer at a time: a lease that was renewed since only makes it look once too often.
        if next < At::MAX && (a.turn_at <= now || a.turn_at > next) {
            self.agents[agent].turn_at = next;
            self.at(next, COORDINATORS + agent, Timer::Turn);
        }
    }

    fn write_what_is_missing(&mut self, agent: usize) {
        let now = self.now;
        let a = &mut self.agents[agent];
        let (token, promised, given_up) = (a.token_wanted, a.promise_wanted, a.to_give_up());
        if token.is_none() && promised.is_none() && given_up.is_none() {
            a.store_fault = false;
            return;
        }
        let mono = a.clock.mono(now);
        let later = promised.is_none() && mono < a.give_up_at || a.store_fault && mono < a.not_before;
        if a.writing.is_some() || token.is_none() && later {
            return;
        }
        a.token_wanted = None;
        a.promise_wanted = None;
        a.writing = Some(Writing { token, promised, drops_since: given_up.unwrap_or(a.drops_since) });
        let slow = a.disk_slow > 0;
        let takes = if slow { self.random.long_tail_ms(50, 3_000) } else { self.random.between(300, 6_000) };
        self.at(self.now + takes, COORDINATORS + agent, Timer::Stored);
    }

    /// `Holder::on_stored`.
    pub(crate) fn on_stored(&mut self, agent: usize) {
        let now = self.now;
        let a = &mut self.agents[agent];
        let Some(Writing { token, promised, drops_since }) = a.writing.take() else { return };
        let mono = a.clock.mono(now);
        let failed = a.disk_failing > 0;
        let before = a.disk;
        let effects = if failed {
            // What is held, or will be, does not rest on a promise to others, nor on what is given up.
            match (token, promised) {
                (None, None) => {
                    a.give_up_at = mono.plus(RETRY_AFTER);
                    Vec::new()
                }
                (None, Some(_)) => {
                    a.store_fault = true;
                    Vec::new()
                }
                (Some(_), _) => {
                    a.store_fault = true;
                    a.not_before = mono.plus(RETRY_AFTER);
                    a.lease.on_persist_failed()
                }
            }
        } else {
            a.store_fault = false;
            a.disk_promised = promised.unwrap_or(a.disk_promised);
            a.disk = token.unwrap_or(before);
            a.drops_since = drops_since;
            let news = token.is_some() || a.disk > a.lease.highest();
            if news { a.lease.on_persisted(a.disk, mono) } else { Vec::new() }
        };
        let after = self.agents[agent].disk;
        self.oracle_stored(agent, before, after);
        self.run_effects(agent, &effects);
        if let Some(promised) = promised {
            let lease = &mut self.agents[agent].lease;
            if failed {
                lease.on_promise_persist_failed()
            } else {
                lease.on_promise_persisted(promised)
            }
            // Counted from now, or refused: the disk has failed, or a lease came first.
            for asked in std::mem::take(&mut self.agents[agent].waiting) {
                self.answer_peer(agent, asked);
            }
        }
        self.turn(agent);
    }

    /// `Holder::publish`: whatever may still be on an interface is held, lease or not.
    fn publish(&mut self, agent: usize) {
        let a = &mut self.agents[agent];
        let held = a.lease.holding();
        let highest = a.lease.highest();
        let holding = held.map(|held| held.token).or_else(|| a.maybe_up.then_some(highest));
        let stuck = a.kernel_stuck > 0 && held.is_none() && a.maybe_up;
        let failsafe = a.declared.is_some_and(|declared| declared.failsafe);
        if failsafe || !a.lease.relying() && a.to_give_up().is_none() {
            a.acknowledged = a.declared.map_or(a.drops_since, |declared| declared.revision);
        }
        let fault = a.store_fault || stuck;
        let told = (highest, holding, a.vips_up && held.is_some(), fault, a.acknowledged);
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

impl Agent {
    /// `Holder::assign`: replies come in any order, and from leaders that are deposed.
    fn assign(&mut self, sent_at: Mono, declared: Option<Declared>) {
        let older = self.assigned_at.is_some_and(|at| sent_at < at);
        // A leader that is deposed without knowing it may still tell of an older one.
        let known = self.declared.map_or(self.drops_since, |known| known.revision);
        if older || declared.is_some_and(|declared| declared.revision < known) {
            return;
        }
        self.assigned_at = Some(sent_at);
        self.declared = declared.or(self.declared);
    }
    /// The declaration that gives failsafe up, while that is not on disk.
    fn to_give_up(&self) -> Option<u64> {
        let declared = self.declared.filter(|declared| !declared.failsafe)?;
        (declared.revision > self.drops_since).then_some(declared.revision)
    }
}
