//! What each node sees and answers: mirrors `control_loop/shared.rs`, `vantage.rs` and
//! `probe/mod.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_api::agent::Instruction;
use coordinator_core::decide::Observations;
use coordinator_core::ids::{ApplianceName, NodeId};
use coordinator_core::lease::{Answer, Held};
use coordinator_core::model::ProbeKind;
use coordinator_core::observe::{Sight, VantageReport};
use coordinator_core::release::Holding;
use coordinator_core::state::Group;
use coordinator_core::time::Mono;

use super::Seen;
use crate::sim::clock::{At, micros, ms};
use crate::sim::event::{Declared, Message, NodeIx, Report, Timer};
use crate::sim::mutation::Mutation;
use crate::sim::mutation::rules::{alone, as_leased};
use crate::sim::raft::Role;
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

/// `shared.rs`, `RECONNECT`.
const RECONNECT: Duration = Duration::from_secs(5);

/// `vantage.rs`, `REPEAT`.
const REPEAT: At = ms(250);

/// A node's id in the product.
pub(crate) fn id_of(node: NodeIx) -> NodeId {
    NodeId(node as u64 + 1)
}

impl World {
    /// `Shared::agent_report`: a heartbeat sample and, on the leader, a request for the lease.
    pub(crate) fn on_report(&mut self, node: NodeIx, from: NodeIx, request: u64, report: Report) {
        let mono = self.mono(node);
        let name = self.agents[from - COORDINATORS].name.clone();
        let renew_anyway = self.mutation == Some(Mutation::RenewWithoutQuorum);
        let c = &mut self.coordinators[node];
        let quorum = match c.raft.role {
            Role::Leader if renew_anyway => Some((c.raft.term, mono)),
            _ => c.raft.quorum_acked_at().map(|at| (c.raft.term, at)),
        };
        let group = c.state.group_of(&name);
        let instruction = match (&mut c.leading, quorum) {
            (Some(leading), Some((term, acked))) if leading.term == term => match group {
                None => Instruction::NotDeclared,
                Some(group) => {
                    let group = as_leased(self.mutation, group);
                    let answer = leading.table.answer(&group, &name, mono, Some(acked));
                    instruction(&group, answer)
                }
            },
            _ => Instruction::NotLeader,
        };
        let declared = group.map(Declared::of);
        let changed = group.is_some() && take_report(&mut c.agents, &name, report, mono);
        self.send(node, from, Message::Reply { request, instruction, declared });
        if changed {
            self.wake(node);
        }
    }

    pub(crate) fn on_probe(&mut self, node: NodeIx, agent: usize, probe: usize) {
        let a = &self.agents[agent];
        let declared = &self.specs[a.group].appliances[a.place].probes;
        let Some(spec) = declared.get(probe) else { return };
        let (interval, timeout) = (spec.interval, spec.timeout);
        let (name, probed) = (a.name.clone(), spec.name.clone());
        let sample = match spec.kind {
            ProbeKind::AgentHeartbeat => self.heartbeat_sample(node, &name, timeout),
            _ => {
                let there = a.machine_up;
                Some(there && self.round_trip(node, agent + COORDINATORS, micros(timeout)))
            }
        };
        self.at(self.now + micros(interval), node, Timer::Probe { agent, probe });
        let Some(pass) = sample else { return };
        let mono = self.mono(node);
        let detail = if pass { "passes" } else { "fails" };
        if self.coordinators[node].watch.feed(&name, &probed, pass, detail, mono) {
            self.tell_sights(node);
            self.wake(node);
        }
    }

    /// `Shared::heartbeat_sample`.
    fn heartbeat_sample(&self, node: NodeIx, name: &ApplianceName, timeout: Duration) -> Option<bool> {
        let mono = self.mono(node);
        match self.coordinators[node].agents.get(name) {
            None if mono.0 < timeout.max(RECONNECT) => None,
            None => Some(false),
            Some(seen) => Some(mono.since(seen.received) <= timeout && !seen.report.fault),
        }
    }

