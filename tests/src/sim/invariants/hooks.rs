//! Where in the world the invariants are judged.

use std::sync::Arc;

use coordinator_core::command::{Command, CommandBody, StepOutcome};
use coordinator_core::ids::Token;

use super::{
    Outcome, acknowledged_survive, cloud_fencing, committed_first, converges, fenced_first, flap_budget,
    gated_writes, granted_first, healthy_stays, one_vip_holder, operators_respected, relied_on,
    replicas_agree, tokens_rise,
};
use crate::sim::cloud::{Resource, ResourceIx};
use crate::sim::event::{Entry, NodeIx};
use crate::sim::mutation::rules::apply_with;
use crate::sim::world::World;

impl World {
    pub(crate) fn oracle_elected(&mut self, node: NodeIx) {
        let term = self.coordinators[node].raft.term;
        self.oracle.elections.push((term, self.now));
        let judgement = acknowledged_survive::judge(&self.oracle, &self.coordinators[node].raft);
        self.oracle.judge(acknowledged_survive::NAME, judgement);
    }

    /// A leader counts everything up to `commit` as committed.
    pub(crate) fn oracle_committed(&mut self, node: NodeIx, commit: u64) {
        while (self.oracle.log.len() as u64) < commit {
            let index = self.oracle.log.len() as u64 + 1;
            let Some(entry) = self.coordinators[node].raft.entry(index).cloned() else { return };
            self.oracle.log.push(entry.clone());
            self.oracle.committed_in.push(self.coordinators[node].raft.term);
            match &entry.command {
                Some(command) => self.commit_one(index, entry.term, command),
                None => self.oracle.keep_outcome(index, Ok(Vec::new())),
            }
        }
    }

    fn commit_one(&mut self, index: u64, term: u64, command: &Command) {
        let oracle = &mut self.oracle;
        let before = tokens_rise::Before::of(&oracle.state, oracle.looks_at_all(index, command));
        let respected = operators_respected::judge(&oracle.state, command);
        let relied = relied_on::judge(&oracle.state, command, &self.agents, self.now);
        let outcome = apply_with(self.mutation, &mut oracle.state, index, command);
        let accepted = outcome.is_ok();
        for event in outcome.iter().flatten() {
            self.trace.line(self.now, format_args!("log {index}: {event}"));
        }
        let moved = match &outcome {
            Ok(events) => flap_budget::judge(&mut oracle.moves, command, events, &oracle.state),
            Err(_) => Ok(()),
        };
        oracle.judge(flap_budget::NAME, moved);
        oracle.keep_outcome(index, outcome);
        let sound = match oracle.looks_at_all(index, command) {
            true => replicas_agree::sound(&oracle.state),
            false => replicas_agree::sound_in(&oracle.state, command),
        };
        oracle.judge(replicas_agree::NAME, sound);
        let risen = before.judge(&oracle.state);
        oracle.judge(tokens_rise::NAME, risen);
        if !accepted {
            return;
        }
        oracle.judge(operators_respected::NAME, respected);
        oracle.judge(relied_on::NAME, relied);
        match &command.body {
            CommandBody::StartOperation(start) => {
                oracle.started_at.insert(Token(index), self.now);
                let place = |g: usize| oracle.specs[g].appliances.iter().position(|a| a.name == start.to);
                let group = oracle.specs.iter().position(|spec| spec.name == start.group);
                if let Some((group, place)) = group.and_then(|g| Some((g, place(g)?))) {
                    oracle.grants.insert(Token(index), (group, place));
                }
                let judgement = oracle.unsound.remove(&(term, index)).map_or(Ok(()), Err);
                oracle.judge(healthy_stays::NAME, judgement);
                let judgement = converges::stays(self);
                self.oracle.judge(converges::NAME, judgement);
            }
            CommandBody::RecordStep(record) if record.outcome == StepOutcome::Done => {
                if let Some(group) = oracle.specs.iter().position(|spec| spec.name == record.group) {
                    let newest = oracle.done.entry((group, record.binding.clone())).or_default();
                    *newest = (*newest).max(record.operation.token());
                }
            }
            _ => {}
        }
    }

