//! The same log gives the same state on every node, and a consistent one.

use coordinator_core::check::check;
use coordinator_core::state::State;

use super::Oracle;
use crate::sim::event::Entry;

pub(crate) const NAME: &str = "replicas-agree";

/// The state after a commit, said once more from the outside.
pub(super) fn sound(state: &State) -> Result<(), String> {
    let faults = check(state);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// A node has applied `entry` at `index`, and its state is `state` now.
pub(super) fn judge(oracle: &Oracle, index: u64, entry: &Entry, state: &State) -> Result<(), String> {
    let at = usize::try_from(index).unwrap_or(usize::MAX).wrapping_sub(1);
    if oracle.log.get(at).is_none_or(|committed| **committed != *entry) {
        return Err(format!("applied another entry {index} than the one that was committed"));
    }
    let Some((first, _)) = oracle.states.front() else { return Ok(()) };
    let Some(at) = index.checked_sub(*first) else { return Ok(()) };
    match oracle.states.get(usize::try_from(at).unwrap_or(usize::MAX)) {
        Some((_, other)) if other != state => Err(format!("the state after entry {index} differs")),
        _ => Ok(()),
    }
}
