//! The outermost layers: request id, log line, problem bodies, and the limits that protect the
//! node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use coordinator_api::v1::{Code, PREFLIGHT_LIMIT, PROBLEM_CONTENT_TYPE, REQUEST_ID};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use tokio::sync::Semaphore;

use super::auth::Operator;
use super::error::ApiError;

/// Requests at work at once, per listener. One costs a few microseconds of this node, so this is
/// thousands a second; above it something is wrong and refusing early is kinder.
const CONCURRENT: usize = 256;

/// A request takes at most this long: two seconds of waiting for a leader, five for the commit,
/// and the way there and back.
const LIMIT: Duration = Duration::from_secs(10);

/// Longest request id that is taken over from the caller, in bytes.
const MAX_ID: usize = 64;

/// Gives `router` its fallbacks. Layers around the result also surround these.
pub(super) fn with_fallbacks(router: Router) -> Router {
    router
        .fallback(|| async { ApiError::new(Code::NotFound, "there is no such route") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(Code::MethodNotAllowed, "this route has other methods")
        })
}

/// Wraps `router` in the outermost layers.
pub(super) fn wrap(router: Router) -> Router {
    router
        .layer(from_fn(time_limit))
        .layer(from_fn_with_state(Arc::new(Semaphore::new(CONCURRENT)), concurrency_limit))
        .layer(from_fn(identify))
}

/// Gives the request its id, writes the problem bodies, and logs the outcome.
async fn identify(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let (method, started) = (request.method().clone(), Instant::now());
    // The pattern, not the path: what a caller writes there does not belong into the log.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    request.headers_mut().insert(REQUEST_ID, id.clone());

    let mut response = with_problem_body(next.run(request).await, &id);
    response.headers_mut().insert(REQUEST_ID, id.clone());

    let id = id.to_str().unwrap_or_default();
    let operator = response.extensions().get::<Operator>().map(|operator| operator.0.as_str());
    let (status, took_ms) = (response.status().as_u16(), started.elapsed().as_millis());
    if status >= 500 {
        tracing::warn!(request_id = id, %method, route, operator, status, took_ms, "request failed");
    } else if operator.is_some() && !is_read(&method) {
        tracing::info!(request_id = id, %method, route, operator, status, took_ms, "an operator's request");
    } else {
        tracing::debug!(request_id = id, %method, route, operator, status, took_ms, "request");
    }
    response
}

/// The caller's id if it is short and plain, or a random one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        (1..=MAX_ID).contains(&value.len()) && value.as_bytes().iter().all(plain)
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(sane) {
        return id.clone();
    }
    let random = format!("{:032x}", rand::random::<u128>());
    HeaderValue::from_str(&random).unwrap_or(HeaderValue::from_static("-"))
}

fn with_problem_body(mut response: Response, id: &HeaderValue) -> Response {
    let status = response.status();
    if let Some(ApiError(mut problem)) = response.extensions_mut().remove::<ApiError>() {
        id.to_str().unwrap_or_default().clone_into(&mut problem.request_id);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        *response.body_mut() = Body::from(body);
        return response;
    }
    // A forwarded problem has its body already; one of axum's own is put in our words.
    let typed = response.headers().get(CONTENT_TYPE).is_some_and(|t| t == PROBLEM_CONTENT_TYPE || is_json(t));
    if typed || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = Code::ALL.iter().find(|code| code.status() == status.as_u16()).cloned();
    let error = ApiError::new(code.unwrap_or(Code::Internal), status.canonical_reason().unwrap_or("failed"));
    with_problem_body(error.into_response(), id)
}

/// `/readyz` answers 503 with its own JSON.
fn is_json(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"application/json")
}

async fn concurrency_limit(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match slots.try_acquire() {
        Ok(_slot) => next.run(request).await,
        Err(_) => ApiError::new(Code::Overloaded, "too many requests at once; this one was not started")
            .into_response(),
    }
}

/// How long a request may take. A preflight waits for clouds.
pub(super) fn limit(path: &str) -> Duration {
    if path.ends_with("/v1/preflight") { PREFLIGHT_LIMIT } else { LIMIT }
}

async fn time_limit(request: Request, next: Next) -> Response {
    let read = is_read(request.method());
    match tokio::time::timeout(limit(request.uri().path()), next.run(request)).await {
        Ok(response) => response,
        Err(_) if read => ApiError::new(Code::TimedOut, "the answer took too long").into_response(),
        Err(_) => ApiError::outcome_unknown().into_response(),
    }
}

/// Whether a request changes nothing, so that doing it twice is harmless.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
