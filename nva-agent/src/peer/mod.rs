//! What the agents of one group do for each other.
//!
//! - `link`: the ways to each peer, and how each of them is; `path_health` is the rule.
//! - `promiser` asks all peers to accept no lease while the coordinators do not renew.
//! - `server` answers peers: pings, promises, and `tunnel`s to coordinators. `listen` lets in the
//!   agents of the cluster and nobody else.
//!
//! What a peer is told about the lease is decided by the lease's owner alone (`holder`).

pub(crate) mod link;
mod listen;
mod path_health;
pub(crate) mod promiser;
pub(crate) mod server;
mod tunnel;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use coordinator_api::tls::TlsMaterial;
use coordinator_core::ids::NodeId;

pub use listen::PeerListenError;
pub(crate) use listen::bind;

/// What an agent needs to speak with its peers.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    /// Where it listens for them; empty for nowhere. An address that is not on this machine yet
    /// is listened on all the same.
    pub listen: Vec<SocketAddr>,
    /// The agent's certificate and the cluster's authority.
    pub tls: TlsMaterial,
    /// Where peers may be relayed to, and nowhere else.
    pub coordinators: BTreeMap<NodeId, SocketAddr>,
}
