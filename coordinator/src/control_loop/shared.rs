//! What the tasks of the control loop share: the local view, the agents' reports, the other
//! vantages' reports and, while this node leads, its lease table.
//!
//! One short lock, never held across an await.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator_api::agent::{
    AgentGroup, AgentReply, AgentReport, GateAssignment, Instruction, MAX_PATHS, Peer, VipAssignment,
};
use coordinator_core::decide::Observations;
use coordinator_core::heartbeats::Heard;
use coordinator_core::ids::{ApplianceName, GroupName, NodeId, PoolName, ProbeName, Token};
use coordinator_core::lease::{Answer, LeaseTable};
use coordinator_core::model::{BindingKind, QuorumLoss};
use coordinator_core::notice::Listed;
use coordinator_core::observe::{Outcome, VantageReport, Watch, made_at};
use coordinator_core::pool::PoolReason;
use coordinator_core::reason::Reason;
use coordinator_core::release::Holding;
use coordinator_core::state::{Group, State};
use coordinator_core::time::Mono;
use tokio::sync::Notify;

use super::clock::{Clock, wall_now};
use super::handle::{AgentSeen, Overview, Reading, Since, VantageReply, VantageUpdate};
use super::handover::handover;
use super::probe::Sample;
use crate::raft::Replica;

/// How long an agent may take to find a coordinator that has just started.
const RECONNECT: Duration = Duration::from_secs(5);

pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) clock: Clock,
    /// The wall clock at the start: two lives of a node do not start in one millisecond.
    life: u64,
    pub(crate) replica: Replica,
    /// All coordinators: the denominator of every majority.
    pub(crate) vantages: BTreeSet<NodeId>,
    inner: Mutex<Inner>,
    /// Something that a decision may follow from has changed.
    pub(crate) wake: Notify,
    /// This node's own sights have changed.
    pub(crate) sights_changed: Notify,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) watch: Watch,
    pub(crate) agents: BTreeMap<ApplianceName, AgentSeen>,
    remote: BTreeMap<NodeId, (VantageReport, u64)>,
    /// Only while this node leads and has applied everything committed before its term.
    pub(crate) leading: Option<LeadingTerm>,
    pub(crate) reasons: BTreeMap<GroupName, Vec<Reason>>,
    pub(crate) pool_reasons: BTreeMap<PoolName, Vec<PoolReason>>,
}

/// A term in which this node leads.
pub(crate) struct LeadingTerm {
    pub(crate) term: u64,
    pub(crate) table: LeaseTable,
}

impl Shared {
    pub(crate) fn new(replica: Replica, vantages: BTreeSet<NodeId>) -> Shared {
        Shared {
            node: replica.node_id(),
            clock: Clock::start(),
            life: wall_now().0,
            replica,
            vantages,
            inner: Mutex::default(),
            wake: Notify::new(),
            sights_changed: Notify::new(),
        }
    }

    /// A panic while the lock was held cannot leave the maps half-changed in a way that matters:
    /// each change is one insertion.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new set of declared appliances and probes.
    pub(crate) fn declare(&self, state: &State) {
        let mut inner = self.lock();
        inner.watch.declare(state);
        inner.agents.retain(|name, _| is_declared(state, name));
    }

    /// Takes a probe's sample into the local view.
    pub(crate) fn feed(&self, appliance: &ApplianceName, probe: &ProbeName, sample: &Sample) {
        let now = self.clock.now().mono;
        let changed = self.lock().watch.feed(appliance, probe, sample.outcome, &sample.detail, now);
        self.sights_have(changed);
    }

    /// The grant under which a sample of a group's path that begins now will count.
    pub(crate) fn path_token(&self, group: &GroupName) -> Option<Token> {
        self.lock().watch.path_token(group)
    }

