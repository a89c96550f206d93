//! This node as a client of the other coordinators, over mutual TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coordinator_api::tls;
use coordinator_core::ids::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A cheap handle. The client connects to each node by the name in its certificate.
#[derive(Debug, Clone)]
pub struct Peers {
    client: reqwest::Client,
    cluster_id: Arc<str>,
    nodes: Arc<BTreeMap<NodeId, SocketAddr>>,
}

/// Most bytes of an answer that [`Peers::post`] reads.
pub const MAX_ANSWER: usize = 4 * 1024;

/// Why a peer could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Not a declared coordinator.
    #[error("there is no coordinator {0}")]
    Unknown(NodeId),
    /// No answer, or not in time.
    #[error("could not reach coordinator {node}")]
    Unreachable {
        /// Which.
        node: NodeId,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It answered with an error.
    #[error("coordinator {node} answered {status}")]
    Refused {
        /// Which.
        node: NodeId,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is longer than any should be.
    #[error("coordinator {node} answered with more than {limit} bytes")]
    TooLong {
        /// Which.
        node: NodeId,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is no answer to the question.
    #[error("could not read the answer of coordinator {node}")]
    Unreadable {
        /// Which.
        node: NodeId,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Peers {
    /// `client` resolves the nodes' names: see [`tls::TlsMaterial::peer_client`].
    pub fn new(client: reqwest::Client, cluster_id: &str, nodes: BTreeMap<NodeId, SocketAddr>) -> Peers {
        Peers { client, cluster_id: cluster_id.into(), nodes: Arc::new(nodes) }
    }

    /// The client, for requests that need more than [`Peers::post`].
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The URL of `path` (starting with `/`) on a node's cluster listener.
    ///
    /// # Errors
    /// [`PeerError::Unknown`].
    pub fn url(&self, node: NodeId, path: &str) -> Result<String, PeerError> {
        let address = self.nodes.get(&node).ok_or(PeerError::Unknown(node))?;
        Ok(format!("{}{path}", tls::node_url(&self.cluster_id, node, address.port())))
    }

    /// Posts JSON, and reads an answer of at most [`MAX_ANSWER`] bytes of it.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn post<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        node: NodeId,
        path: &str,
        body: &T,
        deadline: Duration,
    ) -> Result<R, PeerError> {
        self.post_for(node, path, body, deadline, MAX_ANSWER).await
    }

    /// Like [`Peers::post`], for an answer of at most `limit` bytes.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn post_for<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        node: NodeId,
        path: &str,
        body: &T,
        deadline: Duration,
        limit: usize,
    ) -> Result<R, PeerError> {
        let unreachable = |source| PeerError::Unreachable { node, source };
        let request = self.client.post(self.url(node, path)?).json(body).timeout(deadline);
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(PeerError::Refused { node, status: status.as_u16() });
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + chunk.len() > limit {
                return Err(PeerError::TooLong { node, limit });
            }
            answer.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&answer).map_err(|source| PeerError::Unreadable { node, source })
    }
}
