//! From a TCP connection to requests: the connection limit, TLS, and who is at the other end.

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
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::error::chain;

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "the {what} cannot listen on {address}: another process does already; \
         stop that one, or choose another address in the configuration"
    )]
    InUse {
        /// Which listener.
        what: &'static str,
        /// The configured address.
        address: SocketAddr,
    },
    /// Any other cause.
    #[error("the {what} cannot listen on {address}")]
    Failed {
        /// Which listener.
        what: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Opens a listener, so that a node which cannot have it fails before it does anything else.
/// `what` names it in the error, for instance `operators' listener`.
///
/// # Errors
/// [`ListenError`] with the address.
pub fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    let open = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { what, address },
        _ => ListenError::Failed { what, address, source },
    })
}

/// Accepts a connection: a free slot, the handshake in time, and a certificate with an identity
/// where one is demanded.
#[derive(Clone)]
pub(super) struct Acceptor {
    tls: RustlsAcceptor,
    slots: Arc<Semaphore>,
    mutual: bool,
}

impl Acceptor {
    /// At most `connections` at once; with `mutual`, only from members of the cluster.
    pub(super) fn new(tls: Arc<rustls::ServerConfig>, connections: usize, mutual: bool) -> Acceptor {
        let tls =
            RustlsAcceptor::new(RustlsConfig::from_config(tls)).handshake_timeout(Duration::from_secs(3));
        Acceptor { tls, slots: Arc::new(Semaphore::new(connections)), mutual }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = TlsStream<TcpStream>;
    type Service = Connection<S>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (tls, mutual) = (self.tls.clone(), self.mutual);
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        Box::pin(async move {
            // No answer is possible before the handshake, and the handshake is the expensive part.
            let slot = slot.map_err(|_| io::Error::other("too many connections"))?;
            stream.set_nodelay(true)?;
            let (stream, service) = tls.accept(stream, service).await.inspect_err(|error| {
                tracing::debug!(error = chain(error), "a TLS handshake failed");
            })?;
            let peer = if mutual { Some(peer_of(&stream)?) } else { None };
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
    peer: Option<PeerIdentity>,
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
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        self.service.call(request)
    }
}