    /// Like [`Shared::feed`], for a sample of a path that began under the grant `begun_under`.
    pub(crate) fn feed_path(
        &self,
        group: &GroupName,
        probe: &ProbeName,
        begun_under: Token,
        sample: &Sample,
    ) {
        let now = self.clock.now().mono;
        let said = (sample.outcome, sample.detail.as_str());
        let changed = self.lock().watch.feed_path(group, probe, begun_under, said, now);
        self.sights_have(changed);
    }

    fn sights_have(&self, changed: bool) {
        if changed {
            self.sights_changed.notify_one();
            self.wake.notify_one();
        }
    }

    /// The heartbeat probe: is there a report not older than `timeout`, and is it a good one?
    ///
    /// No sample before an agent had the time to find this node after its start: silence says
    /// something of the agent only once it could have spoken.
    pub(crate) fn heartbeat_sample(&self, appliance: &ApplianceName, timeout: Duration) -> Option<Sample> {
        let now = self.clock.now().mono;
        let inner = self.lock();
        let Some(seen) = inner.agents.get(appliance) else {
            let early = now.0 < timeout.max(RECONNECT);
            return (!early).then(|| Sample::new(Outcome::Silent, "never heard of"));
        };
        let age = now.since(seen.received);
        Some(match (seen.report.faults.first(), &seen.report.via) {
            _ if age > timeout => Sample::new(Outcome::Silent, format!("silent for {} ms", age.as_millis())),
            (Some(fault), _) => Sample::new(Outcome::Fail, fault.clone()),
            (None, Some(peer)) => Sample::new(Outcome::Relayed, format!("reports through {peer}")),
            (None, None) => Sample::new(Outcome::Pass, "reports"),
        })
    }

    /// Whether the appliance's agent has reported here within `span`.
    pub(crate) fn heard_within(&self, appliance: &ApplianceName, span: Duration) -> bool {
        let now = self.clock.now().mono;
        self.lock().agents.get(appliance).is_some_and(|seen| now.since(seen.received) <= span)
    }

    /// For how long a lease that an earlier leader gave in `group` may still last.
    pub(crate) fn left_of_earlier_leases(&self, group: &GroupName) -> Duration {
        let state = self.replica.state();
        left_of_earlier_leases(self.lock().leading.as_ref(), state.groups.get(group), self.clock.now().mono)
    }

    /// See [`ControlHandle::agent_report`](super::ControlHandle::agent_report).
    pub(crate) fn agent_report(&self, report: AgentReport) -> AgentReply {
        let leader = self.replica.leadership().borrow().leader;
        let leading = self.replica.leading();
        let quorum = leading.and_then(|l| l.quorum_acked_at.map(|at| (l.term, self.clock.mono(at.into()))));
        let now = self.clock.now().mono;
        let mut inner = self.lock();
        // The order matters. `inner.leading` is there only once the local state holds everything
        // committed before its term, so the state must be read after it was found there: a state
        // read earlier, on a thread that was then held up for the length of an election, could
        // name an appliance whose role an earlier leader has since given away.
        let table = inner.leading.as_mut().filter(|own| quorum.is_some_and(|(term, _)| own.term == term));
        let state = self.replica.state();
        let group = state.group_of(&report.appliance);
        let instruction = instruct(table, group, &report.appliance, now, quorum);
        let leads = instruction != Instruction::NotLeader;
        let handover = leads.then(|| handover(group, &report, &inner.reasons)).flatten();
        let changed = inner.take_report(report.clone(), now, is_declared(&state, &report.appliance));
        drop(inner);
        if changed {
            self.wake.notify_one();
        }
        AgentReply {
            node: self.node,
            leader,
            instruction,
            group: group.map(|group| assignment(group, &report.appliance)),
            handover,
        }
    }

    /// See [`ControlHandle::vantage_update`](super::ControlHandle::vantage_update).
    pub(crate) fn vantage_update(&self, update: VantageUpdate) -> VantageReply {
        let now = self.clock.now().mono;
        if self.vantages.contains(&update.vantage)
            && let Some(about) = made(self.life, update.since, now)
        {
            self.take_view(update, about);
        }
        let at_us = u64::try_from(now.0.as_micros()).unwrap_or(u64::MAX);
        VantageReply { now: Reading { life: self.life, at_us } }
    }

