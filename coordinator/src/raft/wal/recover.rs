//! Opening the log: replay what is whole, cut what was never acknowledged, refuse the rest.
//!
//! Only one batch at a time is on its way to the disk, and the next is written only after the
//! sync of the one before. So a power loss can damage the newest batch and nothing else, and no
//! whole batch can follow a damaged one. The `synced` file names the newest batch whose sync
//! returned; a log that ends before it has lost something that was acknowledged.

use std::sync::Arc;

use super::error::WalError;
use super::frame::{BATCH_HEADER, BatchHeader, MARK_FILE, Mark, PAGE, SegmentHeader, find_batch, padded};
use super::index::{Index, Place, Segment, Slot};
use super::segment;
use crate::raft::codec::{HEADER_LEN, Reader, WalRecord};
use crate::raft::disk::{Disk, DiskFile};

const MARK_NAME: &str = "synced";

/// What the writer goes on from.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) log: u64,
    /// The newest batch.
    pub(super) number: u64,
    /// Its header checksum.
    pub(super) previous: u32,
    pub(super) active: u64,
    pub(super) file: Arc<dyn DiskFile>,
    /// Where the next batch goes.
    pub(super) at: u64,
    pub(super) mark: Arc<dyn DiskFile>,
    pub(super) spare: Option<(u64, Arc<dyn DiskFile>)>,
}

struct Found {
    number: u64,
    file: Arc<dyn DiskFile>,
    bytes: Vec<u8>,
}

/// Opens the log on `disk`, creating it when there is none. `segment_size` counts for new logs and
/// new segments.
pub(super) fn open(disk: &Arc<dyn Disk>, segment_size: u64, new_log: u64) -> Result<Recovered, WalError> {
    let names = sweep(&**disk)?;
    // A process killed between a renaming and the sync of the directory leaves a segment that is
    // there, but not lasting: what is acknowledged from it would be gone with it.
    disk.sync_dir().map_err(|e| WalError::io("sync", disk.describe(""), e))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
    numbers.sort_unstable();
    let has_mark = names.iter().any(|name| name == MARK_NAME);
    if numbers.is_empty() && !has_mark {
        let header = SegmentHeader { segment: 1, size: segment_size, log: new_log };
        segment::create(&**disk, header)?;
        numbers.push(1);
    }
    let Some(first) = numbers.first().copied() else {
        return Err(damaged(&**disk, MARK_NAME, 0, "every segment is missing".to_owned()));
    };
    if let Some((_, expected)) = numbers.iter().zip(first..).find(|(found, expected)| *found != expected) {
        return Err(damaged(&**disk, &segment::name(expected), 0, "the segment is missing".to_owned()));
    }
    let log = load(&**disk, first)?.1;
    let mark = open_mark(&**disk, log, has_mark, &numbers)?;
    let mut replay = Replay { disk: &**disk, log, index: Index::default(), last: None, tail: None };
    for &number in &numbers {
        replay.segment(number)?;
    }
    replay.finish(&numbers, mark)
}

/// Removes what an interrupted allocation left behind.
fn sweep(disk: &dyn Disk) -> Result<Vec<String>, WalError> {
    let mut names = disk.list().map_err(|e| WalError::io("list", disk.describe(""), e))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        disk.remove(name).map_err(|e| WalError::io("remove", disk.describe(name), e))?;
    }
    names.retain(|name| !name.ends_with(".tmp"));
    Ok(names)
}

fn load(disk: &dyn Disk, number: u64) -> Result<(Found, u64), WalError> {
    let name = segment::name(number);
    let fail = |e| WalError::io("read", disk.describe(&name), e);
    let file = disk.open(&name).map_err(fail)?;
    let size = file.size().map_err(fail)?;
    if size < PAGE {
        return Err(damaged(disk, &name, size, format!("the file ends after {size} bytes")));
    }
    let mut bytes = vec![0; PAGE as usize];
    file.read_at(0, &mut bytes).map_err(fail)?;
    let header = SegmentHeader::decode(&bytes).map_err(|detail| damaged(disk, &name, 0, detail))?;
    if header.segment != number {
        return Err(damaged(disk, &name, 0, format!("its header is that of segment {}", header.segment)));
    }
    if header.size != size {
        let detail = format!("the file is {size} bytes long instead of {}", header.size);
        return Err(damaged(disk, &name, size.min(header.size), detail));
    }
    bytes.resize(size as usize, 0);
    file.read_at(PAGE, &mut bytes[PAGE as usize..]).map_err(fail)?;
    Ok((Found { number, file, bytes }, header.log))
}

type OpenMark = (Arc<dyn DiskFile>, u64);

