//! What the measurements share.
//!
//! Each binary under `src/bin` measures one subject and prints a table of medians and ratios.
//! Nothing is asserted: a figure depends on the machine, and a ratio to something measured in the
//! same run depends on it less.

pub mod cluster;
pub mod disk;
pub mod failover;
pub mod fixture;
pub mod stats;
