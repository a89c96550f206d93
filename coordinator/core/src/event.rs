//! What happened, derived in [`apply`](crate::apply::apply): the history is made of these.

use serde::{Deserialize, Serialize};

use crate::command::Actor;
use crate::ids::{ApplianceName, GroupName, OperationId};
use crate::time::WallTime;

/// One record of the history. `(index, seq)` identifies and orders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The log index of the command it came from.
    pub index: u64,
    /// Its place among the events of that command, from 0.
    pub seq: u32,
    /// The state's time when the command was applied.
    pub at: WallTime,
    /// Who asked.
    pub actor: Actor,
    /// How much it matters.
    pub level: Level,
    /// The group concerned.
    pub group: Option<GroupName>,
    /// The appliance concerned.
    pub appliance: Option<ApplianceName>,
    /// The operation it belongs to.
    pub operation: Option<OperationId>,
    /// What happened.
    pub body: EventBody,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For the record.
    Info,
    /// Worth a look.
    Warning,
    /// Worth waking someone.
    Alert,
}

/// What happened. Append-only: events are stored, encoded by their position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventBody {
    /// A group was declared, or its declaration replaced.
    GroupDeclared {
        /// Whether it is new.
        new: bool,
    },
}