/// The `synced` file and the newest batch it names. Created when the log is.
fn open_mark(disk: &dyn Disk, log: u64, exists: bool, numbers: &[u64]) -> Result<OpenMark, WalError> {
    let fail = |e| WalError::io("open", disk.describe(MARK_NAME), e);
    if exists {
        let file = disk.open(MARK_NAME).map_err(fail)?;
        let mut bytes = vec![0; MARK_FILE as usize];
        if file.size().map_err(fail)? != MARK_FILE {
            return Err(damaged(disk, MARK_NAME, 0, "the file has the wrong length".to_owned()));
        }
        file.read_at(0, &mut bytes).map_err(fail)?;
        return match Mark::decode(&bytes) {
            Some(mark) if mark.log == log => Ok((file, mark.number)),
            Some(_) => Err(damaged(disk, MARK_NAME, 0, "the file belongs to another log".to_owned())),
            None => Err(damaged(disk, MARK_NAME, 0, "neither of its two marks is whole".to_owned())),
        };
    }
    let untouched = match numbers {
        [1] => load(disk, 1)?.0.bytes[PAGE as usize..].iter().all(|byte| *byte == 0),
        _ => false,
    };
    if !untouched {
        return Err(damaged(disk, MARK_NAME, 0, "the file is missing".to_owned()));
    }
    let temporary = "synced.tmp";
    let make = || -> std::io::Result<Arc<dyn DiskFile>> {
        let file = disk.create(temporary)?;
        file.write_at(0, &vec![0; MARK_FILE as usize])?;
        let (at, bytes) = Mark { log, number: 0 }.encode();
        file.write_at(at, &bytes)?;
        file.sync()?;
        disk.rename(temporary, MARK_NAME)?;
        disk.sync_dir()?;
        Ok(file)
    };
    Ok((make().map_err(fail)?, 0))
}

/// The newest whole batch.
#[derive(Clone, Copy)]
struct Last {
    number: u64,
    crc: u32,
}

/// Where the whole batches end.
struct Tail {
    segment: u64,
    file: Arc<dyn DiskFile>,
    at: u64,
    /// Whether anything but zeros follows.
    dirty: bool,
}

struct Replay<'a> {
    disk: &'a dyn Disk,
    log: u64,
    index: Index,
    last: Option<Last>,
    tail: Option<Tail>,
}

