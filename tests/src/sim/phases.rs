//! Starting and stopping, chaos and calm.

use coordinator_core::command::CommandBody;
use coordinator_core::model::Trigger;

use super::clock::{At, micros, ms};
use super::coordinator::Wish;
use super::event::{Event, NodeIx, Timer};
use super::mutation::Mutation;
use super::setup::COORDINATORS;
use super::world::World;

/// How long faults come one after the other.
pub(crate) const CHAOS: At = ms(75_000);
/// How long there are none then.
pub(crate) const CALM: At = ms(60_000);
/// After this much calm everything must be in order, and stay so.
pub(crate) const CONVERGED: At = ms(45_000);

impl World {
    pub(crate) fn start_coordinator(&mut self, node: NodeIx) {
        let clock = self.coordinators[node].clock;
        let c = &mut self.coordinators[node];
        c.up = true;
        // A new process counts from its own start.
        c.clock = super::clock::Clock { zero: self.now, ..clock };
        // `gate.rs`: no vote before every lease that it may have supported is over.
        c.raft.quarantined_until = self.now + self.timings.election_max * 11 / 10;
        c.raft.heard_at = 0;
        c.watch.declare(&c.state);
        if self.mutation == Some(Mutation::SkipEntry) {
            c.applied = (c.applied + 1).min(c.raft.last_index());
        }
        self.begin_coordinator(node);
    }

    /// The timers of a new life.
    pub(crate) fn begin_coordinator(&mut self, node: NodeIx) {
        self.arm_election(node);
        let first = self.now + self.random_below(ms(250));
        self.at(first, node, Timer::Vantage);
        for agent in 0..self.agents.len() {
            let probes =
                self.specs[self.agents[agent].group].appliances[self.agents[agent].place].probes.clone();
            for (probe, spec) in probes.iter().enumerate() {
                let first = self.now + self.random_below(micros(spec.interval));
                self.at(first, node, Timer::Probe { agent, probe });
            }
        }
    }

    pub(crate) fn start_agent(&mut self, agent: usize) {
        self.agents[agent].start(self.now, self.mutation);
        self.begin_agent(agent);
        self.turn(agent);
    }

    pub(crate) fn begin_agent(&mut self, agent: usize) {
        for to in 0..COORDINATORS {
            let first = self.now + self.random_below(ms(100));
            self.agents[agent].reporters[to].due = first;
            self.at(first, COORDINATORS + agent, Timer::Report { to });
        }
    }

    fn random_below(&mut self, span: At) -> At {
        self.random.between(0, span.max(1))
    }

    pub(crate) fn on_phase(&mut self) {
        self.calm = !self.calm;
        if self.calm {
            self.trace.line(self.now, format_args!("calm"));
            self.calm_since = self.now;
            let all: Vec<u64> = self.faults.keys().copied().collect();
            for id in all {
                self.end(id);
            }
            self.queue.push(self.now + ms(1_000), Event::Calm);
            self.queue.push(self.now + CALM, Event::Phase);
        } else {
            self.trace.line(self.now, format_args!("chaos"));
            self.set_a_wall_clock();
            self.queue.push(self.now, Event::Nemesis);
            self.queue.push(self.now + CHAOS, Event::Phase);
        }
    }

    /// Every second of calm: operators take back what they had set, until it is.
    pub(crate) fn on_calm(&mut self) {
        if !self.calm {
            return;
        }
        if self.now >= self.calm_since + CONVERGED {
            self.oracle_calm();
        } else {
            for wish in self.to_take_back() {
                self.ask(wish);
            }
        }
        self.queue.push(self.now + ms(1_000), Event::Calm);
    }

    fn to_take_back(&self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let reason = || "the storm is over".to_owned();
        for group in self.oracle.state().groups.values() {
            let name = || group.spec.name.clone();
            if group.mode == Trigger::Manual {
                let body = CommandBody::SetMode { group: name(), mode: Trigger::Automatic, reason: reason() };
                wishes.push(Wish::Set(body));
            }
            if group.frozen.is_some() {
                wishes.push(Wish::Set(CommandBody::Unfreeze { group: name(), reason: reason() }));
            }
            for (appliance, known) in &group.appliances {
                if known.maintenance.is_some() {
                    let (appliance, enabled) = (appliance.clone(), false);
                    let body =
                        CommandBody::SetMaintenance { group: name(), appliance, enabled, reason: reason() };
                    wishes.push(Wish::Set(body));
                }
            }
        }
        wishes
    }
}
