//! The history.

use coordinator_api::v1::{Cursor, HistoryEvent, HistoryFilter, MAX_LIMIT, RecordFilter};
use coordinator_core::event::Event;
use coordinator_core::ids::OperationId;

use super::cluster::at;
use crate::raft::HistoryQuery;

/// One record.
pub(in crate::http) fn history_event(event: &Event) -> HistoryEvent {
    HistoryEvent {
        id: Cursor { index: event.index, seq: event.seq },
        at: at(event.at),
        actor: event.actor.clone(),
        level: event.level,
        group: event.group.clone(),
        pool: event.pool().cloned(),
        appliance: event.appliance.clone(),
        operation: event.operation,
        sentence: event.to_string(),
        // Plain data with string keys always has a JSON form.
        body: serde_json::to_value(&event.body).unwrap_or_default(),
        link: event.link,
    }
}

/// The question to the store, asking for one record more than the page holds: whether there is
/// one decides whether there is a next page.
pub(in crate::http) fn history_query(filter: &HistoryFilter) -> HistoryQuery {
    let limit = filter.limit.clamp(1, MAX_LIMIT);
    HistoryQuery {
        group: filter.group.clone(),
        pool: filter.pool.clone(),
        appliance: filter.appliance.clone(),
        operation: filter.operation.map(OperationId),
        min_level: filter.level,
        from: filter.since.map(|time| time.0),
        until: filter.until.map(|time| time.0),
        before: filter.before.map(|cursor| (cursor.index, cursor.seq)),
        after: None,
        limit: usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1),
    }
}

/// The same for the history as it was recorded.
pub(in crate::http) fn record_query(filter: &RecordFilter) -> HistoryQuery {
    let limit = filter.limit.clamp(1, MAX_LIMIT);
    HistoryQuery {
        from: filter.since.map(|time| time.0),
        until: filter.until.map(|time| time.0),
        after: Some(filter.after.map_or((0, 0), |cursor| (cursor.index, cursor.seq))),
        limit: usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1),
        ..HistoryQuery::default()
    }
}
