//! How bindings are moved: the adapter contract and its implementations.
//!
//! - [`contract`]: what an adapter must do, and the one driver that uses it.
//! - [`registry`]: the configured adapters, by name.
//! - [`azure`]: Azure: public IPs and user-defined routes.
//! - [`agent`]: VIPs, which no adapter writes: the agents pull their lease.
//! - [`simulated`]: a cloud on loopback, with faults and a data plane, and its adapter.

pub mod agent;
pub mod azure;
pub mod contract;
pub mod registry;
pub mod simulated;

pub use contract::{
    Actual, Adapter, AdapterError, Backoff, Gate, Journal, MoveJob, PlaceJob, Pointing, Power, PowerOffJob,
    entangled, inspect, move_binding, move_bindings, place, places, power_off,
};
pub use registry::{AdapterKind, AdapterSpec, Adapters, RegistryError};
