//! The one writer: votes, entries and everything else in the order they came.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::error::WalError;
use super::frame::{BATCH_HEADER, BatchHeader, Mark, PAGE, SegmentHeader, padded};
use super::index::{Index, Place, Segment};
use super::recover::Recovered;
use super::segment::{self, Supplier};
use crate::raft::StorageHealth;
use crate::raft::codec::{self, WalRecord};
use crate::raft::disk::{Disk, DiskFile};
use crate::raft::types::{LogId, TypeConfig, Vote};

/// The most payload in one batch, unless a single record is larger; at most a quarter of a segment.
const MAX_BATCH: usize = 4 << 20;
/// The most operations taken together.
const MAX_OPS: usize = 4096;
/// After so long without work, what was only noted is synced too.
const IDLE: Duration = Duration::from_millis(100);
/// Under load, how often the `synced` file is synced. Without any, how often the disk is tried.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// What a record is, for the writer's own books.
#[derive(Clone, Copy)]
pub(super) enum What {
    Entry(LogId),
    Vote(Vote),
    Committed(Option<LogId>),
    Purge(LogId),
    Truncate,
}

/// Who hears of the outcome.
pub(super) enum Done {
    Flushed(IOFlushed<TypeConfig>),
    Reply(oneshot::Sender<io::Result<()>>),
    Nobody,
}

impl Done {
    pub(super) fn tell(self, outcome: io::Result<()>) {
        match self {
            Done::Flushed(callback) => callback.io_completed(outcome),
            // The asker may have gone: then nobody needs the answer.
            Done::Reply(reply) => drop(reply.send(outcome)),
            Done::Nobody => {}
        }
    }
}

/// A piece of work.
pub(super) enum Op {
    Write { records: Vec<(What, Vec<u8>)>, done: Done },
    Stop { done: oneshot::Sender<io::Result<()>> },
}

/// Newest values, as written.
#[derive(Default, Clone, Copy)]
struct Meta {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
}

/// A batch being put together.
#[derive(Default)]
struct Batch {
    payload: Vec<u8>,
    records: u32,
    entries: Vec<(LogId, usize)>,
    done: Vec<Done>,
    purged: bool,
}

/// Whether the disk answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// When the write began that is under way.
    pub(super) asked: Option<Instant>,
    /// When the newest write began that has ended.
    pub(super) answered: Option<Instant>,
}

pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) supplier: Arc<Supplier>,
    pub(super) health: watch::Sender<StorageHealth>,
    segment_size: u64,
    max_batch: usize,
    log: u64,
    number: u64,
    previous: u32,
    active: u64,
    file: Arc<dyn DiskFile>,
    size: u64,
    at: u64,
    mark: Arc<dyn DiskFile>,
    mark_dirty: bool,
    mark_synced: Instant,
    meta: Meta,
    /// Committed was only noted; written with the next batch, or when idle.
    noted: Option<Option<LogId>>,
    failed: Option<String>,
    pub(super) answers: Arc<Mutex<Answers>>,
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        supplier: Arc<Supplier>,
        health: watch::Sender<StorageHealth>,
        segment_size: u64,
        recovered: Recovered,
    ) -> Result<Self, WalError> {
        let index = recovered.index;
        let meta = Meta { vote: index.vote, committed: index.committed, purged: index.purged };
        let size = recovered.file.size();
        let name = segment::name(recovered.active);
        let writer = Self {
            size: size.map_err(|e| WalError::io("read", disk.describe(&name), e))?,
            disk,
            index: Arc::new(Mutex::new(index)),
            supplier,
            health,
            segment_size,
            max_batch: MAX_BATCH.min(segment_size as usize / 4),
            log: recovered.log,
            number: recovered.number,
            previous: recovered.previous,
            active: recovered.active,
            file: recovered.file,
            at: recovered.at,
            mark: recovered.mark,
            mark_dirty: false,
            mark_synced: Instant::now(),
            meta,
            noted: None,
            failed: None,
            answers: Arc::default(),
        };
        writer.order_next();
        Ok(writer)
    }

    /// The body of the writer's thread, or task; returns when it is told to stop or nobody is left to ask.
    pub(super) async fn run(mut self, mut ops: mpsc::Receiver<Op>) {
        let mut taken = Vec::new();
        loop {
            taken.clear();
            match tokio::time::timeout(IDLE, ops.recv_many(&mut taken, MAX_OPS)).await {
                Err(_idle) => {
                    self.settle().await;
                    // Nothing is owed any more: there is time until there is work. A disk that has
                    // stopped answering is found out now, not by the next decision.
                    let work = loop {
                        match tokio::time::timeout(MARK_EVERY, ops.recv_many(&mut taken, MAX_OPS)).await {
                            Err(_idle) => self.try_disk(),
                            Ok(count) => break count,
                        }
                    };
                    if work == 0 {
                        break;
                    }
                }
                Ok(0) => break,
                Ok(_) => {}
            }
            if self.handle(taken.drain(..)).await {
                break;
            }
        }
        self.settle().await;
        self.supplier.stop();
    }

    /// Writes what was taken together. Says whether to stop.
    async fn handle(&mut self, ops: impl Iterator<Item = Op>) -> bool {
        let mut batch = Batch::default();
        for op in ops {
            match op {
                Op::Stop { done } => {
                    self.flush(&mut batch).await;
                    self.settle().await;
                    Done::Reply(done).tell(self.failure());
                    return true;
                }
                Op::Write { records, done } => {
                    for (what, bytes) in records {
                        if let (What::Committed(id), Done::Nobody) = (what, &done) {
                            self.noted = Some(id);
                            continue;
                        }
                        if !batch.payload.is_empty() && batch.payload.len() + bytes.len() > self.max_batch {
                            self.flush(&mut batch).await;
                        }
                        batch.add(what, &bytes);
                        self.book(what);
                    }
                    batch.done.push(done);
                }
            }
        }
        self.flush(&mut batch).await;
        false
    }

    fn book(&mut self, what: What) {
        match what {
            What::Vote(vote) => self.meta.vote = Some(vote),
            What::Committed(id) => self.meta.committed = id,
            What::Purge(id) => self.meta.purged = self.meta.purged.max(Some(id)),
            What::Entry(_) | What::Truncate => {}
        }
    }

    /// Writes and syncs the batch, then tells everyone in it.
    async fn flush(&mut self, batch: &mut Batch) {
        let mut batch = std::mem::take(batch);
        let outcome = match &self.failed {
            Some(detail) => Err(WalError::Stopped { detail: detail.clone() }),
            None => {
                self.set_busy(true);
                let written = self.write(&mut batch).await;
                self.set_busy(false);
                written
            }
        };
        if let Err(error) = &outcome
            && self.failed.is_none()
        {
            // After a failed sync the page cache may have dropped what it could not write, and a
            // second sync would succeed without it. So nothing is tried again.
            let detail = io::Error::from(error).to_string();
            tracing::error!(%detail, "the write-ahead log has failed: this node stops");
            self.health.send_replace(StorageHealth::Failed { detail: detail.clone() });
            self.failed = Some(detail);
        }
        for done in batch.done {
            done.tell(outcome.as_ref().map(|_| ()).map_err(io::Error::from));
        }
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), WalError> {
        if batch.records == 0 {
            return Ok(());
        }
        if let Some(id) = self.noted.take() {
            self.meta.committed = id;
            batch.add(What::Committed(id), &encoded(&WalRecord::Committed(id))?);
        }
        if self.at + padded(batch.payload.len()) > self.size {
            self.rotate()?;
            batch.lead(self.meta)?;
            if self.at + padded(batch.payload.len()) > self.size {
                let detail = format!("a batch of {} bytes does not fit a segment", batch.payload.len());
                return Err(WalError::Stopped { detail });
            }
        }
        let number = self.number + 1;
        let (bytes, crc) =
            BatchHeader::encode(number, self.log, self.previous, batch.records, &batch.payload);
        let name = segment::name(self.active);
        self.file
            .write_at(self.at, &bytes)
            .map_err(|e| WalError::io("write", self.disk.describe(&name), e))?;
        self.file.sync_batch().await.map_err(|e| WalError::io("sync", self.disk.describe(&name), e))?;
        {
            let mut index = lock(&self.index);
            for (log_id, offset) in &batch.entries {
                let offset = self.at + (BATCH_HEADER + offset) as u64;
                index.placed(*log_id, Place { segment: self.active, offset });
            }
        }
        (self.number, self.previous, self.at) = (number, crc, self.at + bytes.len() as u64);
        self.write_mark()?;
        if batch.purged {
            self.drop_segments()?;
        }
        Ok(())
    }

    /// Goes on in the next segment.
    fn rotate(&mut self) -> Result<(), WalError> {
        let (number, file) = self.supplier.take()?;
        let fail = |e| WalError::io("read", self.disk.describe(&segment::name(number)), e);
        self.size = file.size().map_err(fail)?;
        lock(&self.index).segments.insert(number, Segment { file: file.clone(), last_index: None });
        (self.active, self.file, self.at) = (number, file, PAGE);
        self.order_next();
        Ok(())
    }

    fn order_next(&self) {
        let segment = self.active + 1;
        self.supplier.want(SegmentHeader { segment, size: self.segment_size, log: self.log });
    }

    fn write_mark(&mut self) -> Result<(), WalError> {
        let (at, bytes) = Mark { log: self.log, number: self.number }.encode();
        let fail = |e| WalError::io("write", self.disk.describe("synced"), e);
        self.mark.write_at(at, &bytes).map_err(fail)?;
        self.mark_dirty = true;
        if self.mark_synced.elapsed() >= MARK_EVERY {
            self.sync_mark()?;
        }
        Ok(())
    }

    fn sync_mark(&mut self) -> Result<(), WalError> {
        self.mark.sync().map_err(|e| WalError::io("sync", self.disk.describe("synced"), e))?;
        self.mark_dirty = false;
        self.mark_synced = Instant::now();
        Ok(())
    }

    /// Writes and syncs what was only noted.
    async fn settle(&mut self) {
        if self.noted.is_some_and(|id| id != self.meta.committed) && self.failed.is_none() {
            let id = self.noted.take().flatten();
            self.meta.committed = id;
            let mut batch = Batch::default();
            match encoded(&WalRecord::Committed(id)) {
                Ok(bytes) => batch.add(What::Committed(id), &bytes),
                Err(error) => tracing::error!(%error, "could not note what is committed"),
            }
            self.flush(&mut batch).await;
        }
        self.noted = None;
        if self.mark_dirty {
            self.settle_mark(Writer::sync_mark);
        }
    }

    /// Writes the mark once more, to see whether the disk answers.
    fn try_disk(&mut self) {
        self.settle_mark(|writer| {
            writer.write_mark()?;
            writer.sync_mark()
        });
    }

    fn settle_mark(&mut self, write: impl FnOnce(&mut Writer) -> Result<(), WalError>) {
        if self.failed.is_some() {
            return;
        }
        self.set_busy(true);
        let written = write(self);
        self.set_busy(false);
        if let Err(error) = written {
            let detail = io::Error::from(&error).to_string();
            self.health.send_replace(StorageHealth::Failed { detail: detail.clone() });
            self.failed = Some(detail);
        }
    }

    fn set_busy(&self, busy: bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match busy {
            true => answers.asked = Some(Instant::now()),
            false => answers.answered = answers.asked.take(),
        }
    }

    fn failure(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |detail| Err(io::Error::other(detail.clone())))
    }

    /// Removes segments whose entries are all purged, oldest first and one at a time, so that
    /// whatever a power loss leaves has no gap.
    fn drop_segments(&mut self) -> Result<(), WalError> {
        let purged = self.meta.purged.map(|id| id.index());
        loop {
            let oldest = {
                let index = lock(&self.index);
                index.segments.iter().next().map(|(number, segment)| (*number, segment.last_index))
            };
            let Some((number, last)) = oldest else { return Ok(()) };
            if number == self.active || last > purged {
                return Ok(());
            }
            let name = segment::name(number);
            let fail = |e| WalError::io("remove", self.disk.describe(&name), e);
            lock(&self.index).segments.remove(&number);
            self.disk.remove(&name).map_err(fail)?;
            self.disk.sync_dir().map_err(fail)?;
        }
    }
}

