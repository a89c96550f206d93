//! `/v1/history`.

use axum::Json;
use axum::extract::State;
use coordinator_api::v1::{Code, HistoryFilter, HistoryPage, MAX_LIMIT, RecordFilter, RecordPage};

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::view::{history_event, history_query, record_query};

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(filter): Query<HistoryFilter>,
) -> Result<Json<HistoryPage>, ApiError> {
    check_limit(filter.limit)?;
    let query = history_query(&filter);
    let page = query.limit.saturating_sub(1);
    let found = api.backend.history(query).await?;
    let more = found.len() > page;
    let events: Vec<_> = found.iter().take(page).map(history_event).collect();
    let next = if more { events.last().map(|event| event.id) } else { None };
    Ok(Json(HistoryPage { events, next }))
}

pub(super) async fn records(
    State(api): State<ApiState>,
    Query(filter): Query<RecordFilter>,
) -> Result<Json<RecordPage>, ApiError> {
    check_limit(filter.limit)?;
    let query = record_query(&filter);
    let page = query.limit.saturating_sub(1);
    let mut records = api.backend.history(query).await?;
    let more = records.len() > page;
    records.truncate(page);
    Ok(Json(RecordPage { records, more, chain: api.backend.state().history }))
}

fn check_limit(limit: u32) -> Result<(), ApiError> {
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(());
    }
    Err(ApiError::new(Code::BadRequest, format!("limit is {limit}; it must be from 1 to {MAX_LIMIT}")))
}