    fn take_view(&self, update: VantageUpdate, about: Mono) {
        let mut inner = self.lock();
        let newest = inner.remote.get(&update.vantage);
        // A restarted vantage counts from its wall clock, so `seq` rises over its lives too; one
        // that was set back is heard again once its last report has gone stale.
        let late = newest.is_some_and(|(report, seq)| {
            *seq >= update.seq && about.since(report.about) < Duration::from_secs(5)
        });
        if late {
            return;
        }
        let report = VantageReport::new(about, update.sights).with_paths(update.paths);
        let changed = newest.is_none_or(|(newest, _)| !newest.says_the_same(&report));
        inner.remote.insert(update.vantage, (report, update.seq));
        drop(inner);
        if changed {
            self.wake.notify_one();
        }
    }

    /// Every vantage's newest report, this node's own taken now.
    pub(crate) fn observations(&self) -> Observations {
        let now = self.clock.now().mono;
        let inner = self.lock();
        let mut reports: BTreeMap<_, _> =
            inner.remote.iter().map(|(node, (report, _))| (*node, report.clone())).collect();
        reports.insert(self.node, inner.watch.report(now));
        Observations { vantages: self.vantages.clone(), reports }
    }

    pub(crate) fn overview(&self) -> Overview {
        let observations = self.observations();
        let now = self.clock.now().mono;
        let inner = self.lock();
        Overview {
            now,
            observations,
            reasons: inner.reasons.clone(),
            pool_reasons: inner.pool_reasons.clone(),
            agents: inner.agents.clone(),
        }
    }
}

impl Inner {
    /// What each agent's newest report says of its lease.
    pub(crate) fn holdings(&self) -> BTreeMap<ApplianceName, Holding> {
        let holding = |seen: &AgentSeen| Holding {
            held: seen.report.held(),
            vips_up: seen.report.vips_up,
            revision: seen.report.revision,
            revision_since: seen.revision_since,
        };
        self.agents.iter().map(|(name, seen)| (name.clone(), holding(seen))).collect()
    }

    /// What each agent's newest report says of its ways to its peers.
    pub(crate) fn heard(&self) -> BTreeMap<ApplianceName, Heard> {
        let heard = |seen: &AgentSeen| Heard {
            at: seen.received,
            peers: seen
                .report
                .peers
                .iter()
                .take(MAX_PATHS)
                .map(|p| (p.appliance.clone(), p.path, p.up))
                .collect(),
        };
        let known = self.agents.iter().filter(|(_, seen)| !seen.report.peers.is_empty());
        known.map(|(name, seen)| (name.clone(), heard(seen))).collect()
    }

    /// What each agent's newest report says of notices.
    pub(crate) fn listed(&self) -> BTreeMap<ApplianceName, Listed> {
        let listed = |seen: &AgentSeen| Listed { at: seen.received, sources: seen.report.notices.clone() };
        self.agents.iter().map(|(name, seen)| (name.clone(), listed(seen))).collect()
    }

    /// Keeps the newest report of each declared appliance's agent. Returns whether anything that
    /// a decision may follow from has changed.
    fn take_report(&mut self, report: AgentReport, now: Mono, declared: bool) -> bool {
        if !declared {
            return false;
        }
        let old = self.agents.get(&report.appliance).map(|seen| &seen.report);
        if old.is_some_and(|old| old.boot == report.boot && old.seq >= report.seq) {
            return false;
        }
        let changed = old.is_none_or(|old| {
            let told = |r: &AgentReport| (r.boot, r.highest, r.holding, r.vips_up, r.revision);
            let ways = |r: &AgentReport| -> Vec<_> {
                r.peers.iter().map(|p| (p.appliance.clone(), p.path, p.up)).collect()
            };
            let lists = |r: &AgentReport| (r.faults.clone(), r.notices.clone());
            told(old) != told(&report) || lists(old) != lists(&report) || ways(old) != ways(&report)
        });
        let same =
            |seen: &&AgentSeen| (seen.report.boot, seen.report.revision) == (report.boot, report.revision);
        let revision_since =
            self.agents.get(&report.appliance).filter(same).map_or(now, |seen| seen.revision_since);
        self.agents.insert(report.appliance.clone(), AgentSeen { received: now, revision_since, report });
        changed
    }
}

