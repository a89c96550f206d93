//! Serving, until told to stop.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;

use super::ApiState;
use super::listen::Acceptor;
use super::timer::TokioTimer;

/// Operators' connections at once: people, scripts and dashboards.
const OPERATOR_CONNECTIONS: usize = 512;
/// Cluster connections at once: every agent keeps one to each node, and reconnects overlap.
const CLUSTER_CONNECTIONS: usize = 4096;

/// How long a connection may take to send a request's header, and may idle between requests
/// (HTTP/1).
const HEADER_LIMIT: Duration = Duration::from_secs(30);

/// Requests that one HTTP/2 connection may have open at once.
const STREAMS: u32 = 128;

/// How long running requests may take to end after the shutdown began.
const GRACE: Duration = Duration::from_secs(2);

/// Serves the operators' API until `shutdown` resolves and the last requests have ended.
///
/// # Errors
/// When the listener fails.
pub async fn serve_api(
    api: ApiState,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let keep_alive = KeepAlive { interval: Duration::from_secs(20), timeout: Duration::from_secs(10) };
    let acceptor = Acceptor::new(tls, OPERATOR_CONNECTIONS, false);
    serve(api.operator_router(), listener, acceptor, keep_alive, shutdown).await
}

/// Serves the cluster listener, with Raft's own routes in `raft`, until `shutdown` resolves and
/// the last requests have ended. `tls` must demand a member's certificate.
///
/// # Errors
/// When the listener fails.
pub async fn serve_cluster(
    api: ApiState,
    raft: Router,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    // The clients ping ten times as often; this only frees what a vanished peer has left behind.
    let keep_alive = KeepAlive { interval: Duration::from_secs(1), timeout: Duration::from_secs(2) };
    let acceptor = Acceptor::new(tls, CLUSTER_CONNECTIONS, true);
    serve(super::cluster::with_raft(api, raft), listener, acceptor, keep_alive, shutdown).await
}

/// HTTP/2 pings that find out whether the peer is still there.
struct KeepAlive {
    interval: Duration,
    timeout: Duration,
}

async fn serve(
    router: Router,
    listener: TcpListener,
    acceptor: Acceptor,
    keep_alive: KeepAlive,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let handle: Handle<SocketAddr> = Handle::new();
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer).header_read_timeout(HEADER_LIMIT);
    server
        .http_builder()
        .http2()
        .timer(TokioTimer)
        .keep_alive_interval(keep_alive.interval)
        .keep_alive_timeout(keep_alive.timeout)
        .max_concurrent_streams(STREAMS);
    let serving = server.serve(router.into_make_service());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown => handle.graceful_shutdown(Some(GRACE)),
    }
    serving.await
}
