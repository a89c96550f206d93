//! The core's rules with a deliberate mistake in them, for every node alike: what is broken then
//! is not agreement, but what the rule was for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use coordinator_core::action::Action;
use coordinator_core::apply::apply;
use coordinator_core::command::{Command, CommandBody, ReleaseProof};
use coordinator_core::decide::Observations;
use coordinator_core::ids::NodeId;
use coordinator_core::model::Fencing;
use coordinator_core::state::{Group, State};

use super::Mutation;
use crate::sim::invariants::Outcome;

/// `coordinator_core::apply`.
pub(crate) fn apply_with(
    mutation: Option<Mutation>,
    state: &mut State,
    index: u64,
    command: &Command,
) -> Outcome {
    match (mutation, &command.body) {
        (Some(Mutation::IgnoreMaintenance), CommandBody::StartOperation(start)) => {
            let kept = state.groups.get(&start.group).map(|group| group.appliances.clone());
            state.groups.get_mut(&start.group).into_iter().for_each(end_maintenance);
            let outcome = apply(state, index, command);
            if let (Some(kept), Some(group)) = (kept, state.groups.get_mut(&start.group)) {
                group.appliances = kept;
            }
            outcome
        }
        (Some(Mutation::IgnoreFlapBudget), CommandBody::StartOperation(start)) => {
            state.groups.get_mut(&start.group).into_iter().for_each(|group| group.automatic_moves.clear());
            apply(state, index, command)
        }
        (Some(Mutation::RequireIgnored), CommandBody::RecordRelease { group, .. }) => {
            let name = group.clone();
            let Some(group) = state.groups.get_mut(&name) else { return apply(state, index, command) };
            let fencing = std::mem::replace(&mut group.spec.policy.fencing, Fencing::Never);
            let outcome = apply(state, index, command);
            if let Some(group) = state.groups.get_mut(&name) {
                group.spec.policy.fencing = fencing;
            }
            outcome
        }
        (Some(Mutation::AcceptOldRelease), CommandBody::RecordRelease { group, appliance, proof, .. }) => {
            let token = state.groups.get(group).map(|group| group.token).unwrap_or_default();
            let (group, appliance, proof) = (group.clone(), appliance.clone(), *proof);
            let body = CommandBody::RecordRelease { group, appliance, token, proof };
            apply(state, index, &Command { body, ..command.clone() })
        }
        _ => apply(state, index, command),
    }
}

/// What `decide` and `admit` are given.
pub(crate) fn seen_by_decide(mutation: Option<Mutation>, state: &State) -> Cow<'_, State> {
    let change: fn(&mut Group) = match mutation {
        Some(Mutation::IgnoreMaintenance) => end_maintenance,
        Some(Mutation::IgnoreFlapBudget) => |group| group.automatic_moves.clear(),
        _ => return Cow::Borrowed(state),
    };
    let mut state = state.clone();
    state.groups.values_mut().for_each(change);
    Cow::Owned(state)
}

/// The vantages that count, where the leader's own word is to be enough.
pub(crate) fn alone(mut observations: Observations, leader: NodeId) -> Observations {
    observations.vantages = BTreeSet::from([leader]);
    observations
}

/// The group as the lease table and the proofs of releases go by it: with a mistaken allowance
/// for drifting clocks, or without its fencing.
pub(crate) fn as_leased(mutation: Option<Mutation>, group: &Group) -> Cow<'_, Group> {
    let mut changed = match mutation {
        Some(Mutation::NoDriftAllowance | Mutation::HalfDriftAllowance | Mutation::RequireIgnored) => {
            group.clone()
        }
        _ => return Cow::Borrowed(group),
    };
    match mutation {
        Some(Mutation::NoDriftAllowance) => changed.spec.lease.drift_ppm = 0,
        Some(Mutation::HalfDriftAllowance) => changed.spec.lease.drift_ppm /= 2,
        _ => changed.spec.policy.fencing = Fencing::Never,
    }
    Cow::Owned(changed)
}

/// Releases without a proof of their own.
pub(crate) fn unproved(mutation: Option<Mutation>, state: &State, actions: &[Action]) -> Vec<CommandBody> {
    let one = |action: &Action| {
        let Action::AwaitRelease { group, appliance, token } = action else { return None };
        let (token, proof) = match mutation {
            Some(Mutation::SkipWait) => (*token, ReleaseProof::Expired),
            Some(Mutation::AcceptOldRelease) => {
                let ended = &state.groups.get(group)?.ended;
                let earlier =
                    ended.iter().find(|o| o.from.as_ref() == Some(appliance) && o.released.is_some());
                (earlier?.id.token(), ReleaseProof::Confirmed)
            }
            _ => return None,
        };
        let (group, appliance) = (group.clone(), appliance.clone());
        Some(CommandBody::RecordRelease { group, appliance, token, proof })
    };
    actions.iter().filter_map(one).collect()
}

fn end_maintenance(group: &mut Group) {
    group.appliances.values_mut().for_each(|appliance| appliance.maintenance = None);
}
