//! Typed TOML configuration.
//!
//! A file is refused as a whole or taken as a whole. When it is refused, every fault is reported
//! at once, each with the file, the line, the path of the value, the value seen and the rule that
//! it breaks; see `config/tests/faults` for what that looks like. Keys that nobody knows are
//! faults too: a misspelt key that is ignored is an outage that waits.
//!
//! | file | read by | function |
//! | --- | --- | --- |
//! | `pointsman.toml` | a coordinator | [`load_coordinator`] |
//! | `nva-agent.toml` | an agent | [`load_agent`] |
//! | `cli.toml` | the operator's command line | [`load_cli`] |
//! | groups only | `pointsman apply` | [`load_declarations`] |

pub mod agent;
mod check;
pub mod cli;
mod cluster_id;
pub mod coordinator;
mod decode;
pub mod duration;
mod fault;
pub mod groups;
mod pools;
mod tls;
pub mod write;

pub use agent::{AgentConfig, load as load_agent};
pub use check::{Summary, check};
pub use cli::{CliContext, load as load_cli};
pub use cluster_id::ClusterId;
pub use coordinator::{CoordinatorConfig, load as load_coordinator};
pub use fault::{ConfigFaults, Fault};
pub use groups::{Declarations, load as load_declarations};
pub use tls::TlsPaths;
