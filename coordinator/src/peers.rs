//! This node as a client of the other coordinators, over mutual TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coordinator_api::tls;
use coordinator_core::ids::NodeId;
use serde::Serialize;

/// A cheap handle. The client connects to each node by the name in its certificate.
#[derive(Debug, Clone)]
pub struct Peers {
    client: reqwest::Client,
    cluster_id: Arc<str>,
    nodes: Arc<BTreeMap<NodeId, SocketAddr>>,
}

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

    /// Posts JSON and expects success; the answer's body is not read.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn post<T: Serialize + Sync>(
        &self,
        node: NodeId,
        path: &str,
        body: &T,
        deadline: Duration,
    ) -> Result<(), PeerError> {
        let request = self.client.post(self.url(node, path)?).json(body).timeout(deadline);
        let response = request.send().await.map_err(|source| PeerError::Unreachable { node, source })?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(PeerError::Refused { node, status: status.as_u16() }) }
    }
}
