//! The harness of the multi-process tests: real binaries, real sockets, real kills.
//!
//! [`cluster`] makes a cluster with the product's own `init` and starts its processes, on
//! loopback or on the hosts of a [`netns::Network`]. [`timeline`] reads what the helpers
//! `traffic-client` and `arp-watch` saw, [`probes`] what `load-balancer` did.

pub mod api;
pub mod azure;
pub mod clock;
pub mod cluster;
pub mod cluster_sim;
pub mod command;
pub mod disk;
pub mod groups;
pub mod loop_disk;
pub mod model;
pub mod netns;
pub mod pools;
pub mod power_loss;
pub mod privileged;
pub mod probes;
pub mod process;
pub mod records;
pub mod service;
pub mod sim;
pub mod timeline;
pub mod tiny_disk;
pub mod wait;
