//! Requests from the peers.

use super::Replica;

/// The routes of the cluster listener that carry Raft.
pub fn router(_replica: Replica) -> axum::Router {
    axum::Router::new()
}
