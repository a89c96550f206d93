//! `apply(state, log_index, command) -> events`: the one door through which state changes.
use crate::{command::Command, event::Event, state::State};
use serde::{Deserialize, Serialize};

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// No such group.
    #[error("there is no group {group}")]
    UnknownGroup {
        /// As asked.
        group: String,
    },
}

/// Applies a committed command.
///
/// # Errors
/// [`Rejection`]: the state is unchanged but for its time.
pub fn apply(_state: &mut State, _index: u64, _command: &Command) -> Result<Vec<Event>, Rejection> {
    Ok(Vec::new())
}
