//! The log as openraft asks for it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use tokio::sync::{mpsc, oneshot, watch};

use super::error::WalError;
use super::index::{Index, Slot};
use super::recover;
use super::segment::Supplier;
use super::writer::{Answers, Done, Op, What, Writer, lock};
use crate::raft::StorageHealth;
use crate::raft::codec::{self, WalRecord};
use crate::raft::disk::{Disk, DiskFile, OsDisk};
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};

/// The size of a segment.
pub const SEGMENT_SIZE: u64 = 16 << 20;
/// Pieces of work that may wait for the writer.
const QUEUE: usize = 1024;
/// The most encoded bytes that one read for a peer returns, unless one entry is larger.
const READ_BYTES: usize = 2 << 20;
/// The most entries that one read for a peer returns.
const READ_ENTRIES: usize = codec::MAX_ENTRIES as usize;

/// The write-ahead log: entries, the vote, and how far the cluster has committed.
///
/// Clones are handles of the same log.
#[derive(Clone)]
pub struct Wal {
    index: Arc<Mutex<Index>>,
    ops: mpsc::Sender<Op>,
    health: watch::Receiver<StorageHealth>,
    answers: Arc<Mutex<Answers>>,
}

/// What runs behind a log.
struct Parts {
    writer: Writer,
    work: mpsc::Receiver<Op>,
    supplier: Arc<Supplier>,
    health: watch::Sender<StorageHealth>,
}

impl Wal {
    /// Opens the log in the directory `root`, creating it when there is none. Blocks on the disk.
    ///
    /// # Errors
    /// [`WalError`]: the log is damaged, or the disk failed.
    pub fn open(root: std::path::PathBuf) -> Result<Self, WalError> {
        Self::open_on(Arc::new(OsDisk::new(root)), SEGMENT_SIZE)
    }

    /// Opens the log on any disk, with segments of `segment_size` bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, segment_size: u64) -> Result<Self, WalError> {
        let (wal, Parts { writer, work, supplier, health }) =
            Self::prepare(disk, segment_size, rand::random(), true)?;
        // The writer waits with a timeout, for which it has a runtime of its own on its thread.
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let clock = clock.map_err(|source| WalError::Thread { source })?;
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .map_err(|source| WalError::Thread { source })
        };
        spawn("wal-supplier", Box::new(move || supplier.run(&health)))?;
        spawn("wal-writer", Box::new(move || clock.block_on(writer.run(work))))?;
        Ok(wal)
    }

    /// Opens the log on a disk that never blocks, without threads: the writer is a task of the
    /// current runtime. For simulations, whose runs must be equal; `new_log` is what tells a new
    /// log from another one, random otherwise.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_as_task(disk: Arc<dyn Disk>, segment_size: u64, new_log: u64) -> Result<Self, WalError> {
        let (wal, Parts { writer, work, supplier, health }) =
            Self::prepare(disk, segment_size, new_log, false)?;
        tokio::spawn(async move { supplier.run_as_task(&health).await });
        tokio::spawn(writer.run(work));
        Ok(wal)
    }

    fn prepare(
        disk: Arc<dyn Disk>,
        segment_size: u64,
        new_log: u64,
        threaded: bool,
    ) -> Result<(Self, Parts), WalError> {
        let mut recovered = recover::open(&disk, segment_size, new_log)?;
        let (health, health_seen) = watch::channel(StorageHealth::Ok);
        let supplier = Arc::new(Supplier::new(disk.clone(), recovered.spare.take(), threaded));
        let writer = Writer::new(disk, supplier.clone(), health.clone(), segment_size, recovered)?;
        let (index, answers) = (writer.index.clone(), writer.answers.clone());
        let (ops, work) = mpsc::channel(QUEUE);
        Ok((Self { index, ops, health: health_seen, answers }, Parts { writer, work, supplier, health }))
    }

    /// Whether the log takes writes.
    pub fn health(&self) -> watch::Receiver<StorageHealth> {
        self.health.clone()
    }

    /// How long the write has taken so far that is under way; zero without one.
    pub fn busy_for(&self) -> Duration {
        let asked = self.answers.lock().unwrap_or_else(PoisonError::into_inner).asked;
        asked.map_or(Duration::ZERO, |asked| asked.elapsed())
    }

    /// How long ago the newest write was begun that has ended; `None` before the first.
    pub fn wrote(&self) -> Option<Duration> {
        let answered = self.answers.lock().unwrap_or_else(PoisonError::into_inner).answered;
        answered.map(|answered| answered.elapsed())
    }

    /// Whether nothing was ever written to it.
    pub fn is_pristine(&self) -> bool {
        let index = lock(&self.index);
        index.vote.is_none() && index.last().is_none()
    }

    /// The newest entry, or the newest purged one.
    pub fn last(&self) -> Option<LogId> {
        lock(&self.index).last()
    }

    /// Stops the writer, with everything on disk. Later writes fail.
    pub async fn close(&self) {
        let (done, stopped) = oneshot::channel();
        if self.ops.send(Op::Stop { done }).await.is_ok() {
            // An error says that the writer had failed before; it has been reported.
            let _ = stopped.await;
        }
    }

    async fn write(&self, records: Vec<(What, Vec<u8>)>) -> io::Result<()> {
        let (reply, outcome) = oneshot::channel();
        self.submit(Op::Write { records, done: Done::Reply(reply) }).await?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn submit(&self, op: Op) -> io::Result<()> {
        self.ops.send(op).await.map_err(|_| stopped())
    }

    async fn read(&self, slots: Vec<(Slot, Option<Arc<dyn DiskFile>>)>) -> io::Result<Vec<Entry>> {
        if slots.iter().all(|(slot, _)| slot.cached.is_some()) {
            return Ok(slots.iter().filter_map(|(slot, _)| slot.cached.as_deref().cloned()).collect());
        }
        let reading = tokio::task::spawn_blocking(move || {
            slots
                .into_iter()
                .map(|(slot, file)| match (slot.cached, file, slot.place) {
                    (Some(entry), ..) => Ok(Entry::clone(&entry)),
                    (None, Some(file), Some(place)) => {
                        let mut bytes = vec![0; slot.length as usize];
                        file.read_at(place.offset, &mut bytes)?;
                        let entry: Entry = codec::decode(&bytes)?;
                        if entry.log_id != slot.log_id {
                            return Err(io::Error::new(
                                io::ErrorKind::InvalidData,
                                format!("entry {} stands where {} belongs", entry.log_id, slot.log_id),
                            ));
                        }
                        Ok(entry)
                    }
                    _ => {
                        Err(io::Error::other(format!("entry {} is neither cached nor on disk", slot.log_id)))
                    }
                })
                .collect()
        });
        reading.await.map_err(io::Error::other)?
    }
}

