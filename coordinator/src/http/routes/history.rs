//! `/v1/history`.

use axum::Json;
use axum::extract::State;
use coordinator_api::v1::{Code, HistoryFilter, HistoryPage, MAX_LIMIT};

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::view::{history_event, history_query};

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(filter): Query<HistoryFilter>,
) -> Result<Json<HistoryPage>, ApiError> {
    if !(1..=MAX_LIMIT).contains(&filter.limit) {
        let detail = format!("limit is {}; it must be from 1 to {MAX_LIMIT}", filter.limit);
        return Err(ApiError::new(Code::BadRequest, detail));
    }
    let query = history_query(&filter);
    let page = query.limit.saturating_sub(1);
    let found = api.backend.history(query).await?;
    let more = found.len() > page;
    let events: Vec<_> = found.iter().take(page).map(history_event).collect();
    let next = if more { events.last().map(|event| event.id) } else { None };
    Ok(Json(HistoryPage { events, next }))
}
