//! Answers the agents of the group's other appliances. No secrets, and nothing that changes
//! anything here but a promise.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use axum_server::Handle;
use coordinator_api::peer::{
    MAX_BODY, PING_PATH, PROMISE_PATH, PingReply, PingRequest, PromiseReply, PromiseRequest,
};
use coordinator_api::tls::PeerIdentity;
use coordinator_core::ids::{ApplianceName, GroupName};
use hyper_util::rt::TokioTimer;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::PeerOptions;
use super::listen::{Acceptor, CONNECTIONS};
use super::tunnel::Tunnels;
use crate::holder::{PeerEvent, stranger};
use crate::standing::Standing;

/// A request, from its header to its answer. A promise may wait for the disk that long.
const LIMIT: Duration = Duration::from_secs(2);
/// A connection may take this long to send a request's header, and idle between two (HTTP/1).
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// Requests that one HTTP/2 connection may have open at once.
const STREAMS: u32 = 16;
/// HTTP/2 pings that free what a vanished peer has left behind.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct PeerServer {
    pub(crate) appliance: ApplianceName,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) events: mpsc::Sender<PeerEvent>,
}

type Refused = (StatusCode, String);

/// The listeners at work. Dropping it ends them and all their connections.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    tasks: JoinSet<()>,
    handles: Vec<Handle<SocketAddr>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Connections are tasks of their own, which would go on to answer.
        self.handles.iter().for_each(Handle::shutdown);
    }
}

/// Serves on all of these.
pub(crate) fn serve(listeners: Vec<TcpListener>, options: &PeerOptions, server: &PeerServer) -> Serving {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let tunnels = Tunnels::new(options.tls.identity().cluster_id.clone(), options.coordinators.clone());
    let routes = Router::new()
        .route(PROMISE_PATH, post(promise))
        .route(PING_PATH, post(ping))
        .with_state(server.clone())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(time_limit))
        .layer(from_fn_with_state((server.clone(), Arc::new(tunnels)), relay));
    let mut serving = Serving::default();
    for listener in listeners {
        let acceptor = Acceptor::new(options.tls.mutual_server_config(), slots.clone());
        let (routes, handle) = (routes.clone(), Handle::new());
        serving.handles.push(handle.clone());
        serving.tasks.spawn(async move {
            let served = async {
                let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle);
                server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
                let mut http2 = server.http_builder().http2();
                http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
                http2.keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
                server.serve(routes.into_make_service()).await
            };
            if let Err(error) = served.await {
                error!(%error, "a listener for peers ended");
            }
        });
    }
    serving
}

impl PeerServer {
    /// Whether `peer` speaks for `appliance`, which the group declares.
    fn admit(
        &self,
        peer: &PeerIdentity,
        appliance: &ApplianceName,
        group: &GroupName,
    ) -> Result<(), Refused> {
        if *peer != PeerIdentity::Agent(appliance.clone()) {
            warn!(%peer, %appliance, "somebody spoke for an appliance that its certificate does not name");
            return Err((StatusCode::FORBIDDEN, format!("{peer} may not speak for {appliance}")));
        }
        let standing = self.standing.borrow();
        match stranger(standing.group.as_deref(), group, appliance) {
            Some(why) => Err((StatusCode::FORBIDDEN, why.to_owned())),
            None => Ok(()),
        }
    }
}

async fn ping(
    State(server): State<PeerServer>,
    Extension(peer): Extension<PeerIdentity>,
    Json(request): Json<PingRequest>,
) -> Result<Json<PingReply>, Refused> {
    server.admit(&peer, &request.appliance, &request.group)?;
    Ok(Json(PingReply { appliance: server.appliance.clone() }))
}

async fn promise(
    State(server): State<PeerServer>,
    Extension(peer): Extension<PeerIdentity>,
    Json(request): Json<PromiseRequest>,
) -> Result<Json<PromiseReply>, Refused> {
    server.admit(&peer, &request.appliance, &request.group)?;
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "the lease's owner is busy".to_owned());
    let (reply, replied) = oneshot::channel();
    server.events.try_send(PeerEvent::Asked { request, reply }).map_err(|_| busy())?;
    replied.await.map(Json).map_err(|_| busy())
}

async fn time_limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// `CONNECT` goes to the tunnels, everything else to the routes.
async fn relay(
    State((server, tunnels)): State<(PeerServer, Arc<Tunnels>)>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::CONNECT {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<PeerIdentity>().cloned();
    let declared = match &peer {
        Some(PeerIdentity::Agent(appliance)) => {
            let group = server.standing.borrow().group.clone();
            group.is_some_and(|group| group.peers.iter().any(|peer| peer.appliance == *appliance))
        }
        _ => false,
    };
    if !declared {
        return (StatusCode::FORBIDDEN, "only the group's own appliances are relayed").into_response();
    }
    match tokio::time::timeout(LIMIT, tunnels.open(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}
