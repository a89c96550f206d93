//! Sends each request to where it must be answered: stale reads here, everything else at the
//! leader.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coordinator_api::v1::{AGE_MS, Code, Consistency, MAX_BODY, PROBLEM_CODE};
use http::header::HeaderValue;
use http::request::Parts;
use tokio::time::{Instant, timeout_at};

use super::ApiState;
use super::edge::is_read;
use super::error::ApiError;
use super::forward::{self, NoAnswer};

/// How long to wait for somebody to lead.
const LEADER_WAIT: Duration = Duration::from_secs(2);

/// The pause before the same leader is tried again, when no change of leader is seen meanwhile.
const RETRY: Duration = Duration::from_millis(50);

/// Runs the request here if this node leads or a stale answer will do, and at the leader
/// otherwise.
pub(super) async fn to_leader(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    if is_read(request.method()) && wants_stale(&request) {
        return stale(&api, request, next).await;
    }
    let (parts, body) = match buffered(request).await {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let deadline = Instant::now() + LEADER_WAIT;
    let mut leadership = api.backend.leadership();
    loop {
        let seen = *leadership.borrow_and_update();
        let answer = match seen.leader {
            _ if seen.is_self => Some(Ok(run_here(&api, &parts, &body, next.clone()).await)),
            Some(leader) => Some(forward::forward(&api, leader, &parts, &body).await),
            None => None,
        };
        match answer {
            Some(Ok(response)) if !nobody_led(&response) => return response,
            Some(Err(NoAnswer::Maybe)) if !is_read(&parts.method) => {
                return ApiError::outcome_unknown().into_response();
            }
            // Nothing was done there, so another try is safe.
            Some(Ok(_) | Err(_)) => {
                let until = deadline.min(Instant::now() + RETRY);
                let _changed = timeout_at(until, leadership.changed()).await;
            }
            None => {
                let _changed = timeout_at(deadline, leadership.changed()).await;
            }
        }
        if Instant::now() >= deadline {
            return ApiError::no_leader().into_response();
        }
    }
}

/// Runs a request that another node forwarded, if this node leads. It is never forwarded again,
/// so two nodes that take each other for the leader cannot send it back and forth.
pub(super) async fn here_or_nowhere(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    if !api.backend.leadership().borrow().is_self {
        return ApiError::no_leader().into_response();
    }
    match buffered(request).await {
        Ok((parts, body)) => run_here(&api, &parts, &body, next).await,
        Err(error) => error.into_response(),
    }
}

/// Runs the request on this node, which takes itself for the leader. A quorum has to agree before
/// a read; before a change, the log asks it.
async fn run_here(api: &ApiState, parts: &Parts, body: &Bytes, next: Next) -> Response {
    if !is_read(&parts.method) {
        return next.run(Request::from_parts(parts.clone(), Body::from(body.clone()))).await;
    }
    if let Err(error) = api.backend.confirm_leadership(LEADER_WAIT).await {
        return ApiError::from(error).into_response();
    }
    let mut parts = parts.clone();
    parts.extensions.insert(Age(Some(0)));
    with_age(next.run(Request::from_parts(parts, Body::from(body.clone()))).await, Some(0))
}

/// How old the answer may be, in milliseconds, for the handlers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age(pub(super) Option<u64>);

async fn stale(api: &ApiState, mut request: Request, next: Next) -> Response {
    // Only a leader knows how long ago a quorum agreed with it.
    let age = api.backend.status().quorum_acked_ms_ago;
    request.extensions_mut().insert(Age(age));
    with_age(next.run(request).await, age)
}

fn with_age(mut response: Response, age: Option<u64>) -> Response {
    if let Some(age) = age {
        response.headers_mut().insert(AGE_MS, HeaderValue::from(age));
    }
    response
}

fn wants_stale(request: &Request) -> bool {
    #[derive(Default, serde::Deserialize)]
    struct Options {
        #[serde(default)]
        consistency: Consistency,
    }
    // A malformed query is the handler's to refuse.
    let options = axum::extract::Query::<Options>::try_from_uri(request.uri());
    options.is_ok_and(|options| options.consistency == Consistency::Stale)
}

/// The whole body in memory, because it may have to be sent twice.
async fn buffered(request: Request) -> Result<(Parts, Bytes), ApiError> {
    let (parts, body) = request.into_parts();
    let too_large = || ApiError::new(Code::BodyTooLarge, format!("the body is over {MAX_BODY} bytes"));
    let declared = parts.headers.get(http::header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| too_large())?;
    Ok((parts, body))
}

fn nobody_led(response: &Response) -> bool {
    response.headers().get(PROBLEM_CODE).is_some_and(|code| code == Code::NoLeader.as_str())
}
