//! Loses power at every step of the real storage code, in many ways, and opens what is left.
//!
//! The write-ahead log and the snapshots run on a [`SimDisk`](crate::disk::SimDisk) that writes
//! down every write, sync and renaming. From each prefix of that journal disks are made up that a
//! power loss at that moment may leave: with everything that was synced, and of the rest any
//! sectors and any renamings. The state store is sled's, on real files: there the disks are made
//! up of what was there when it was last synced and any sectors of what came later.
//!
//! The real code opens each of them. It must start, hold everything that was acknowledged before
//! that moment, and nothing that was never written.

mod log_model;
pub mod snapshot;
pub mod store;
pub mod wal;

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Report {
    /// Disks made up and opened.
    pub images: u64,
    /// What was wrong with the first that was not right.
    pub violation: Option<String>,
}
