//! `GET /v1/history`: what happened, newest first.

use std::fmt;
use std::str::FromStr;

use coordinator_core::chain::{Chain, Link};
use coordinator_core::command::Actor;
use coordinator_core::event::{Event, Level};
use coordinator_core::ids::{ApplianceName, GroupName, OperationId, PoolName};
use serde::{Deserialize, Serialize};

use super::request::Consistency;
use super::time::Timestamp;

/// Most records in one answer.
pub const MAX_LIMIT: u32 = 500;

/// Records in an answer when the request does not say.
pub fn default_limit() -> u32 {
    50
}

/// Query of `GET /v1/history`. Every given condition must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryFilter {
    /// Only of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Only of this pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// Only of this appliance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appliance: Option<ApplianceName>,
    /// Only of this operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
    /// This level or a more serious one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// At this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// At this time or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Older than this record: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Cursor>,
    /// At most this many, 1 to [`MAX_LIMIT`]. Default 50.
    #[serde(default = "default_limit")]
    pub limit: u32,
    /// How fresh.
    #[serde(default)]
    pub consistency: Consistency,
}

impl Default for HistoryFilter {
    fn default() -> Self {
        HistoryFilter {
            group: None,
            pool: None,
            appliance: None,
            operation: None,
            level: None,
            since: None,
            until: None,
            before: None,
            limit: default_limit(),
            consistency: Consistency::default(),
        }
    }
}

/// A page of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Newest first.
    pub events: Vec<HistoryEvent>,
    /// Give this as `before` to read on; absent at the end.
    pub next: Option<Cursor>,
}

/// Query of `GET /v1/history/records`: the history as it was recorded, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordFilter {
    /// Newer than this record: the last one of the page before. Absent for the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
    /// At this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// At this time or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// At most this many, 1 to [`MAX_LIMIT`]. Default 50.
    #[serde(default = "default_limit")]
    pub limit: u32,
    /// How fresh.
    #[serde(default)]
    pub consistency: Consistency,
}

/// A page of the history as it was recorded: what the digests cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPage {
    /// Oldest first.
    pub records: Vec<Event>,
    /// Whether there are newer ones that match.
    pub more: bool,
    /// Where the history stood when this was read, or a little later.
    pub chain: Chain,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// Identifies and orders it.
    pub id: Cursor,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub actor: Actor,
    /// How much it matters.
    pub level: Level,
    /// The group concerned.
    pub group: Option<GroupName>,
    /// The pool concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// The appliance concerned.
    pub appliance: Option<ApplianceName>,
    /// The operation it belongs to.
    pub operation: Option<OperationId>,
    /// What happened, in one sentence.
    pub sentence: String,
    /// What happened, for a program: one key, the kind of event, and its facts.
    pub body: serde_json::Value,
    /// Its place in the chain of digests.
    pub link: Link,
}

/// Identifies a record of the history: log index and place, written `1234.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// The log index of the command it came from.
    pub index: u64,
    /// Its place among the events of that command.
    pub seq: u32,
}

/// Not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a place in the history: write <index>.<seq>, as in the id of a record")]
pub struct CursorError(String);

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parts =
            text.split_once('.').and_then(|(index, seq)| Some((index.parse().ok()?, seq.parse().ok()?)));
        parts.map(|(index, seq)| Cursor { index, seq }).ok_or_else(|| CursorError(text.to_owned()))
    }
}

impl TryFrom<String> for Cursor {
    type Error = CursorError;
    fn try_from(text: String) -> Result<Self, CursorError> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> String {
        cursor.to_string()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.index, self.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_wire_and_orders_by_index_first() {
        let cursor = Cursor { index: 12, seq: 3 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert!(cursor < Cursor { index: 13, seq: 0 });
        for bad in ["", "12", "12.", ".3", "a.b", "12.3.4"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
