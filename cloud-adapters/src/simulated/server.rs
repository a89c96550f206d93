//! The simulated cloud's API over HTTP on loopback.
//!
//! `GET` and `PUT /v1/nics/{name}`, `/v1/route-tables/{name}` and `/v1/machines/{name}`, `GET
//! /v1/public-ips/{name}`: what a cloud has, with faults. Below `/admin`, without faults: `POST topology`, `PUT faults`,
//! `GET calls`, `GET history`, `GET listeners`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use super::cloud::Refusal;
use super::faults::{Fault, FaultPlan};
use super::model::{ErrorBody, Topology};
use super::shared::{Answer, Call, Shared};

/// Most bytes of a request.
const MAX_BODY: usize = 256 * 1024;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/nics/{name}", get(get_nic).put(put_nic))
        .route("/v1/public-ips/{name}", get(get_public_ip))
        .route("/v1/route-tables/{name}", get(get_table).put(put_table))
        .route("/v1/machines/{name}", get(get_machine).put(put_machine))
        .route("/admin/topology", post(add_topology))
        .route("/admin/faults", put(set_faults))
        .route("/admin/calls", get(|State(s): State<Arc<Shared>>| async move { Json(s.calls()) }))
        .route("/admin/history", get(|State(s): State<Arc<Shared>>| async move { Json(s.history()) }))
        .route("/admin/listeners", get(|State(s): State<Arc<Shared>>| async move { Json(s.listeners()) }))
        .layer(middleware::from_fn_with_state(shared.clone(), require_token))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

async fn require_token(State(shared): State<Arc<Shared>>, request: HttpRequest, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    match &shared.token {
        Some(token) if given != Some(token) => {
            refuse(Refusal::new(401, "Unauthorized", "a valid bearer token is needed"))
        }
        _ => next.run(request).await,
    }
}

async fn get_nic(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    answer(shared, Call::GetNic(name)).await
}

async fn get_public_ip(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    answer(shared, Call::GetPublicIp(name)).await
}

async fn get_table(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    answer(shared, Call::GetTable(name)).await
}

async fn put_nic(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match parse(&body) {
        Ok(nic) => answer(shared, Call::PutNic { name, if_match: if_match(&headers), nic }).await,
        Err(refusal) => refuse(refusal),
    }
}

async fn put_table(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match parse(&body) {
        Ok(table) => answer(shared, Call::PutTable { name, if_match: if_match(&headers), table }).await,
        Err(refusal) => refuse(refusal),
    }
}

async fn get_machine(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    answer(shared, Call::GetMachine(name)).await
}

async fn put_machine(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match parse(&body) {
        Ok(machine) => answer(shared, Call::PutMachine { name, if_match: if_match(&headers), machine }).await,
        Err(refusal) => refuse(refusal),
    }
}

async fn add_topology(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let topology: Topology = match parse(&body) {
        Ok(topology) => topology,
        Err(refusal) => return refuse(refusal),
    };
    match shared.add(topology).await {
        Ok(()) => Json(shared.listeners()).into_response(),
        Err(refusal) => refuse(refusal),
    }
}

async fn set_faults(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match parse::<FaultPlan>(&body) {
        Ok(plan) => {
            shared.set_faults(plan);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refusal) => refuse(refusal),
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(400, "InvalidRequest", error.to_string()))
}

fn if_match(headers: &HeaderMap) -> Option<String> {
    // An unreadable value is a version that nothing has, not the absence of a condition.
    headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap_or("unreadable").to_owned())
}

/// Carries out a call as its fate will have it.
async fn answer(shared: Arc<Shared>, call: Call) -> Response {
    let (number, fate) = shared.arrive(&call);
    let mut stopped = shared.stopped();
    let worker = shared.clone();
    // In a task of its own: a caller that goes away does not undo what it sent.
    let work = async move {
        tokio::time::sleep(fate.latency).await;
        let result = match fate.fault {
            Some(Fault::Throttle) => Err(throttled()),
            Some(Fault::Error) => {
                Err(Refusal::new(500, "InternalError", "a simulated fault; nothing was done"))
            }
            Some(Fault::Dead) => Err(lost()),
            Some(Fault::ApplyLate(by)) => {
                let late = worker.clone();
                worker.spawn(async move {
                    tokio::time::sleep(by).await;
                    late.note_result(number, &late.carry_out(call, fate.provisioning), " (late, reply lost)");
                });
                return Err(lost());
            }
            Some(Fault::LoseReply | Fault::Silent) => {
                worker.note_result(number, &worker.carry_out(call, fate.provisioning), " (reply lost)");
                return Err(lost());
            }
            None => worker.carry_out(call, fate.provisioning),
        };
        worker.note_result(number, &result, "");
        result
    };
    let result = shared.finish(work).await.unwrap_or_else(|| Err(lost()));
    if matches!(fate.fault, Some(Fault::Silent | Fault::Dead)) {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
    match result {
        Ok(Answer { etag, document }) => ([(header::ETAG, etag)], Json(document)).into_response(),
        Err(refusal) => refuse(refusal),
    }
}

fn lost() -> Refusal {
    Refusal::new(504, "GatewayTimeout", "a simulated fault; whether it was done is not said")
}

fn throttled() -> Refusal {
    let refusal = Refusal::new(429, "TooManyRequests", "a simulated fault; nothing was done");
    // Zero seconds would be no wish at all, and a second is too long for tests by the hundred:
    // the header is there, and tells a caller to come back as soon as its own backoff allows.
    Refusal { retry_after: Some(std::time::Duration::ZERO), ..refusal }
}

fn refuse(refusal: Refusal) -> Response {
    let Refusal { status, code, message, retry_after } = refusal;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Json(ErrorBody { code: code.to_owned(), message });
    match retry_after {
        Some(after) => (status, [(header::RETRY_AFTER, after.as_secs().to_string())], body).into_response(),
        None => (status, body).into_response(),
    }
}
