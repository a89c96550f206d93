//! From a TCP connection to a peer's request: the limit of connections, TLS, and who it is.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use coordinator_api::tls::{PeerIdentity, identity_of};
use futures::future::BoxFuture;
use http::Request;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tower::Service;

/// Connections at once, over all listeners. A group's other 15 appliances keep one for pings and
/// promises on each of two paths and one for each tunnel, and reconnects overlap.
pub(super) const CONNECTIONS: usize = 256;
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// Waiting connections; more are refused by the kernel.
const BACKLOG: i32 = 128;

/// An address for peers could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address} for the group's other appliances; correct `peer_listen`")]
pub struct PeerListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens on `address`, which need not be on this machine yet: an appliance must not fail to
/// start because its direct link is down.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, PeerListenError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_freebind_v6(true)?;
            }
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    open().map_err(|source| PeerListenError { address, source })
}

/// Accepts a connection: a free slot, the handshake in time, and a certificate of the cluster.
#[derive(Clone)]
pub(super) struct Acceptor {
    tls: RustlsAcceptor,
    slots: Arc<Semaphore>,
}

impl Acceptor {
    /// `tls` must demand a member's certificate.
    pub(super) fn new(tls: Arc<rustls::ServerConfig>, slots: Arc<Semaphore>) -> Acceptor {
        let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls)).handshake_timeout(HANDSHAKE);
        Acceptor { tls, slots }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = TlsStream<TcpStream>;
    type Service = Connection<S>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let tls = self.tls.clone();
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        Box::pin(async move {
            let slot = slot.map_err(|_| io::Error::other("too many connections"))?;
            stream.set_nodelay(true)?;
            let (stream, service) = tls.accept(stream, service).await?;
            let peer = peer_of(&stream)?;
            Ok((stream, Connection { service, peer, _slot: Arc::new(slot) }))
        })
    }
}

fn peer_of(stream: &TlsStream<TcpStream>) -> io::Result<PeerIdentity> {
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.ok_or_else(|| io::Error::other("the peer showed no certificate"))?;
    identity_of(certificate).map(|identity| identity.peer).map_err(io::Error::other)
}

/// The service of one connection: tells each request who sent it, and holds the connection's slot.
#[derive(Clone)]
pub(super) struct Connection<S> {
    service: S,
    peer: PeerIdentity,
    _slot: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Connection<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.service.call(request)
    }
}
