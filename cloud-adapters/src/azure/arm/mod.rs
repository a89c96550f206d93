//! Azure Resource Manager over HTTP: one call at a time, what its failure means, and how long a
//! change takes.
//!
//! - [`ArmClient`]: reads are repeated, writes never; a refused token is renewed once.
//! - `failure`: errors by class.
//! - `operation`: long-running operations, until they have ended.
//! - `throttle`, `breaker`: when not to ask at all.

mod breaker;
mod client;
mod failure;
mod operation;
mod throttle;

pub(in crate::azure) use client::NETWORK;
pub use client::{ArmClient, Reply};
pub use failure::{CallError, CallFailure, Class};
