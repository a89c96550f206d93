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
    /// A whole batch holds something that this version cannot read.
    #[error("{file} holds a batch at offset {offset} that this version cannot read; nothing was changed")]
    Unreadable {
        /// Which file.
        file: String,
        /// Where the batch starts, in bytes.
        offset: u64,
        /// What is not understood.
        source: crate::raft::codec::CodecError,
    },
    /// The disk is full.
    #[error("there is no room for {file}")]
    Full {
        /// Which file could not be written.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A thread of the log could not be started.
    #[error("could not start a thread of the log")]
    Thread {
        /// Why not.
        source: io::Error,
    },
    /// An earlier write failed: nothing more is written by this process.
    #[error("the log has stopped: {detail}")]
    Stopped {
        /// What happened.
        detail: String,
    },
}

impl WalError {
    /// The error of a failed file operation; a full disk is told apart.
    pub(super) fn io(action: &'static str, file: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { file, source },
            _ => Self::Io { action, file, source },
        }
    }
}

impl From<&WalError> for io::Error {
    fn from(error: &WalError) -> io::Error {
        let kind = match error {
            WalError::Full { .. } => io::ErrorKind::StorageFull,
            WalError::Io { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        io::Error::new(kind, format!("{error}{cause}"))
    }
}
