//! `/v1/preflight`.

use axum::extract::State;
use axum::{Extension, Json};
use coordinator_api::v1::{Preflight, PreflightRequest};

use crate::http::ApiState;
use crate::http::auth::Operator;
use crate::http::error::ApiError;
use crate::http::extract::Body;

pub(super) async fn run(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Body(request): Body<PreflightRequest>,
) -> Result<Json<Preflight>, ApiError> {
    let done = api.backend.preflight(&request).await?;
    let (verdict, write_check) = (done.verdict.word(), request.write_check);
    tracing::info!(operator = operator.0, verdict, write_check, took_ms = done.took_ms, "preflight");
    Ok(Json(done))
}