/// Whether an appliance belongs to a group or to a pool: only then is its agent listened to.
fn is_declared(state: &State, appliance: &ApplianceName) -> bool {
    state.group_of(appliance).is_some() || state.pool_of(appliance).is_some()
}

/// When a view was made at the earliest; `None` when that cannot be told, because it rests on no
/// reading of this node's clock in this life.
fn made(life: u64, since: Option<Since>, now: Mono) -> Option<Mono> {
    let since = since.filter(|since| since.reading.life == life)?;
    let issued = Mono(Duration::from_micros(since.reading.at_us));
    (issued <= now).then(|| made_at(issued, Duration::from_micros(since.elapsed_us), now))
}

/// See [`Shared::left_of_earlier_leases`]. None is left of a group that is gone, and nothing
/// follows from the answer on a node that does not lead.
fn left_of_earlier_leases(leading: Option<&LeadingTerm>, group: Option<&Group>, now: Mono) -> Duration {
    match (leading, group) {
        (Some(leading), Some(group)) => leading.table.earlier_over_at(group).since(now),
        _ => Duration::ZERO,
    }
}

/// What to tell an agent. `quorum` is the term in which this node leads now, and `t_q` in it.
///
/// The lease table belongs to one term: a node that lost and regained the leadership in between
/// must not answer from the older table, whose bound on earlier leaders' grants is out of date.
fn instruct(
    leading: Option<&mut LeadingTerm>,
    group: Option<&Group>,
    appliance: &ApplianceName,
    now: Mono,
    quorum: Option<(u64, Mono)>,
) -> Instruction {
    let (Some(leading), Some((term, quorum_acked_at))) = (leading, quorum) else {
        return Instruction::NotLeader;
    };
    if leading.term != term {
        return Instruction::NotLeader;
    }
    let Some(group) = group else {
        return Instruction::NotDeclared;
    };
    match leading.table.answer(group, appliance, now, Some(quorum_acked_at)) {
        Answer::Grant { token, ttl } => {
            Instruction::Grant { token, ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(0) }
        }
        Answer::Standby { token } => Instruction::Standby { token },
        Answer::Wait { .. } => Instruction::Wait { token: group.token },
    }
}

fn assignment(group: &Group, appliance: &ApplianceName) -> AgentGroup {
    let vips = group.spec.bindings.iter().filter_map(|binding| match &binding.kind {
        BindingKind::Vip { address, prefix_len, interfaces } => Some(VipAssignment {
            binding: binding.name.clone(),
            address: *address,
            prefix_len: *prefix_len,
            interface: interfaces.get(appliance)?.clone(),
        }),
        _ => None,
    });
    let gates = group.spec.bindings.iter().filter_map(|binding| match &binding.kind {
        BindingKind::ProbeGate(gate) => {
            Some(GateAssignment { binding: binding.name.clone(), gate: gate.clone() })
        }
        _ => None,
    });
    let others = group.spec.appliances.iter().filter(|other| other.name != *appliance);
    let peers = others.map(|other| Peer { appliance: other.name.clone(), addresses: other.peer.clone() });
    AgentGroup {
        name: group.spec.name.clone(),
        revision: group.revision,
        ttl_ms: u64::try_from(group.spec.lease.ttl.as_millis()).unwrap_or(u64::MAX),
        vips: vips.collect(),
        gates: gates.collect(),
        failsafe: group.spec.policy.quorum_loss == QuorumLoss::Failsafe,
        drift_ppm: group.spec.lease.drift_ppm,
        peers: peers.collect(),
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
