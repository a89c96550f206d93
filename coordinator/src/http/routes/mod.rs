//! The handlers. Each proposes or reads, nothing else; a preflight may be asked to write to clouds what
//! it has read there.

mod cluster;
mod groups;
mod health;
mod history;
mod moves;
mod operations;
mod pools;
mod preflight;

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use coordinator_api::v1::Changed;
use coordinator_core::command::{Actor, Command, CommandBody};

use super::ApiState;
use super::auth::Operator;
use super::error::ApiError;
use super::view::history_event;
use crate::control_loop::wall_now;

/// How long a change may take to be committed before its outcome counts as unknown.
const COMMIT: Duration = Duration::from_secs(5);

/// Everything that needs a token.
pub(super) fn v1() -> Router<ApiState> {
    Router::new()
        .route("/v1/status", get(cluster::status))
        .route("/v1/cluster/transfer-leadership", post(cluster::transfer_leadership))
        .route("/v1/groups", get(groups::list))
        .route("/v1/groups/{group}", get(groups::show).put(groups::put).delete(groups::remove))
        .route("/v1/groups/{group}/switchover", post(moves::switchover))
        .route("/v1/groups/{group}/failback", post(moves::failback))
        .route("/v1/groups/{group}/mode", post(groups::mode))
        .route("/v1/groups/{group}/unfreeze", post(groups::unfreeze))
        .route("/v1/groups/{group}/appliances/{appliance}/maintenance", post(groups::maintenance))
        .route("/v1/groups/{group}/appliances/{appliance}/confirm-off", post(groups::confirm_off))
        .route("/v1/pools", get(pools::list))
        .route("/v1/pools/{pool}", get(pools::show).put(pools::put).delete(pools::remove))
        .route("/v1/pools/{pool}/members/{member}/take-out", post(pools::take_out))
        .route("/v1/pools/{pool}/members/{member}/put-in", post(pools::put_in))
        .route("/v1/operations", get(operations::list))
        .route("/v1/operations/{id}", get(operations::show))
        .route("/v1/history", get(history::list))
        .route("/v1/history/records", get(history::records))
        .route("/v1/preflight", post(preflight::run))
}

/// What load balancers and supervisors ask, without a token.
pub(super) fn health() -> Router<ApiState> {
    Router::new().route("/healthz", get(health::healthz)).route("/readyz", get(health::readyz))
}

/// Puts a change into the log in the operator's name.
async fn change(api: &ApiState, operator: Operator, body: CommandBody) -> Result<Changed, ApiError> {
    let command = Command { at: wall_now(), actor: Actor::Operator(operator.0), body };
    let events = api.backend.propose(command, COMMIT).await?;
    Ok(Changed { events: events.iter().map(history_event).collect() })
}
