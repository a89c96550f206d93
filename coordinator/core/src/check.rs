//! Internal consistency of the state.
use crate::state::State;

/// What is inconsistent, in words; empty when nothing is.
pub fn check(_state: &State) -> Vec<String> {
    Vec::new()
}
