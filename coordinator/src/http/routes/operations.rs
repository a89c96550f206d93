//! `/v1/operations`.

use axum::Json;
use axum::extract::State;
use coordinator_api::v1::{
    Code, MAX_LIMIT, OperationFilter, OperationList, OperationState, OperationView, ReadOptions,
};
use coordinator_core::ids::OperationId;
use coordinator_core::state::{Group, Operation, State as ReplicatedState};

use crate::control_loop::wall_now;
use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::view::{add_calls, operation_view};
use crate::raft::HistoryQuery;

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(filter): Query<OperationFilter>,
) -> Json<OperationList> {
    let state = api.backend.state();
    let mut found = matching(&state, &filter);
    found.sort_by_key(|(_, operation)| std::cmp::Reverse(operation.id));
    found.truncate(usize::try_from(filter.limit.clamp(1, MAX_LIMIT)).unwrap_or(usize::MAX));
    let now = wall_now();
    let view = |(group, operation): (&Group, &Operation)| operation_view(group, operation, now);
    Json(OperationList { operations: found.into_iter().map(view).collect() })
}

fn matching<'a>(state: &'a ReplicatedState, filter: &OperationFilter) -> Vec<(&'a Group, &'a Operation)> {
    let wanted = |group: &&Group| filter.group.as_ref().is_none_or(|name| *name == group.spec.name);
    let in_state = |operation: &Operation| {
        let running = operation.ended.is_none();
        filter.state.is_none_or(|state| running == (state == OperationState::Running))
    };
    let all = state.groups.values().filter(wanted).flat_map(|group| {
        let operations = group.operation.iter().chain(&group.ended);
        operations.map(move |operation| (group, operation))
    });
    all.filter(|(_, operation)| in_state(operation)).collect()
}

pub(super) async fn show(
    State(api): State<ApiState>,
    Path(id): Path<u64>,
    Query(_): Query<ReadOptions>,
) -> Result<Json<OperationView>, ApiError> {
    let (id, state) = (OperationId(id), api.backend.state());
    let found = state.operation(id).map(|(group, operation)| operation_view(group, operation, wall_now()));
    let mut view = found.ok_or_else(|| {
        ApiError::new(Code::UnknownOperation, format!("there is no operation {id}, or it is no longer kept"))
    })?;
    let events = api.backend.history(HistoryQuery { operation: Some(id), ..HistoryQuery::default() }).await?;
    add_calls(&mut view, &events);
    Ok(Json(view))
}
