//! `/healthz`, `/readyz`.

use axum::Json;
use axum::extract::State;
use coordinator_api::v1::{Health, Readiness};
use http::StatusCode;

use crate::http::ApiState;
use crate::http::view::readiness;

pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

pub(super) async fn readyz(State(api): State<ApiState>) -> (StatusCode, Json<Readiness>) {
    let readiness = readiness(&api.backend.status());
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