fn stopped() -> io::Error {
    io::Error::other("the write-ahead log has stopped")
}

fn bounds(range: &impl RangeBounds<u64>) -> Option<RangeInclusive<u64>> {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(from) => from.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(to) => *to,
        Bound::Excluded(to) => to.checked_sub(1)?,
        Bound::Unbounded => u64::MAX,
    };
    (from <= to).then_some(from..=to)
}

impl RaftLogReader<TypeConfig> for Wal {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let Some(range) = bounds(&range) else { return Ok(Vec::new()) };
        let slots = lock(&self.index).slots(range);
        self.read(slots).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(lock(&self.index).vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let Some(range) = bounds(&(start..end.min(start.saturating_add(READ_ENTRIES as u64)))) else {
            return Ok(Vec::new());
        };
        let mut slots = lock(&self.index).slots(range);
        let mut bytes = 0;
        let within = slots.iter().take_while(|(slot, _)| {
            bytes += slot.length as usize;
            bytes <= READ_BYTES
        });
        let count = within.count().max(1);
        slots.truncate(count);
        self.read(slots).await
    }
}

impl RaftLogStorage<TypeConfig> for Wal {
    type LogReader = Wal;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let index = lock(&self.index);
        Ok(LogState { last_purged_log_id: index.purged, last_log_id: index.last() })
    }

    async fn get_log_reader(&mut self) -> Wal {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        // Readers see it at once: a stream of the leader before it stops the sooner.
        lock(&self.index).vote = Some(*vote);
        let bytes = codec::encode(&WalRecord::Vote(*vote))?;
        self.write(vec![(What::Vote(*vote), bytes)]).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        lock(&self.index).committed = committed;
        let bytes = codec::encode(&WalRecord::Committed(committed))?;
        self.submit(Op::Write { records: vec![(What::Committed(committed), bytes)], done: Done::Nobody })
            .await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(lock(&self.index).committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut slots = Vec::new();
        for entry in entries {
            let log_id = entry.log_id;
            let bytes = codec::encode(&entry)?;
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            slots.push(Slot { log_id, length, place: None, cached: Some(Arc::new(entry)) });
            records.push((What::Entry(log_id), bytes));
        }
        {
            let mut index = lock(&self.index);
            for slot in slots {
                index.push(slot).map_err(io::Error::other)?;
            }
        }
        self.submit(Op::Write { records, done: Done::Flushed(callback) }).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        lock(&self.index).truncate(last_log_id.map(|id| id.index()));
        let bytes = codec::encode(&WalRecord::Truncate(last_log_id))?;
        self.write(vec![(What::Truncate, bytes)]).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        lock(&self.index).purge(log_id);
        let bytes = codec::encode(&WalRecord::Purge(log_id))?;
        self.write(vec![(What::Purge(log_id), bytes)]).await
    }
}
