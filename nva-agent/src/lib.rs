//! The agent that runs on each appliance: it reports to the coordinators, pulls its lease, and
//! holds the group's virtual IPs while it has one.
//!
//! - [`lease`] is the rule, pure; `holder` the thread that keeps disk, interfaces and lease in step.
//! - `vip`, `netlink` and `announce` put addresses on interfaces so that the kernel ends them.
//! - [`token_store`] is what outlives the process.
//! - `reporter` talks to the coordinators; [`health`] answers those who ask.
//!
//! Nothing but `holder` decides what is on an interface, and nothing is on one without a lifetime
//! that ends within the lease.

mod announce;
mod cli;
mod clock;
mod contacts;
pub mod health;
mod holder;
mod interfaces;
pub mod lease;
mod netlink;
mod reporter;
mod service;
mod standing;
pub mod token_store;
mod vip;

pub use cli::{main, options, run_from_config};
pub use contacts::Contact;
pub use service::{
    Agent, Coordinator, DEFAULT_INTERVAL, Error, Handle, LONGEST_INTERVAL, Options, SHORTEST_INTERVAL,
};
pub use standing::Standing;
pub use vip::AllowedInterfaces;
