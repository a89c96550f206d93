//! The operators' listener.

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::{ApiState, auth, edge, lead, routes};

pub(super) fn router(api: ApiState) -> Router {
    let v1 = routes::v1().route_layer(from_fn_with_state(api.clone(), lead::to_leader));
    let all = v1.merge(routes::health()).with_state(api.clone());
    // Around the fallbacks too: without a token nobody learns which routes exist.
    edge::wrap(edge::with_fallbacks(all).layer(from_fn_with_state(api, auth::bearer)))
}
