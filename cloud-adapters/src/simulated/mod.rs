//! A cloud on loopback: public IPs, NICs and route tables over REST, with seeded delays and
//! faults, and a data plane that really forwards TCP to where each binding points. So an outage
//! is measured and not claimed.
//!
//! - [`model`]: the documents that the API speaks.
//! - [`cloud`]: what the cloud does with them. No clock, no socket: time is a parameter.
//! - [`faults`]: which call is delayed, refused, lost or late, from a seed.
//! - `server` and `dataplane`: the two ways in, over TCP on loopback.
//! - [`arm`]: another cloud, in the likeness of Azure, for that adapter.
//! - [`SimulatedAdapter`]: the other end, which the coordinators use.
//!
//! It is a test tool that every user gets, for `pointsman demo`: it refuses to listen on, or to
//! be reached at, anything but a loopback address.

mod adapter;
pub mod arm;
mod client;
pub mod cloud;
mod dataplane;
pub mod faults;
pub mod model;
mod running;
mod server;
mod shared;

pub use adapter::SimulatedAdapter;
pub use client::SimulatedAdapterError;
pub use running::{Options, Running, SimulatedCloud, StartError};