    /// A node has applied an entry, with this outcome.
    pub(crate) fn oracle_applied(&mut self, node: NodeIx, index: u64, entry: &Arc<Entry>, outcome: &Outcome) {
        let state = &self.coordinators[node].state;
        let judgement = replicas_agree::judge(&self.oracle, index, entry, outcome, state);
        let judgement = judgement.map_err(|what| format!("c{}: {what}", node + 1));
        self.oracle.judge(replicas_agree::NAME, judgement);
    }

    /// Everything at once, whatever was looked at before.
    pub(crate) fn oracle_at_the_end(&mut self) {
        let sound = replicas_agree::sound(&self.oracle.state);
        self.oracle.judge(replicas_agree::NAME, sound);
        for (node, c) in self.coordinators.iter().enumerate() {
            if c.applied == self.oracle.log.len() as u64 && c.state != self.oracle.state {
                let what = format!("c{}: the state after entry {} differs", node + 1, c.applied);
                self.oracle.judge(replicas_agree::NAME, Err(what));
            }
        }
    }

    /// An operator is told that a command is committed.
    pub(crate) fn oracle_acknowledged(&mut self, node: NodeIx, index: u64) {
        let term = self.coordinators[node].raft.term_at(index);
        self.oracle.acknowledged.insert(index, term);
        let judgement = acknowledged_survive::acknowledged(&self.oracle, index, term);
        self.oracle.judge(acknowledged_survive::NAME, judgement);
    }

    /// A coordinator begins to move something, or is about to write.
    pub(crate) fn oracle_acts(&mut self, node: NodeIx, group: usize, token: Token, to: usize) {
        let judgement = committed_first::judge(&self.oracle, group, token, to);
        let judgement = judgement.map_err(|what| format!("c{} {what}", node + 1));
        self.oracle.judge(committed_first::NAME, judgement);
    }

    /// A write leaves for the cloud.
    pub(crate) fn oracle_writes(&mut self, node: NodeIx, term: u64, token: Token) {
        let resumed_at = self.coordinators[node].resumed_at;
        let judgement = gated_writes::judge(&self.oracle.elections, term, resumed_at, self.now);
        let judgement = judgement.map_err(|what| format!("c{}: {what}", node + 1));
        self.oracle.judge(gated_writes::NAME, judgement);
        let judgement = fenced_first::judge(&self.oracle, &self.agents, token, self.now);
        self.oracle.judge(fenced_first::NAME, judgement);
    }

    pub(crate) fn oracle_cloud_wrote(&mut self, resource: ResourceIx, before: &Resource, after: &Resource) {
        let judgement = tokens_rise::on_resource(resource, before.token, after.token);
        self.oracle.judge(tokens_rise::NAME, judgement);
        let carriers = self.cloud.carriers(after.group);
        let judgement = cloud_fencing::judge(&self.oracle, resource, after, &carriers);
        self.oracle.judge(cloud_fencing::NAME, judgement);
    }

    pub(crate) fn oracle_stored(&mut self, agent: usize, before: Token, after: Token) {
        let judgement = tokens_rise::on_disk(&self.agents[agent].name, before, after);
        self.oracle.judge(tokens_rise::NAME, judgement);
    }

    /// An agent has put its VIPs in place, or kept them there for longer.
    pub(crate) fn oracle_carries(&mut self, agent: usize, token: Token, new: bool) {
        let judgement = one_vip_holder::judge(&self.agents, agent, self.now);
        self.oracle.judge(one_vip_holder::NAME, judgement);
        if !new {
            return;
        }
        let a = &self.agents[agent];
        self.trace.line(self.now, format_args!("{} carries the VIP under token {token}", a.name));
        let judgement = committed_first::judge(&self.oracle, a.group, token, a.place);
        let judgement = judgement.map_err(|what| format!("{} {what}", a.name));
        self.oracle.judge(committed_first::NAME, judgement);
        let judgement = granted_first::judge(a, token, self.now);
        self.oracle.judge(granted_first::NAME, judgement);
        let judgement = fenced_first::judge(&self.oracle, &self.agents, token, self.now);
        self.oracle.judge(fenced_first::NAME, judgement);
        let a = &self.agents[agent];
        let judgement = tokens_rise::held(&a.name, a.disk, token);
        self.oracle.judge(tokens_rise::NAME, judgement);
    }

    pub(crate) fn oracle_calm(&mut self) {
        let judgement = converges::judge(self);
        self.oracle.judge(converges::NAME, judgement);
    }
}
