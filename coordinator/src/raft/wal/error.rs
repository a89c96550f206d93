//! What can be wrong with the write-ahead log.

use std::io;

/// Why the log was not opened or did not take a write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// A file operation failed.
    #[error("could not {action} {file}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// Something that was acknowledged is gone or altered. The log is left as it was found.
    #[error(
        "{file} is damaged at offset {offset}: {detail}. Acknowledged entries may be lost, so the node does not \
         start. Check the disk. Then move the whole data directory aside and start again: the node \
         catches up from its peers, which must both be up"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// The disk is full.
    #[error("there is no room for {file}")]
    Full {
        /// Which file could not be written.
        file: String,
    },
    /// An earlier write failed: nothing more is written by this process.
    #[error("the log has stopped: {detail}")]
    Stopped {
        /// What happened.
        detail: String,
    },
}