impl Batch {
    fn add(&mut self, what: What, bytes: &[u8]) {
        if let What::Entry(log_id) = what {
            self.entries.push((log_id, self.payload.len()));
        }
        self.purged |= matches!(what, What::Purge(_));
        self.payload.extend_from_slice(bytes);
        self.records += 1;
    }

    /// Puts the newest vote, committed and purge first: a segment stands without those before it.
    fn lead(&mut self, meta: Meta) -> Result<(), WalError> {
        let mut lead = Batch::default();
        if let Some(vote) = meta.vote {
            lead.add(What::Vote(vote), &encoded(&WalRecord::Vote(vote))?);
        }
        lead.add(What::Committed(meta.committed), &encoded(&WalRecord::Committed(meta.committed))?);
        if let Some(purged) = meta.purged {
            lead.add(What::Purge(purged), &encoded(&WalRecord::Purge(purged))?);
        }
        let shift = lead.payload.len();
        lead.payload.append(&mut self.payload);
        self.payload = lead.payload;
        self.records += lead.records;
        self.purged |= lead.purged;
        for (_, offset) in &mut self.entries {
            *offset += shift;
        }
        Ok(())
    }
}

fn encoded(record: &WalRecord) -> Result<Vec<u8>, WalError> {
    codec::encode(record)
        .map_err(|error| WalError::Stopped { detail: format!("could not encode a record: {error}") })
}

pub(super) fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