    pub(crate) fn on_vantage_timer(&mut self, node: NodeIx) {
        self.at(self.now + REPEAT, node, Timer::Vantage);
        self.tell_sights(node);
    }

    /// `vantage::run`: at once on a change, and regularly.
    pub(crate) fn tell_sights(&mut self, node: NodeIx) {
        let mono = self.mono(node);
        let c = &mut self.coordinators[node];
        let Some(leader) = c.raft.leader.filter(|leader| *leader != node) else { return };
        // From the wall clock in the product; here simply never the same twice.
        c.sights_seq += 1;
        let (seq, sights) = (c.sights_seq, c.watch.sights(mono));
        self.send(node, leader, Message::Sights { seq, sights });
    }

    /// `Shared::vantage_update`.
    pub(crate) fn on_sights(&mut self, node: NodeIx, from: NodeIx, seq: u64, sights: Vec<Sight>) {
        let about = self.mono(node);
        let c = &mut self.coordinators[node];
        let newest = c.remote.get(&id_of(from));
        if newest.is_some_and(|(report, newest)| {
            *newest >= seq && about.since(report.about) < Duration::from_secs(5)
        }) {
            return;
        }
        let report = VantageReport::new(about, sights);
        let changed = newest.is_none_or(|(newest, _)| !newest.says_the_same(&report));
        c.remote.insert(id_of(from), (report, seq));
        if changed {
            self.wake(node);
        }
    }

    /// `Shared::observations`.
    pub(crate) fn observations(&self, node: NodeIx) -> Observations {
        let mono = self.mono(node);
        let c = &self.coordinators[node];
        let mut reports: BTreeMap<_, _> =
            c.remote.iter().map(|(from, (report, _))| (*from, report.clone())).collect();
        if self.mutation == Some(Mutation::IgnoreFreshness) {
            reports.values_mut().for_each(|report| report.about = mono);
        }
        reports.insert(id_of(node), VantageReport::new(mono, c.watch.sights(mono)));
        let observations = Observations { vantages: (0..COORDINATORS).map(id_of).collect(), reports };
        match self.mutation {
            Some(Mutation::OneVantage) => alone(observations, id_of(node)),
            _ => observations,
        }
    }

    /// `Inner::holdings`.
    pub(crate) fn holdings(&self, node: NodeIx) -> BTreeMap<ApplianceName, Holding> {
        let holding = |seen: &Seen| Holding {
            held: Held { highest: seen.report.highest, holding: seen.report.holding },
            vips_up: seen.report.vips_up,
            revision: seen.report.revision,
            revision_since: seen.revision_since,
        };
        self.coordinators[node].agents.iter().map(|(name, seen)| (name.clone(), holding(seen))).collect()
    }
}

/// `Inner::take_report`.
fn take_report(
    agents: &mut BTreeMap<ApplianceName, Seen>,
    name: &ApplianceName,
    report: Report,
    received: Mono,
) -> bool {
    let Some(seen) = agents.get_mut(name) else {
        agents.insert(name.clone(), Seen { received, revision_since: received, report });
        return true;
    };
    let old = seen.report;
    if old.boot == report.boot && old.seq >= report.seq {
        return false;
    }
    let same = (old.boot, old.revision) == (report.boot, report.revision);
    let revision_since = if same { seen.revision_since } else { received };
    *seen = Seen { received, revision_since, report };
    let told = |r: &Report| (r.boot, r.highest, r.holding, r.vips_up, r.fault, r.revision);
    told(&old) != told(&report)
}

fn instruction(group: &Group, answer: Answer) -> Instruction {
    match answer {
        Answer::Grant { token, ttl } => {
            Instruction::Grant { token, ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(0) }
        }
        Answer::Standby { token } => Instruction::Standby { token },
        Answer::Wait { .. } => Instruction::Wait { token: group.token },
    }
}
