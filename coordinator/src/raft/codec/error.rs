//! What can be wrong with stored bytes.

use std::io;

use super::Kind;

/// Why bytes were not encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes do not start an envelope.
    #[error("the first byte is {found:#04x}, which starts no envelope")]
    Magic {
        /// As found.
        found: u8,
    },
    /// Written by a newer version, or not an envelope.
    #[error("envelope format {found} is not known to this version")]
    Format {
        /// As found.
        found: u8,
    },
    /// Written by a newer version.
    #[error("kind {number:#06x} is not known to this version; upgrade this node before it goes on")]
    UnknownKind {
        /// As found.
        number: u16,
    },
    /// Written by a newer version.
    #[error("schema {schema} of {kind:?} is not known to this version; upgrade this node before it goes on")]
    UnknownSchema {
        /// What it is.
        kind: Kind,
        /// In which layout.
        schema: u16,
    },
    /// Something else stands where this kind belongs.
    #[error("found {found:?} where {wanted:?} belongs")]
    OtherKind {
        /// What belongs there.
        wanted: Kind,
        /// What is there.
        found: Kind,
    },
    /// The bytes end too early.
    #[error("{wanted} bytes belong here, {found} are left")]
    Short {
        /// Needed.
        wanted: usize,
        /// Left.
        found: usize,
    },
    /// Bytes are left over.
    #[error("{bytes} bytes are left over")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The checksum does not fit.
    #[error("the checksum does not fit the content")]
    Checksum,
    /// Larger than an envelope may be.
    #[error("the payload is {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest possible.
        limit: usize,
    },
    /// The value cannot be written.
    #[error("could not encode the payload")]
    Encode {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The payload does not hold what its kind says.
    #[error("could not decode the payload")]
    Decode {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The payload decodes to something impossible.
    #[error("the payload is not valid: {detail}")]
    Invalid {
        /// Which rule is broken.
        detail: String,
    },
}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
