//! The two listeners. Handlers propose or read, nothing else.
//!
//! - Operators: `/v1` with a bearer token, `/healthz` and `/readyz` without ([`operators`]).
//! - Cluster: Raft, forwarded requests, the followers' views and the agents' reports, each only
//!   from the certificate that may send it ([`cluster`]).
//!
//! A request on its way in: connection limit and TLS ([`listen`]) → request id and log line
//! ([`edge`]) → concurrency and time limits ([`edge`]) → who asks ([`auth`]) → to the leader if it
//! must be answered there ([`lead`]) → a handler in [`routes`].

mod auth;
mod backend;
mod cluster;
mod edge;
mod error;
mod extract;
mod forward;
mod lead;
mod limits;
mod listen;
mod operators;
mod routes;
mod serve;
mod timer;
mod view;

use std::sync::Arc;

pub use auth::Tokens;
pub use backend::{Backend, Node};
pub(crate) use error::chain;
pub use limits::GroupLimits;
pub use listen::{ListenError, bind};
pub use serve::{serve_api, serve_cluster};

use crate::peers::Peers;

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    backend: Arc<dyn Backend>,
    tokens: Arc<Tokens>,
    peers: Peers,
}

impl ApiState {
    /// `peers` reaches the other nodes' cluster listeners.
    pub fn new(backend: impl Backend, tokens: Tokens, peers: Peers) -> ApiState {
        ApiState { backend: Arc::new(backend), tokens: Arc::new(tokens), peers }
    }

    /// The operators' routes, without a listener.
    pub fn operator_router(&self) -> axum::Router {
        operators::router(self.clone())
    }

    /// The cluster listener's routes apart from Raft's, without a listener. Requests must carry a
    /// [`PeerIdentity`](coordinator_api::tls::PeerIdentity) extension.
    pub fn cluster_router(&self) -> axum::Router {
        cluster::router(self.clone())
    }
}
