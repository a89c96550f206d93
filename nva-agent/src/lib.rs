//! The agent that runs on each appliance: it reports to the coordinators, pulls its lease, and
//! holds the group's virtual IPs, and answers load balancers' probes, while it has one.
//!
//! - [`lease`] is the rule, pure; `holder` the thread that keeps disk, interfaces and lease in step.
//! - `vip` holds addresses so that the kernel ends them: `addresses` gives them a lifetime
//!   (`netlink`), `gate` shuts them off to the millisecond, `announce` tells the neighbours.
//! - `probe_gate` answers health probes on ports that the kernel shuts in the same way: `gate_time` and
//!   `nft` (`nft_wire`) are what it shares with `gate`.
//! - [`token_store`] is what outlives the process.
//! - `reporter` talks to the coordinators, `relayed` through a peer where that is the only way;
//!   [`health`] answers those who ask.
//! - `peer` is what the agents of a group do for each other.
//! - `notices` is what is announced to happen to the machine; `farewell` the end of an agent that is
//!   asked to stop.
//!
//! Nothing but `holder` decides what is on an interface, and nothing is on one without a lifetime
//! that ends within the lease.

mod addresses;
mod announce;
mod changes;
mod cli;
mod clock;
mod contacts;
mod enforcer;
mod farewell;
mod gate;
mod gate_time;
pub mod health;
mod holder;
mod interfaces;
pub mod lease;
mod netlink;
mod nft;
mod nft_wire;
mod notices;
mod peer;
mod probe_gate;
mod relayed;
mod reporter;
mod service;
mod standing;
pub mod token_store;
mod vip;

pub use cli::{main, options, run_from_config};
pub use contacts::Contact;
pub use farewell::Stop;
pub use peer::{PeerListenError, PeerOptions};
pub use probe_gate::GateHealth;
pub use service::{
    Agent, Coordinator, DEFAULT_INTERVAL, Error, Handle, LONGEST_INTERVAL, Options, SHORTEST_INTERVAL,
};
pub use standing::Standing;
pub use vip::AllowedInterfaces;
