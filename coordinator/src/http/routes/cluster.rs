//! `/v1/status`, `/v1/cluster/…`.

use axum::extract::State;
use axum::{Extension, Json};
use coordinator_api::v1::{ClusterStatus, ReadOptions, Transferred};

use crate::control_loop::wall_now;
use crate::http::ApiState;
use crate::http::auth::Operator;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::lead::Age;
use crate::http::view::cluster_status;

pub(super) async fn status(
    State(api): State<ApiState>,
    Extension(Age(age)): Extension<Age>,
    Query(_): Query<ReadOptions>,
) -> Json<ClusterStatus> {
    let (raft, state, overview) = (api.backend.status(), api.backend.state(), api.backend.overview());
    Json(cluster_status(&raft, &state, &overview, age, wall_now()))
}

pub(super) async fn transfer_leadership(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
) -> Result<Json<Transferred>, ApiError> {
    let leader = api.backend.transfer_leadership().await?;
    tracing::info!(operator = operator.0, %leader, "leadership handed over on an operator's word");
    Ok(Json(Transferred { leader }))
}
