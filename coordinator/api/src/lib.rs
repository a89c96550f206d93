//! What travels between the parts of Pointsman: the operator API, the agent protocol, and the
//! TLS identities that both rest on.

pub mod agent;
pub mod client;
pub mod difference;
pub mod peer;
pub mod tls;
pub mod v1;