impl Replay<'_> {
    fn segment(&mut self, number: u64) -> Result<(), WalError> {
        let (found, log) = load(self.disk, number)?;
        let name = segment::name(number);
        if log != self.log {
            return Err(damaged(self.disk, &name, 0, "the segment belongs to another log".to_owned()));
        }
        let continues = self.next_batch(&found, PAGE).is_some();
        if let Some(tail) = &self.tail {
            if !continues {
                return self.unused(&found);
            }
            if tail.dirty {
                return Err(self.lost(tail, "whole batches follow in the next segment"));
            }
        } else if !continues && number != 1 {
            return Err(damaged(
                self.disk,
                &name,
                PAGE,
                "the oldest segment starts with no whole batch".to_owned(),
            ));
        }
        self.index.segments.insert(number, Segment { file: found.file.clone(), last_index: None });
        let mut at = PAGE;
        while let Some((header, payload)) = self.next_batch(&found, at) {
            self.apply(&found, at, header, payload)?;
            self.last = Some(Last { number: header.number, crc: header.crc });
            at += padded(payload.len());
        }
        let rest = found.bytes.get(at as usize..).unwrap_or_default();
        let tail = Tail { segment: number, file: found.file, at, dirty: rest.iter().any(|byte| *byte != 0) };
        if tail.dirty && find_batch(rest, self.log, 0).is_some() {
            return Err(self.lost(&tail, "whole batches follow"));
        }
        self.tail = Some(tail);
        Ok(())
    }

    /// The batch at `at`, if it is whole and the next in line.
    fn next_batch<'b>(&self, found: &'b Found, at: u64) -> Option<(BatchHeader, &'b [u8])> {
        let rest = found.bytes.get(at as usize..)?;
        let header = BatchHeader::decode(rest)?;
        let payload = rest.get(BATCH_HEADER..BATCH_HEADER + header.length as usize)?;
        let next = match self.last {
            Some(last) => header.number == last.number + 1 && header.previous == last.crc,
            None if found.number == 1 => header.number == 1 && header.previous == 0,
            None => true,
        };
        let whole = crc32c::crc32c(payload) == header.payload_crc;
        (header.log == self.log && next && whole).then_some((header, payload))
    }

    fn apply(&mut self, found: &Found, at: u64, header: BatchHeader, payload: &[u8]) -> Result<(), WalError> {
        let name = segment::name(found.number);
        let mut reader = Reader::new(payload);
        for _ in 0..header.records {
            let before = payload.len() - reader.rest().len();
            let record: WalRecord = reader.read().map_err(|source| WalError::Unreadable {
                file: self.disk.describe(&name),
                offset: at,
                source,
            })?;
            let length = payload.len() - reader.rest().len() - before;
            let offset = at + (BATCH_HEADER + before) as u64;
            self.record(found.number, offset, length, record)
                .map_err(|detail| damaged(self.disk, &name, offset, detail))?;
        }
        Ok(())
    }

    fn record(&mut self, segment: u64, offset: u64, length: usize, record: WalRecord) -> Result<(), String> {
        match record {
            WalRecord::Vote(vote) => self.index.vote = Some(vote),
            WalRecord::Committed(id) => self.index.committed = id,
            WalRecord::Truncate(last) => self.index.truncate(last.map(|id| id.index())),
            WalRecord::Purge(upto) => self.index.purge(upto),
            WalRecord::Entry(entry) => {
                let log_id = entry.log_id;
                let length = u32::try_from(length).map_err(|_| "an entry is too long".to_owned())?;
                debug_assert!(length as usize >= HEADER_LEN, "an envelope has a header");
                self.index.push(Slot { log_id, length, place: None, cached: Some(Arc::from(entry)) })?;
                self.index.placed(log_id, Place { segment, offset });
            }
        }
        Ok(())
    }

    /// A segment after the tail: holds nothing whole, and is emptied if it holds anything.
    fn unused(&self, found: &Found) -> Result<(), WalError> {
        let rest = &found.bytes[PAGE as usize..];
        if find_batch(rest, self.log, 0).is_some()
            && let Some(tail) = &self.tail
        {
            return Err(self.lost(tail, "whole batches follow in a later segment"));
        }
        if rest.iter().any(|byte| *byte != 0) {
            self.clear(&found.file, found.number, PAGE, found.bytes.len() as u64)?;
        }
        Ok(())
    }

    fn clear(&self, file: &Arc<dyn DiskFile>, number: u64, from: u64, to: u64) -> Result<(), WalError> {
        let name = self.disk.describe(&segment::name(number));
        tracing::warn!(file = %name, offset = from, "cutting an unfinished batch that was never acknowledged");
        file.write_at(from, &vec![0; (to - from) as usize])
            .and_then(|()| file.sync())
            .map_err(|e| WalError::io("cut the unfinished tail of", name, e))
    }

    fn lost(&self, tail: &Tail, detail: &str) -> WalError {
        damaged(
            self.disk,
            &segment::name(tail.segment),
            tail.at,
            format!("the batch there is not whole, yet {detail}"),
        )
    }

    fn finish(mut self, numbers: &[u64], (mark, synced): OpenMark) -> Result<Recovered, WalError> {
        let Some(tail) = self.tail.take() else {
            return Err(damaged(self.disk, MARK_NAME, 0, "every segment is missing".to_owned()));
        };
        let last = self.last.unwrap_or(Last { number: 0, crc: 0 });
        if synced > last.number {
            let detail = format!("batch {synced} was synced and acknowledged");
            return Err(self.lost(&tail, &detail));
        }
        self.check_front(numbers)?;
        let name = self.disk.describe(&segment::name(tail.segment));
        if tail.dirty {
            let size = tail.file.size().map_err(|e| WalError::io("read", name.clone(), e))?;
            self.clear(&tail.file, tail.segment, tail.at, size)?;
        }
        // What was read may still be on its way to the disk; from here on it counts as kept.
        tail.file.sync().map_err(|e| WalError::io("sync", name, e))?;
        let (at, bytes) = Mark { log: self.log, number: last.number }.encode();
        mark.write_at(at, &bytes)
            .and_then(|()| mark.sync())
            .map_err(|e| WalError::io("write", self.disk.describe(MARK_NAME), e))?;
        let spare = match numbers.iter().find(|number| **number > tail.segment) {
            Some(number) => Some((*number, load(self.disk, *number)?.0.file)),
            None => None,
        };
        Ok(Recovered {
            index: self.index,
            log: self.log,
            number: last.number,
            previous: last.crc,
            active: tail.segment,
            file: tail.file,
            at: tail.at,
            mark,
            spare,
        })
    }

    /// The entries must reach back to what is in a snapshot.
    fn check_front(&self, numbers: &[u64]) -> Result<(), WalError> {
        let (first, purged) = (self.index.first(), self.index.purged.map(|id| id.index()));
        let oldest = numbers.first().copied().unwrap_or_default();
        let detail = match (purged, first) {
            (None, _) if oldest != 1 => "segments before this one are missing".to_owned(),
            (Some(purged), Some(first)) if first > purged + 1 => {
                format!("the entries from {} to {} are missing", purged + 1, first - 1)
            }
            _ => return Ok(()),
        };
        Err(damaged(self.disk, &segment::name(oldest), PAGE, detail))
    }
}

fn damaged(disk: &dyn Disk, name: &str, offset: u64, detail: String) -> WalError {
    WalError::Damaged { file: disk.describe(name), offset, detail }
}
