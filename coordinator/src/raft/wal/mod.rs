//! The write-ahead log: entries, votes and what is committed, on disk before it is acknowledged.
//!
//! One thread writes. Whatever waits while a batch is being synced goes into the next batch
//! together (group commit), and only then is anyone told. Batches fill preallocated segments full
//! of zeros; the next segment is made in the background.
//!
//! On opening, an unfinished batch at the end that was never acknowledged is cut. Anything else
//! that is not whole stops the node with the file, the offset and what to do.

mod error;
mod frame;
mod index;
mod log;
#[cfg(test)]
mod memory;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use error::WalError;
pub use log::{SEGMENT_SIZE, Wal};
pub(super) use segment::ROOM;
