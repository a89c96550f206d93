//! How values become bytes on disk and between peers. The only place that knows bincode.
//!
//! bincode writes values without names or types, so nothing is stored bare. Every value travels
//! in an envelope that says what it is:
//!
//! ```text
//! magic u8 | format u8 | kind u16 | schema u16 | len u32 | crc32c u32 | payload (len bytes)
//! ```
//!
//! Integers are little-endian. The checksum covers the ten bytes before it and the payload.
//!
//! Rules, each against a way in which bincode fails silently:
//! - a kind number is never reused and says which enum variant the payload must hold, because a
//!   variant inserted in the middle of an enum decodes as its neighbour;
//! - a payload must be consumed to its last byte, because trailing bytes are otherwise ignored;
//! - a changed struct gets a new schema number and keeps a frozen copy of the old layout, because
//!   an added field fails to decode even with a default;
//! - an unknown kind or schema is an error, and an error in the log stops the node: a command that
//!   cannot be read is never skipped;
//! - no stored type is recursive or has elements of size zero, because neither is bounded by the
//!   length limit. Every element takes at least a byte, so a payload bounds its element count.

mod entry;
mod error;
mod frozen;
#[cfg(test)]
mod golden;
mod kind;
mod message;
mod record;

pub use entry::encoded_command_len;
pub use error::CodecError;
pub use kind::Kind;
pub(in crate::raft) use message::MAX_ENTRIES;
pub use message::{
    AppendHead, AppendReply, BallotReply, BallotRequest, Hello, SnapshotHead, SnapshotReply, TransferReply,
    TransferRequest,
};
pub use record::{SnapshotEnd, SnapshotHeader, StateMeta, WalRecord};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest payload of one envelope.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// The bytes before the payload.
pub const HEADER_LEN: usize = 14;

const MAGIC: u8 = 0xB5;
const FORMAT: u8 = 1;

/// A value that has an envelope of its own.
pub trait Stored: Sized {
    /// What it is, in which layout, and its payload.
    ///
    /// # Errors
    /// [`CodecError`] when the payload is too large.
    fn seal(&self) -> Result<(Kind, u16, Vec<u8>), CodecError>;

    /// Rebuilds the value.
    ///
    /// # Errors
    /// [`CodecError`] when the kind, the schema or the payload is not one of this type's.
    fn open(kind: Kind, schema: u16, payload: &[u8]) -> Result<Self, CodecError>;
}

/// Appends `value` in its envelope to `out`.
///
/// # Errors
/// [`CodecError::TooLarge`]; `out` is then unchanged.
pub fn encode_into<T: Stored>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let (kind, schema, payload) = value.seal()?;
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut head = [0_u8; HEADER_LEN - 4];
    head[0] = MAGIC;
    head[1] = FORMAT;
    head[2..4].copy_from_slice(&kind.number().to_le_bytes());
    head[4..6].copy_from_slice(&schema.to_le_bytes());
    head[6..10].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &payload);
    out.reserve(HEADER_LEN + payload.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&payload);
    Ok(())
}

/// `value` in its envelope.
///
/// # Errors
/// [`CodecError::TooLarge`]
pub fn encode<T: Stored>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// The value whose envelope is all of `bytes`.
///
/// # Errors
/// [`CodecError`]
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = Reader::new(bytes);
    let value = reader.read()?;
    reader.finish()?;
    Ok(value)
}

/// Reads one envelope after another.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the next value.
    ///
    /// # Errors
    /// [`CodecError`]; the reader stays where it was.
    pub fn read<T: Stored>(&mut self) -> Result<T, CodecError> {
        let (kind, schema, payload, rest) = split(self.rest)?;
        let value = T::open(kind, schema, payload)?;
        self.rest = rest;
        Ok(value)
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// [`CodecError::Trailing`]
    pub fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Trailing { bytes: self.rest.len() }) }
    }
}

/// Kind, schema, payload, and what follows the envelope.
type Parts<'a> = (Kind, u16, &'a [u8], &'a [u8]);

fn split(bytes: &[u8]) -> Result<Parts<'_>, CodecError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(CodecError::Short { wanted: HEADER_LEN, found: bytes.len() });
    };
    let [magic, format, k0, k1, s0, s1, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    if magic != MAGIC {
        return Err(CodecError::Magic { found: magic });
    }
    if format != FORMAT {
        return Err(CodecError::Format { found: format });
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if len > MAX_PAYLOAD {
        return Err(CodecError::TooLarge { bytes: len, limit: MAX_PAYLOAD });
    }
    let Some((payload, rest)) = rest.split_at_checked(len) else {
        return Err(CodecError::Short { wanted: len, found: rest.len() });
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..HEADER_LEN - 4]), payload);
    if crc != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(CodecError::Checksum);
    }
    let number = u16::from_le_bytes([k0, k1]);
    let kind = Kind::from_number(number).ok_or(CodecError::UnknownKind { number })?;
    Ok((kind, u16::from_le_bytes([s0, s1]), payload, rest))
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_PAYLOAD>()
}

/// Payload bytes of a frozen layout.
fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let payload = bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|source| CodecError::Encode { source: Box::new(source) })?;
    if payload.len() > MAX_PAYLOAD {
        return Err(CodecError::TooLarge { bytes: payload.len(), limit: MAX_PAYLOAD });
    }
    Ok(payload)
}

/// A frozen layout from payload bytes, all of them.
fn unpack<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    let (value, consumed) = bincode::serde::decode_from_slice(payload, config())
        .map_err(|source| CodecError::Decode { source: Box::new(source) })?;
    if consumed != payload.len() {
        return Err(CodecError::Trailing { bytes: payload.len() - consumed });
    }
    Ok(value)
}

/// Refuses any kind but `wanted` and any schema but `known`.
fn expect(wanted: Kind, known: u16, kind: Kind, schema: u16) -> Result<(), CodecError> {
    if kind != wanted {
        return Err(CodecError::OtherKind { wanted, found: kind });
    }
    if schema != known {
        return Err(CodecError::UnknownSchema { kind, schema });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::log_id;

    fn sample() -> Vec<u8> {
        encode(&WalRecord::Purge(log_id(3, 9))).unwrap()
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sample();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<WalRecord>(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_shortened_or_lengthened_envelope_is_refused() {
        let good = sample();
        for len in 0..good.len() {
            assert!(decode::<WalRecord>(&good[..len]).is_err(), "{len} bytes");
        }
        let mut long = good;
        long.push(0);
        assert!(matches!(decode::<WalRecord>(&long), Err(CodecError::Trailing { bytes: 1 })));
    }

    #[test]
    fn unknown_kinds_and_schemas_are_errors() {
        let reseal = |at: usize, value: u16| {
            let mut bytes = sample();
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..10]), &bytes[HEADER_LEN..]);
            bytes[10..14].copy_from_slice(&crc.to_le_bytes());
            decode::<WalRecord>(&bytes).unwrap_err()
        };
        assert!(matches!(reseal(2, 0xffff), CodecError::UnknownKind { number: 0xffff }));
        assert!(matches!(reseal(2, Kind::Event.number()), CodecError::OtherKind { .. }));
        assert!(matches!(reseal(4, 2), CodecError::UnknownSchema { schema: 2, .. }));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
        let mut bytes = sample();
        bytes[6..10].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(decode::<WalRecord>(&bytes), Err(CodecError::TooLarge { .. })));
        // A payload that claims 2^60 elements.
        assert!(unpack::<Vec<u8>>(&[253, 0, 0, 0, 0, 0, 0, 0, 16]).is_err());
    }
}
