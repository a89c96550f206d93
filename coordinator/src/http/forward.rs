//! One request, sent on to the leader over the cluster listener.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use coordinator_api::v1::{AGE_MS, PROBLEM_CODE, REQUEST_ID};
use coordinator_core::ids::NodeId;
use http::HeaderName;
use http::header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::request::Parts;

use super::ApiState;
use super::auth::{OPERATOR, Operator};
use super::edge;
use super::error::chain;

/// Where the cluster listener takes forwarded requests: before the path of the operators' one.
pub(super) const PREFIX: &str = "/forward";

/// By so much shorter than the limit on the whole request, so that the caller learns what became of
/// it.
const SHORTER: Duration = Duration::from_secs(2);

/// Most bytes of the leader's answer that are passed on.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// What travels on to the leader.
const REQUEST_HEADERS: [HeaderName; 2] = [CONTENT_TYPE, HeaderName::from_static(REQUEST_ID)];

/// What travels back.
const ANSWER_HEADERS: [HeaderName; 6] = [
    CONTENT_TYPE,
    LOCATION,
    ALLOW,
    RETRY_AFTER,
    HeaderName::from_static(PROBLEM_CODE),
    HeaderName::from_static(AGE_MS),
];

/// There is no answer of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The request did not leave this node.
    NotSent,
    /// It may have been done.
    Maybe,
}

/// Sends the request to `leader`, in the name of the operator who asked.
pub(super) async fn forward(
    api: &ApiState,
    leader: NodeId,
    parts: &Parts,
    body: &Bytes,
) -> Result<Response, NoAnswer> {
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = api.peers.url(leader, &format!("{PREFIX}{target}")).map_err(|error| {
        tracing::warn!(error = chain(&error), "could not forward a request");
        NoAnswer::NotSent
    })?;
    let limit = edge::limit(parts.uri.path()).saturating_sub(SHORTER);
    let mut request = api.peers.client().request(parts.method.clone(), url).timeout(limit).body(body.clone());
    for name in REQUEST_HEADERS {
        if let Some(value) = parts.headers.get(&name) {
            request = request.header(name, value.clone());
        }
    }
    if let Some(Operator(name)) = parts.extensions.get() {
        request = request.header(OPERATOR, name);
    }
    let failed = |error: reqwest::Error| {
        tracing::debug!(%leader, error = chain(&error), "could not forward a request");
        if error.is_connect() || error.is_builder() { NoAnswer::NotSent } else { NoAnswer::Maybe }
    };
    let mut answer = request.send().await.map_err(failed)?;
    let mut response = Response::builder().status(answer.status());
    for name in ANSWER_HEADERS {
        if let Some(value) = answer.headers().get(&name) {
            response = response.header(name, value.clone());
        }
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            tracing::error!(%leader, limit = MAX_ANSWER, "the leader's answer is too large");
            return Err(NoAnswer::Maybe);
        }
        bytes.extend_from_slice(&chunk);
    }
    response.body(Body::from(bytes)).map_err(|_| NoAnswer::Maybe)
}
