//! How bindings are moved: the adapter contract and its implementations.

pub mod contract;
