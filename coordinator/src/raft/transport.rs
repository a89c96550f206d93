//! How requests reach the peers: over HTTP/2 with mutual TLS, or through a simulated network.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use coordinator_core::ids::NodeId;
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// The longest answer that is read.
pub const MAX_REPLY: usize = 64 << 10;

/// A POST to a peer.
#[derive(Debug, Clone)]
pub struct PeerRequest {
    /// Which peer.
    pub target: NodeId,
    /// `host:port` of its cluster listener, as configured.
    pub address: String,
    /// The path, with the leading slash.
    pub path: String,
    /// Names and values: the cluster, the sender, the receiver.
    pub headers: [(&'static str, String); 3],
    /// A binary message.
    pub body: Bytes,
    /// After so long the answer is of no use any more.
    pub deadline: Duration,
}

/// A peer's answer, whatever its status.
#[derive(Debug, Clone)]
pub struct PeerReply {
    /// The HTTP status.
    pub status: u16,
    /// At most [`MAX_REPLY`] bytes.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// None in time; the peer may have acted on the request.
    #[error("no answer in time")]
    TimedOut,
    /// The request or the answer was lost. The peer may have acted on the request.
    #[error("the request failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More than [`MAX_REPLY`] bytes.
    #[error("the answer is longer than {MAX_REPLY} bytes")]
    TooLong,
}

/// The way to the peers.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request and waits for the answer, for as long as the request's deadline.
    ///
    /// # Errors
    /// [`TransportError`]
    fn post(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerReply, TransportError>>;
}

/// Gives the base URL of a peer (`https://host:port`, no trailing slash) from its node id and the
/// `host:port` of its cluster listener.
pub type PeerUrls = Arc<dyn Fn(NodeId, &str) -> String + Send + Sync>;

/// HTTP/2, with the client's certificate.
#[derive(Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    urls: PeerUrls,
}

impl HttpTransport {
    /// A transport to peers at `https://<address>`. The client carries this node's certificate and
    /// verifies theirs; build it with [`tuned`](super::network::tuned).
    pub fn new(client: reqwest::Client) -> Self {
        Self { client, urls: Arc::new(|_, address| format!("https://{address}")) }
    }

    /// The same, with peers at other URLs.
    #[must_use]
    pub fn with_urls(self, urls: impl Fn(NodeId, &str) -> String + Send + Sync + 'static) -> Self {
        Self { urls: Arc::new(urls), ..self }
    }
}

impl Transport for HttpTransport {
    fn post(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerReply, TransportError>> {
        let base = (self.urls)(request.target, &request.address);
        let mut post = self.client.post(format!("{base}{}", request.path)).timeout(request.deadline);
        for (name, value) in request.headers {
            post = post.header(name, value);
        }
        let post = post.header(reqwest::header::CONTENT_TYPE, "application/octet-stream").body(request.body);
        async move {
            let mut response = post.send().await.map_err(failed)?;
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(failed)? {
                if body.len() + piece.len() > MAX_REPLY {
                    return Err(TransportError::TooLong);
                }
                body.extend_from_slice(&piece);
            }
            Ok(PeerReply { status: response.status().as_u16(), body })
        }
        .boxed()
    }
}

fn failed(error: reqwest::Error) -> TransportError {
    // A connection that is not made in time says that the peer is not there, not that it is slow.
    if error.is_timeout() && !error.is_connect() {
        TransportError::TimedOut
    } else {
        TransportError::Failed(Box::new(error))
    }
}
