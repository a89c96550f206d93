//! The same log gives the same state on every node, and a consistent one.

use std::sync::Arc;

use coordinator_core::check::{check, check_group};
use coordinator_core::command::Command;
use coordinator_core::state::{Group, State};

use super::{Oracle, Outcome, touched};
use crate::sim::event::Entry;

pub(crate) const NAME: &str = "replicas-agree";

/// The state after a commit, said once more from the outside.
pub(super) fn sound(state: &State) -> Result<(), String> {
    none(check(state))
}

/// The same of the one group that `command` can have changed.
pub(super) fn sound_in(state: &State, command: &Command) -> Result<(), String> {
    let group = touched(command).and_then(|name| state.groups.get(name));
    none(group.map(|group| check_group(state, group)).unwrap_or_default())
}

fn none(faults: Vec<String>) -> Result<(), String> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// A node has applied `entry` at `index`, which gave `outcome` and `state`.
pub(super) fn judge(
    oracle: &Oracle,
    index: u64,
    entry: &Arc<Entry>,
    outcome: &Outcome,
    state: &State,
) -> Result<(), String> {
    let at = usize::try_from(index).unwrap_or(usize::MAX).wrapping_sub(1);
    if oracle.log.get(at).is_none_or(|committed| !Arc::ptr_eq(committed, entry) && **committed != **entry) {
        return Err(format!("applied another entry {index} than the one that was committed"));
    }
    let differs = || Err(format!("the state after entry {index} differs"));
    // A node that lags behind is compared by what each entry gave.
    let kept = oracle.outcomes.front().and_then(|(first, _)| index.checked_sub(*first));
    let kept = kept.and_then(|at| usize::try_from(at).ok());
    if kept.and_then(|at| oracle.outcomes.get(at)).is_some_and(|(_, other)| other != outcome) {
        return differs();
    }
    if kept.and_then(|at| oracle.states.get(at)).is_some_and(|other| other != state) {
        return differs();
    }
    let Some(command) = entry.command.as_ref().filter(|_| oracle.log.len() as u64 == index) else {
        return Ok(());
    };
    let same = match touched(command).filter(|_| !oracle.looks_at_all(index, command)) {
        None => oracle.state == *state,
        Some(name) => match (oracle.state.groups.get(name), state.groups.get(name)) {
            (Some(ours), Some(its)) => oracle.state.time == state.time && same(ours, its),
            (ours, its) => ours.is_none() && its.is_none(),
        },
    };
    if same { Ok(()) } else { differs() }
}

/// Whether two groups are equal in everything that one command can change: a declaration has a
/// revision, and of ended operations only the newest is new.
fn same(a: &Group, b: &Group) -> bool {
    a.revision == b.revision
        && (a.mode, a.token, a.moved_at) == (b.mode, b.token, b.moved_at)
        && (&a.active, &a.frozen, &a.hold) == (&b.active, &b.frozen, &b.hold)
        && (&a.unreleased, &a.appliances) == (&b.unreleased, &b.appliances)
        && (&a.operation, &a.automatic_moves) == (&b.operation, &b.automatic_moves)
        && (&a.relies, &a.fencing) == (&b.relies, &b.fencing)
        && (a.ended.len(), a.ended.back()) == (b.ended.len(), b.ended.back())
}
