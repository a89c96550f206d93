//! Faults coming into force and ending.

use super::{Fault, Trouble};
use crate::sim::clock::{At, Clock};
use crate::sim::event::{Event, NodeIx};
use crate::sim::net::Link;
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

impl World {
    pub(crate) fn begin(&mut self, fault: Fault, span: At) {
        let down = |up: bool| !up;
        let twice = match &fault {
            Fault::CoordinatorDown(node) => down(self.coordinators[*node].up),
            Fault::AgentDown(agent) | Fault::MachineDown(agent) => down(self.agents[*agent].up),
            _ => false,
        };
        if twice {
            return;
        }
        self.numbers += 1;
        let id = self.numbers;
        self.trace.line(self.now, format_args!("fault {id} for {} ms: {fault:?}", span / 1_000));
        match &fault {
            Fault::CoordinatorDown(node) => self.coordinators[*node].crash(),
            Fault::AgentDown(agent) => self.agents[*agent].crash(),
            Fault::MachineDown(agent) => self.switch_off(*agent),
            counted => self.count(counted, true),
        }
        self.faults.insert(id, fault);
        self.queue.push(self.now + span, Event::FaultEnds(id));
    }

    pub(crate) fn end(&mut self, id: u64) {
        let Some(fault) = self.faults.remove(&id) else { return };
        self.trace.line(self.now, format_args!("fault {id} is over"));
        match &fault {
            Fault::CoordinatorDown(node) => self.start_coordinator(*node),
            Fault::AgentDown(agent) => {
                let a = &self.agents[*agent];
                if a.machine_up && !a.up {
                    self.start_agent(*agent);
                }
            }
            Fault::MachineDown(agent) => self.power_on(*agent),
            counted => self.count(counted, false),
        }
        let now = self.now;
        match fault {
            Fault::AgentDown(agent)
            | Fault::MachineDown(agent)
            | Fault::AgentPaused(agent)
            | Fault::AgentDiskSlow(agent)
            | Fault::AgentDiskFails(agent)
            | Fault::KernelStuck(agent) => self.agents[agent].unwell_at = now,
            _ => {}
        }
    }

    /// A cloud switches a machine off. Somebody switches it on again, often within a lease.
    pub(crate) fn power_off(&mut self, agent: usize) {
        if !self.agents[agent].machine_up {
            return;
        }
        self.switch_off(agent);
        self.oracle.last_resorts[2] += 1;
        let name = &self.agents[agent].name;
        self.trace.line(self.now, format_args!("{name} is switched off"));
        let at = self.now + self.random.long_tail_ms(50, 12_000);
        self.queue.push(at, Event::PowerOn(agent));
    }

    fn switch_off(&mut self, agent: usize) {
        let now = self.now;
        // A power-off that comes late disturbs the calm.
        self.calm_since = now;
        let agent = &mut self.agents[agent];
        agent.crash();
        agent.machine_up = false;
        agent.carried = None;
        agent.unwell_at = now;
    }

    /// Booted just now: its clock begins anew, and nothing of before is on it.
    pub(crate) fn power_on(&mut self, agent: usize) {
        if self.agents[agent].machine_up {
            return;
        }
        let rate_ppm = self.agents[agent].clock.rate_ppm;
        self.agents[agent].clock = Clock { zero: self.now, rate_ppm, wall_ahead_ms: 0 };
        self.agents[agent].machine_up = true;
        self.agents[agent].on_at = self.now;
        self.calm_since = self.now;
        self.agents[agent].unwell_at = self.now;
        self.start_agent(agent);
    }

    /// Faults that overlap are counted.
    fn count(&mut self, fault: &Fault, begins: bool) {
        let step = |count: &mut u32| *count = if begins { *count + 1 } else { count.saturating_sub(1) };
        match fault {
            Fault::Links(trouble, links) => {
                for (from, to) in links {
                    let now = self.now;
                    let link = self.net.link(*from, *to);
                    step(of(link, *trouble));
                    link.healed_at = now;
                }
            }
            Fault::CoordinatorPaused(node) => {
                step(&mut self.coordinators[*node].paused);
                if !begins && self.coordinators[*node].paused == 0 {
                    self.coordinators[*node].resumed_at = self.now;
                    self.resume(*node);
                }
            }
            Fault::AgentPaused(agent) => {
                step(&mut self.agents[*agent].paused);
                if !begins && self.agents[*agent].paused == 0 {
                    self.resume(COORDINATORS + agent);
                }
            }
            Fault::CoordinatorDiskSlow(node) => step(&mut self.coordinators[*node].disk_slow),
            Fault::CloudCut(node) => step(&mut self.coordinators[*node].cloud_cut),
            Fault::AgentDiskSlow(agent) => step(&mut self.agents[*agent].disk_slow),
            Fault::AgentDiskFails(agent) => step(&mut self.agents[*agent].disk_failing),
            Fault::KernelStuck(agent) => step(&mut self.agents[*agent].kernel_stuck),
            Fault::CloudLate => step(&mut self.cloud.late),
            Fault::CloudFails => step(&mut self.cloud.failing),
            Fault::CloudLosesReplies => step(&mut self.cloud.losing_replies),
            Fault::CoordinatorDown(_) | Fault::AgentDown(_) | Fault::MachineDown(_) => {}
        }
    }

    /// A paused process goes on: everything that came meanwhile comes now, in order.
    fn resume(&mut self, node: NodeIx) {
        let inbox = match node.checked_sub(COORDINATORS) {
            None => std::mem::take(&mut self.coordinators[node].inbox),
            Some(agent) => std::mem::take(&mut self.agents[agent].inbox),
        };
        for event in inbox {
            self.queue.push(self.now, event);
        }
    }
}

fn of(link: &mut Link, trouble: Trouble) -> &mut u32 {
    match trouble {
        Trouble::Cut => &mut link.blocked,
        Trouble::Lossy => &mut link.lossy,
        Trouble::Slow => &mut link.slow,
        Trouble::Doubling => &mut link.doubling,
    }
}
