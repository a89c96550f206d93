//! The bytes of a segment: a header page, then batches.
//!
//! ```text
//! page 0    magic "PMWALSEG" | format u32 | segment u64 | size u64 | log u64 | crc32c u32 | zeros
//! batches   magic u32 | length u32 | number u64 | log u64 | previous u32 | records u32
//!           | payload crc32c u32 | header crc32c u32 | payload | zeros to a multiple of 16
//! ```
//!
//! `log` is random, chosen when the log is created: a batch of another log is never taken for one
//! of this. `number` counts batches without a gap across segments, and `previous` repeats the
//! header checksum of the batch before.

/// Where batches start: a header never shares a disk sector with one.
pub(super) const PAGE: u64 = 4096;
/// The bytes before a batch's payload.
pub(super) const BATCH_HEADER: usize = 40;

const ALIGN: u64 = 16;
const SEGMENT_MAGIC: &[u8; 8] = b"PMWALSEG";
const SEGMENT_FORMAT: u32 = 1;
const BATCH_MAGIC: u32 = 0x5057_4231;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) segment: u64,
    pub(super) size: u64,
    pub(super) log: u64,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE as usize);
        page.extend_from_slice(SEGMENT_MAGIC);
        page.extend_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        page.extend_from_slice(&self.segment.to_le_bytes());
        page.extend_from_slice(&self.size.to_le_bytes());
        page.extend_from_slice(&self.log.to_le_bytes());
        let crc = crc32c::crc32c(&page);
        page.extend_from_slice(&crc.to_le_bytes());
        page.resize(PAGE as usize, 0);
        page
    }

    pub(super) fn decode(page: &[u8]) -> Result<Self, String> {
        let mut fields = Fields(page);
        let (magic, format) = (fields.take::<8>(), fields.u32());
        let header = Self { segment: fields.u64(), size: fields.u64(), log: fields.u64() };
        let covered = page.len() - fields.0.len();
        if crc32c::crc32c(page.get(..covered).unwrap_or_default()) != fields.u32() {
            return Err("the checksum of the segment's header does not fit".to_owned());
        }
        if &magic != SEGMENT_MAGIC {
            return Err("this is not a segment of a write-ahead log".to_owned());
        }
        if format != SEGMENT_FORMAT {
            return Err(format!("segment format {format} is not known to this version"));
        }
        Ok(header)
    }
}

/// A batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) length: u32,
    pub(super) number: u64,
    pub(super) log: u64,
    pub(super) previous: u32,
    pub(super) records: u32,
    pub(super) payload_crc: u32,
    /// Of the header itself: identifies the batch in the next one.
    pub(super) crc: u32,
}

impl BatchHeader {
    /// A whole batch in bytes, padded, and its header checksum.
    pub(super) fn encode(
        number: u64,
        log: u64,
        previous: u32,
        records: u32,
        payload: &[u8],
    ) -> (Vec<u8>, u32) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(padded(payload.len()) as usize);
        out.extend_from_slice(&BATCH_MAGIC.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&log.to_le_bytes());
        out.extend_from_slice(&previous.to_le_bytes());
        out.extend_from_slice(&records.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(payload);
        out.resize(padded(payload.len()) as usize, 0);
        (out, crc)
    }

    /// The header at the start of `bytes`, if one is there.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..BATCH_HEADER)?);
        let magic = fields.u32();
        let mut header = Self {
            length: fields.u32(),
            number: fields.u64(),
            log: fields.u64(),
            previous: fields.u32(),
            records: fields.u32(),
            payload_crc: fields.u32(),
            crc: 0,
        };
        header.crc = fields.u32();
        let fits = crc32c::crc32c(&bytes[..BATCH_HEADER - 4]) == header.crc;
        (magic == BATCH_MAGIC && fits).then_some(header)
    }
}

/// The room that a batch with a payload of `length` bytes takes.
pub(super) fn padded(length: usize) -> u64 {
    (BATCH_HEADER as u64 + length as u64).next_multiple_of(ALIGN)
}

/// Whether a whole batch of `log` with a number of at least `from` starts anywhere in `bytes`.
pub(super) fn find_batch(bytes: &[u8], log: u64, from: u64) -> Option<(usize, u64)> {
    (0..bytes.len()).step_by(ALIGN as usize).find_map(|at| {
        let rest = &bytes[at..];
        if rest.get(..4)? != BATCH_MAGIC.to_le_bytes() {
            return None;
        }
        let header = BatchHeader::decode(rest)?;
        let payload = rest.get(BATCH_HEADER..BATCH_HEADER + header.length as usize)?;
        let whole = crc32c::crc32c(payload) == header.payload_crc;
        (header.log == log && header.number >= from && whole).then_some((at, header.number))
    })
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes; zeros once the input is at its end, which no checksum survives.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.0 = rest;
                *head
            }
            None => {
                self.0 = &[];
                [0; N]
            }
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// One of the two slots of the `synced` file: the newest batch known to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) log: u64,
    pub(super) number: u64,
}

/// The length of the `synced` file: two slots, each on a page of its own.
pub(super) const MARK_FILE: u64 = 2 * PAGE;

impl Mark {
    /// The slot to write and its bytes. Slots take turns, so that one survives a torn write.
    pub(super) fn encode(&self) -> (u64, Vec<u8>) {
        let mut out = Vec::with_capacity(24);
        out.extend_from_slice(b"SYNC");
        out.extend_from_slice(&self.log.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        ((self.number % 2) * PAGE, out)
    }

    /// The newer of the two slots, of those that are whole.
    pub(super) fn decode(file: &[u8]) -> Option<Self> {
        let slot = |at: usize| {
            let bytes = file.get(at..at + 24)?;
            let mut fields = Fields(bytes);
            let magic: [u8; 4] = fields.take();
            let mark = Mark { log: fields.u64(), number: fields.u64() };
            (&magic == b"SYNC" && crc32c::crc32c(&bytes[..20]) == fields.u32()).then_some(mark)
        };
        slot(0).into_iter().chain(slot(PAGE as usize)).max_by_key(|mark| mark.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_round_trip_and_no_flipped_bit() {
        let header = SegmentHeader { segment: 7, size: 1 << 20, log: 99 };
        let page = header.encode();
        assert_eq!(SegmentHeader::decode(&page).unwrap(), header);
        for bit in 0..40 * 8 {
            let mut bad = page.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_batch_is_found_wherever_it_starts() {
        let (batch, _) = BatchHeader::encode(5, 99, 0, 1, b"hello");
        let mut bytes = vec![0xAA; 64];
        bytes.extend_from_slice(&batch);
        assert_eq!(find_batch(&bytes, 99, 5), Some((64, 5)));
        assert_eq!(find_batch(&bytes, 99, 6), None);
        assert_eq!(find_batch(&bytes, 98, 5), None);
    }

    #[test]
    fn the_newer_whole_mark_counts() {
        let mut file = vec![0; MARK_FILE as usize];
        assert_eq!(Mark::decode(&file), None);
        for number in [4, 5] {
            let (at, bytes) = Mark { log: 1, number }.encode();
            file[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        }
        assert_eq!(Mark::decode(&file).unwrap().number, 5);
        file[PAGE as usize + 13] ^= 1;
        assert_eq!(Mark::decode(&file).unwrap().number, 4);
    }
}
