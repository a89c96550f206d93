//! TLS identities. One provider (ring), TLS 1.3 and 1.2, and no way to switch verification off.
//!
//! A node's certificate carries the URI `pointsman://<cluster-id>/node/<id>` and the DNS name
//! `node-<id>.<cluster-id>.pointsman`; an agent's the URI `pointsman://<cluster-id>/agent/<name>`
//! and `agent-<name>.<cluster-id>.pointsman`. Clients connect to those names, resolved to the
//! configured addresses, so an address that changes hands is noticed.

use coordinator_core::ids::{ApplianceName, NodeId};

/// Who is at the other end of a mutual TLS connection. The cluster listener inserts it into
/// each request as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerIdentity {
    /// A coordinator.
    Node(NodeId),
    /// The agent of an appliance.
    Agent(ApplianceName),
}
