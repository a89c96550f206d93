//! The owner of the lease: mirrors `nva-agent/src/holder`.

use std::time::Duration;

use coordinator_api::agent::Instruction;
use nva_agent::lease::{Effect, Lease};

use super::Carried;
use crate::sim::clock::{At, ms};
use crate::sim::event::{NodeIx, Timer};
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
                Effect::PersistHighest(token) => {
                    self.agents[agent].token_wanted = Some(*token);
                    if self.mutation == Some(Mutation::PersistLater) {
                        let mono = self.agents[agent].clock.mono(self.now);
                        let effects = self.agents[agent].lease.on_persisted(*token, mono);
                        self.run_effects(agent, &effects);
                    }
                }
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
                // No group here goes on without its quorum.
                Effect::PersistPromise(_) | Effect::HeldBack { .. } => {}
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
                let forever = self.mutation == Some(Mutation::GateNeedsAgent);
                let until = if forever { At::MAX } else { a.clock.when(held.deadline) };
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
