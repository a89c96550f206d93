//! The moves that operators ask for.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use coordinator_api::v1::{Accepted, FailbackRequest, SwitchoverRequest};
use coordinator_core::command::OperationKind;
use coordinator_core::decide::MoveRequest;
use coordinator_core::ids::GroupName;
use http::StatusCode;
use http::header::LOCATION;

use crate::control_loop::MoveRefused;
use crate::http::ApiState;
use crate::http::auth::Operator;
use crate::http::error::ApiError;
use crate::http::extract::{Body, Path, reason};

pub(super) async fn switchover(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(group): Path<GroupName>,
    Body(request): Body<SwitchoverRequest>,
) -> Result<Response, ApiError> {
    let kind = if request.force { OperationKind::ForcedSwitchover } else { OperationKind::Switchover };
    let reason = reason(request.reason)?;
    run(&api, &operator, MoveRequest { group, kind, to: request.to, reason }, request.dry_run).await
}

pub(super) async fn failback(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(group): Path<GroupName>,
    Body(request): Body<FailbackRequest>,
) -> Result<Response, ApiError> {
    let reason = reason(request.reason)?;
    let asked = MoveRequest { group, kind: OperationKind::Failback, to: None, reason };
    run(&api, &operator, asked, request.dry_run).await
}

async fn run(
    api: &ApiState,
    operator: &Operator,
    request: MoveRequest,
    dry_run: bool,
) -> Result<Response, ApiError> {
    if dry_run {
        known(api, &request)?;
        return Ok(Json(api.backend.dry_run(&request, &operator.0).await?).into_response());
    }
    let operation = api.backend.request_move(request, &operator.0).await?;
    let location = [(LOCATION, format!("/v1/operations/{operation}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Accepted { operation })).into_response())
}

/// A dry run tells what would refuse a move. A name that is none refuses the dry run itself.
fn known(api: &ApiState, request: &MoveRequest) -> Result<(), ApiError> {
    use coordinator_core::reason::Reason;
    let state = api.backend.state();
    let refused = match (state.groups.get(&request.group), &request.to) {
        (None, _) => Reason::UnknownGroup { group: request.group.clone() },
        (Some(group), Some(to)) if group.spec.appliance(to).is_none() => {
            Reason::UnknownAppliance { appliance: to.clone() }
        }
        _ => return Ok(()),
    };
    Err(MoveRefused::Refused(vec![refused]).into())
}
