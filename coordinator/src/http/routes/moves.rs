//! The moves that operators ask for.

use axum::extract::State;
use axum::{Extension, Json};
use coordinator_api::v1::{Accepted, FailbackRequest, SwitchoverRequest};
use coordinator_core::command::OperationKind;
use coordinator_core::decide::MoveRequest;
use coordinator_core::ids::GroupName;
use http::StatusCode;
use http::header::{HeaderName, LOCATION};

use crate::http::ApiState;
use crate::http::auth::Operator;
use crate::http::error::ApiError;
use crate::http::extract::{Body, Path, reason};

type Started = (StatusCode, [(HeaderName, String); 1], Json<Accepted>);

pub(super) async fn switchover(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(group): Path<GroupName>,
    Body(request): Body<SwitchoverRequest>,
) -> Result<Started, ApiError> {
    let kind = if request.force { OperationKind::ForcedSwitchover } else { OperationKind::Switchover };
    let reason = reason(request.reason)?;
    start(&api, &operator, MoveRequest { group, kind, to: request.to, reason }).await
}

pub(super) async fn failback(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(group): Path<GroupName>,
    Body(request): Body<FailbackRequest>,
) -> Result<Started, ApiError> {
    let reason = reason(request.reason)?;
    start(&api, &operator, MoveRequest { group, kind: OperationKind::Failback, to: None, reason }).await
}

async fn start(api: &ApiState, operator: &Operator, request: MoveRequest) -> Result<Started, ApiError> {
    let operation = api.backend.request_move(request, &operator.0).await?;
    let location = [(LOCATION, format!("/v1/operations/{operation}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Accepted { operation })))
}
