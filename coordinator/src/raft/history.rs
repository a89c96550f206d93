//! Questions about the history.

use coordinator_core::event::{Event, Level};
use coordinator_core::ids::{ApplianceName, GroupName, OperationId, PoolName};
use coordinator_core::time::WallTime;

/// The most events that one query returns.
pub const MAX_LIMIT: usize = 1000;

/// Events kept. Older ones are dropped as new ones are applied, on every node alike.
pub const RETAINED_EVENTS: u64 = 100_000;

/// Which events to return: those that meet every condition given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of this group.
    pub group: Option<GroupName>,
    /// Of this pool.
    pub pool: Option<PoolName>,
    /// Of this appliance.
    pub appliance: Option<ApplianceName>,
    /// Of this operation.
    pub operation: Option<OperationId>,
    /// At least this important.
    pub min_level: Option<Level>,
    /// Not earlier than this.
    pub from: Option<WallTime>,
    /// Not later than this.
    pub until: Option<WallTime>,
    /// Strictly older than the event with this `(index, seq)`: the last one of the page before.
    pub before: Option<(u64, u32)>,
    /// Strictly newer than the event with this `(index, seq)`, and oldest first: the last one of
    /// the page before, or `(0, 0)` for the beginning.
    pub after: Option<(u64, u32)>,
    /// At most so many; 0 and anything above [`MAX_LIMIT`] mean [`MAX_LIMIT`].
    pub limit: usize,
}

impl HistoryQuery {
    /// The limit that applies.
    pub fn effective_limit(&self) -> usize {
        if self.limit == 0 { MAX_LIMIT } else { self.limit.min(MAX_LIMIT) }
    }

    /// Whether `event` meets every condition but the cursor.
    pub fn matches(&self, event: &Event) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, actual: &Option<T>) -> bool {
            wanted.is_none() || wanted == actual
        }
        is(&self.group, &event.group)
            && (self.pool.is_none() || self.pool.as_ref() == event.pool())
            && is(&self.appliance, &event.appliance)
            && is(&self.operation, &event.operation)
            && self.min_level.is_none_or(|least| event.level >= least)
            && self.from.is_none_or(|from| event.at >= from)
            && self.until.is_none_or(|until| event.at <= until)
    }
}
