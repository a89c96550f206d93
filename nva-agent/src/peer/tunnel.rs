//! The relay's far end: bytes between a peer and a coordinator, which this agent cannot read.
//!
//! Only to the coordinators of this agent's own configuration, a few tunnels at once, none that
//! is idle and none that carries more than reports ever do.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use coordinator_api::tls::node_dns_name;
use coordinator_core::ids::NodeId;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info};

/// Tunnels at once. A peer that has lost its own way keeps one to each coordinator.
const TUNNELS: usize = 32;
/// For the TCP connection to the coordinator.
const CONNECT: Duration = Duration::from_millis(1_000);
/// Copied at once.
const BUFFER: usize = 16 * 1024;
/// A tunnel is looked at this often.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes between two looks, both ways together: some hundred times what an agent sends.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The coordinators that peers may be relayed to, and who is.
pub(super) struct Tunnels {
    /// By `name:port`, as a client writes it.
    targets: BTreeMap<String, SocketAddr>,
    slots: Arc<Semaphore>,
    /// Its end is that of all tunnels.
    open: watch::Sender<()>,
}

impl Tunnels {
    pub(super) fn new(cluster_id: String, coordinators: BTreeMap<NodeId, SocketAddr>) -> Tunnels {
        let target = |(node, address): (NodeId, SocketAddr)| {
            (format!("{}:{}", node_dns_name(&cluster_id, node), address.port()), address)
        };
        let targets = coordinators.into_iter().map(target).collect();
        Tunnels { targets, slots: Arc::new(Semaphore::new(TUNNELS)), open: watch::Sender::new(()) }
    }

    /// Answers a `CONNECT`; the tunnel itself lives on in a task.
    pub(super) async fn open(&self, request: Request) -> Response {
        let Some(address) = request.uri().authority().and_then(|to| self.targets.get(to.as_str())) else {
            return (StatusCode::FORBIDDEN, "only the cluster's coordinators are relayed to").into_response();
        };
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return (StatusCode::SERVICE_UNAVAILABLE, "too many tunnels").into_response();
        };
        let address = *address;
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await;
        let coordinator = match connected.map_err(io::Error::from).and_then(|connected| connected) {
            Ok(stream) => stream,
            Err(error) => {
                debug!(%address, %error, "a coordinator was not reached for a peer");
                return (StatusCode::BAD_GATEWAY, error.to_string()).into_response();
            }
        };
        // Reports are small and urgent.
        let _ = coordinator.set_nodelay(true);
        let mut open = self.open.subscribe();
        tokio::spawn(async move {
            let _slot = slot;
            let carried = async {
                match hyper::upgrade::on(request).await {
                    Ok(peer) => carry(TokioIo::new(peer), coordinator, address).await,
                    Err(error) => debug!(%error, "a tunnel did not come about"),
                }
            };
            tokio::select! {
                () = carried => {}
                _ = open.changed() => {}
            }
        });
        StatusCode::OK.into_response()
    }
}

async fn carry<P>(peer: P, coordinator: TcpStream, address: SocketAddr)
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let carried = AtomicU64::new(0);
    let (peer_in, peer_out) = split(peer);
    let (coordinator_in, coordinator_out) = split(coordinator);
    info!(coordinator = %address, "relaying for a peer");
    let why = tokio::select! {
        ended = pump(peer_in, coordinator_out, &carried) => ended,
        ended = pump(coordinator_in, peer_out, &carried) => ended,
        why = look(&carried) => why,
    };
    info!(coordinator = %address, why, "no longer relaying for a peer");
}

/// Copies one way until the end. Either end of either way ends the tunnel: TLS inside it has no
/// use for half of one.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    carried: &AtomicU64,
) -> &'static str {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return "one end closed it",
            Ok(read) => read,
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        // What is read may wait in TLS until it is flushed.
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            return "one end closed it";
        }
        carried.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// Ends when the tunnel was idle, or carried too much, for a while.
async fn look(carried: &AtomicU64) -> &'static str {
    let mut before = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = carried.load(Ordering::Relaxed);
        match now - before {
            0 => return "it was idle",
            more if more > MAX_BYTES => return "it carried too much",
            _ => before = now,
        }
    }
}
