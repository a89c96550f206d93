//! The cluster listener, apart from Raft: forwarded requests, the followers' views, the agents'
//! reports. Whoever comes through TLS is a member of the cluster; each route checks which.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use coordinator_api::agent::{self, AgentReply, AgentReport, ChangesRequest, Stamp};
use coordinator_api::tls::PeerIdentity;
use coordinator_api::v1::Code;
use coordinator_core::ids::ApplianceName;

use super::error::ApiError;
use super::extract::Body;
use super::{ApiState, auth, edge, forward, lead, routes};
use crate::control_loop::{VANTAGE_MAX_BODY, VANTAGE_PATH, VantageReply, VantageUpdate};
use crate::preflight::{PREFLIGHT_MAX_BODY, PREFLIGHT_PATH, PartReply, PartRequest};

pub(super) fn router(api: ApiState) -> Router {
    let forwarded = routes::v1().route_layer(from_fn_with_state(api.clone(), lead::here_or_nowhere));
    let forwarded = edge::with_fallbacks(forwarded.with_state(api.clone()));
    let members = Router::new()
        .route(agent::REPORT_PATH, post(agent_report).layer(DefaultBodyLimit::max(agent::MAX_BODY)))
        .route(VANTAGE_PATH, post(vantage_update).layer(DefaultBodyLimit::max(VANTAGE_MAX_BODY)))
        .route(PREFLIGHT_PATH, post(preflight_part).layer(DefaultBodyLimit::max(PREFLIGHT_MAX_BODY)))
        .with_state(api.clone());
    // Waiting costs a slot for seconds, so it has slots of its own.
    let waiting = post(agent_changes).layer(DefaultBodyLimit::max(agent::MAX_BODY));
    let waiting = Router::new().route(agent::CHANGES_PATH, waiting).with_state(api);
    // Wrapped one by one: no number of forwarded requests may keep an agent from its lease.
    edge::wrap(edge::with_fallbacks(members))
        .merge(edge::wrap(waiting))
        .nest_service(forward::PREFIX, edge::wrap(forwarded.layer(from_fn(auth::forwarded))))
}

/// With Raft's own routes beside them, for coordinators alone. They have limits of their own.
pub(super) fn with_raft(api: ApiState, raft: Router) -> Router {
    // The other router brings the fallbacks: two cannot be merged.
    router(api).merge(raft.reset_fallback().layer(from_fn(nodes_only)))
}

async fn nodes_only(request: Request, next: Next) -> Response {
    match request.extensions().get() {
        Some(PeerIdentity::Node(_)) => next.run(request).await,
        _ => forbidden("only coordinators speak Raft".to_owned()).into_response(),
    }
}

async fn agent_report(
    State(api): State<ApiState>,
    Extension(peer): Extension<PeerIdentity>,
    Body(report): Body<AgentReport>,
) -> Result<Json<AgentReply>, ApiError> {
    if peer != PeerIdentity::Agent(report.appliance.clone()) {
        return Err(forbidden(format!("{peer} may not report for {}", report.appliance)));
    }
    Ok(Json(api.backend.agent_report(report)))
}

/// Answers when there is something new for the agent, or when the time is up.
async fn agent_changes(
    State(api): State<ApiState>,
    Extension(peer): Extension<PeerIdentity>,
    Body(request): Body<ChangesRequest>,
) -> Result<Json<Stamp>, ApiError> {
    if peer != PeerIdentity::Agent(request.appliance.clone()) {
        return Err(forbidden(format!("{peer} may not wait for {}", request.appliance)));
    }
    let mut states = api.backend.watch_state();
    let news = states.wait_for(|state| Some(stamp(state, &request.appliance)) != request.seen);
    // Neither a late answer nor a node that stops is a fault: the agent asks again.
    let _ = tokio::time::timeout(agent::CHANGES_HOLD, news).await;
    let stamp = stamp(&states.borrow(), &request.appliance);
    Ok(Json(stamp))
}

fn stamp(state: &coordinator_core::state::State, appliance: &ApplianceName) -> Stamp {
    state.group_of(appliance).map_or_else(Stamp::default, |group| Stamp {
        token: group.token,
        unreleased: group.unreleased.len() as u64,
        revision: group.revision,
    })
}

async fn vantage_update(
    State(api): State<ApiState>,
    Extension(peer): Extension<PeerIdentity>,
    Body(update): Body<VantageUpdate>,
) -> Result<Json<VantageReply>, ApiError> {
    if peer != PeerIdentity::Node(update.vantage) {
        return Err(forbidden(format!("{peer} may not speak for node {}", update.vantage)));
    }
    Ok(Json(api.backend.vantage_update(update)))
}

/// What this coordinator has to find out for itself, asked for by the leader.
async fn preflight_part(
    State(api): State<ApiState>,
    Extension(peer): Extension<PeerIdentity>,
    Body(ask): Body<PartRequest>,
) -> Result<Json<PartReply>, ApiError> {
    if !matches!(peer, PeerIdentity::Node(_)) {
        return Err(forbidden(format!("{peer} may not ask for a preflight")));
    }
    Ok(Json(api.backend.preflight_part(&ask).await))
}

fn forbidden(detail: String) -> ApiError {
    tracing::warn!(detail, "a peer asked for what its certificate does not allow");
    ApiError::new(Code::Forbidden, detail)
}
