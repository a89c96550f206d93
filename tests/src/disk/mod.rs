//! A disk in memory that remembers what was synced and what was not.
//!
//! It implements the product's own file layer, so the real write-ahead log and the real snapshots
//! run on it. It can lose power, be written by a process that is killed, fill up, fail, be slow,
//! and lie. What it does follows from what it is asked and from a seed.

mod platter;
mod sim_disk;

pub use platter::{Loss, Platter, Step};
pub use sim_disk::{Fault, SimDisk};
