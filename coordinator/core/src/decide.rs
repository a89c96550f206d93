//! `decide(state, observations, now) -> Decision`: what to propose, and why, or why not.
//!
//! Level-triggered: it looks at what is and never at what changed, keeps no memory, and gives the
//! same answer for the same inputs. A move needs the recorded verdict *and* the present
//! observation to say the same: the first so that every move has its cause in the log, the second
//! so that no leader acts on what an earlier one saw.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    command::{CommandBody, OperationKind, StartOperation},
    ids::{ApplianceName, GroupName, NodeId},
    model::QuorumLoss,
    observe::VantageReport,
    reason::Reason,
    state::State,
    time::{Mono, Now},
};

mod activation;
mod drain;
mod failback;
mod failover;
mod operation;
mod path;
mod plan;
mod request;
mod verdicts;
mod view;

use plan::Plan;
use view::View;

/// What the leader has seen, from every vantage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observations {
    /// All coordinators that vote: the denominators of every majority.
    pub vantages: BTreeSet<NodeId>,
    /// The newest report of each.
    pub reports: BTreeMap<NodeId, VantageReport>,
}

impl Observations {
    /// The reports of the coordinators that vote.
    pub fn voting(&self) -> impl Iterator<Item = (NodeId, &VantageReport)> {
        let votes = |id: &NodeId| self.vantages.contains(id);
        self.reports.iter().filter(move |(id, _)| votes(id)).map(|(id, report)| (*id, report))
    }
}

/// What to propose, why or why not, and when to look again at the latest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// In this order.
    pub propose: Vec<CommandBody>,
    /// Per group: why it moves, or why it does not.
    pub reasons: BTreeMap<GroupName, Vec<Reason>>,
    /// When something will change by the passing of time alone. Never in the past.
    pub next_wakeup: Option<Mono>,
}

/// Decides what to propose. Level-triggered: called again at any time, it gives the same answer
/// for the same inputs.
pub fn decide(state: &State, observations: &Observations, now: Now) -> Decision {
    let mut decision = Decision::default();
    for (name, group) in &state.groups {
        let view = View::new(state, group, observations, now);
        let plan = plan_group(&view);
        decision.next_wakeup = view::earliest(decision.next_wakeup, plan.wakeup(&view));
        decision.reasons.insert(name.clone(), plan.reasons());
        decision.propose.extend(plan.into_proposals(group));
    }
    decision
}

fn plan_group(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    relying(view, &mut plan);
    verdicts::record(view, &mut plan);
    path::record(view, &mut plan);
    if plan.proposes() {
        // The rest follows from what is recorded: look again once it is.
        return plan;
    }
    match (&view.group.operation, &view.group.active) {
        (Some(running), _) => operation::watch(view, &mut plan, running),
        (None, None) => activation::consider(view, &mut plan),
        (None, Some(active)) => failover::consider(view, &mut plan, active),
    }
    plan
}

/// Says for whose word a change of the declaration has to wait.
fn relying(view: &View<'_>, plan: &mut Plan) {
    if view.group.spec.policy.quorum_loss == QuorumLoss::Drop {
        let waits = |holder: &ApplianceName| Reason::AwaitsAcknowledgement { appliance: holder.clone() };
        view.group.relies.iter().map(waits).for_each(|reason| plan.because(reason));
    }
}

/// Why a group moves, or why it does not, in order. Empty for an unknown group.
pub fn explain(state: &State, observations: &Observations, now: Now, group: &GroupName) -> Vec<Reason> {
    decide(state, observations, now).reasons.remove(group).unwrap_or_default()
}

/// A move that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveRequest {
    /// The group.
    pub group: GroupName,
    /// Switchover, forced switchover or failback.
    pub kind: OperationKind,
    /// Where to; `None` picks the best standby (for a failback: the preferred appliance).
    pub to: Option<ApplianceName>,
    /// The operator's reason.
    pub reason: String,
}

/// Checks an operator's request against the state and the observations.
///
/// A switchover asks that its target is up and out of maintenance; it may leave an active that is
/// down, which is how an operator moves a group in manual mode. A forced one goes on over failing
/// checks and lists each in [`StartOperation::because`].
///
/// # Errors
/// The reasons why not, each a sentence.
pub fn admit(
    state: &State,
    observations: &Observations,
    now: Now,
    request: &MoveRequest,
) -> Result<StartOperation, Vec<Reason>> {
    request::admit(state, observations, now, request)
}
