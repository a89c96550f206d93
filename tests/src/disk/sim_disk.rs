//! The disk as the product's file layer sees it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator::raft::disk::{Disk, DiskFile};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::platter::{Platter, Step};

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Writes and syncs fail.
    Broken,
    /// No byte more fits than there are.
    Full,
    /// A batch is said to be synced before it is: the deliberate mistake that tests must find.
    AcknowledgesBeforeSync,
    /// Names are said to be synced and never are: another one.
    ForgetsDirectories,
}

struct Inner {
    platter: Platter,
    /// Handles of an earlier life fail: their process is gone.
    life: u64,
    fault: Option<Fault>,
    journal: Option<Vec<Step>>,
    /// A file whose newest batch was acknowledged too early.
    owed: Option<usize>,
    /// How long the sync of a batch takes.
    pace: Box<dyn FnMut() -> Duration + Send>,
}

/// A disk. Clones are the same disk, held by the same process.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    life: u64,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk({})", self.life)
    }
}

impl SimDisk {
    /// A disk with `platter` in it.
    pub fn new(platter: Platter) -> SimDisk {
        let inner = Inner {
            platter,
            life: 0,
            fault: None,
            journal: None,
            owed: None,
            pace: Box::new(|| Duration::ZERO),
        };
        SimDisk { inner: Arc::new(Mutex::new(inner)), life: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every step is written down.
    pub fn record(&self) {
        self.lock().journal = Some(Vec::new());
    }

    /// What was written down.
    pub fn journal(&self) -> Vec<Step> {
        self.lock().journal.clone().unwrap_or_default()
    }

    /// A remark between two steps.
    pub fn note(&self, what: u64) {
        self.lock().journal.iter_mut().for_each(|journal| journal.push(Step::Note(what)));
    }

    /// What is wrong with it from now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Option<Fault> {
        self.lock().fault
    }

    /// How long the sync of a batch takes, asked for each.
    pub fn set_pace(&self, pace: impl FnMut() -> Duration + Send + 'static) {
        self.lock().pace = Box::new(pace);
    }

    /// Ends the life of whoever holds it, with the disk as it is, and gives a handle for the next.
    pub fn kill(&self) -> SimDisk {
        let mut inner = self.lock();
        inner.life += 1;
        SimDisk { inner: self.inner.clone(), life: inner.life }
    }

    /// Ends the life of whoever holds it and leaves what `change` makes of what was there.
    pub fn replace(&self, change: impl FnOnce(&Platter) -> Platter) -> SimDisk {
        let next = self.kill();
        let mut inner = next.lock();
        inner.platter = change(&inner.platter);
        inner.owed = None;
        drop(inner);
        next
    }

    /// What is on it.
    pub fn platter(&self) -> Platter {
        self.lock().platter.clone()
    }

    /// The disk, if this handle's process still lives.
    fn alive(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.life == self.life { Ok(inner) } else { Err(io::Error::other("the process is gone")) }
    }
}

impl Inner {
    fn step(&mut self, step: Step) -> io::Result<()> {
        match (&step, self.fault) {
            (_, Some(Fault::Broken)) => return Err(io::Error::other("the disk is broken")),
            (Step::Write(file, at, data), Some(Fault::Full))
                if at + data.len() > self.platter.bytes(*file).len() =>
            {
                return Err(io::ErrorKind::StorageFull.into());
            }
            (Step::SyncDir, Some(Fault::ForgetsDirectories)) => return Ok(()),
            _ => {}
        }
        self.platter.apply(&step);
        self.journal.iter_mut().for_each(|journal| journal.push(step.clone()));
        Ok(())
    }

    /// Does the sync that was promised a batch ago.
    fn settle(&mut self) -> io::Result<()> {
        self.owed.take().map_or(Ok(()), |file| self.step(Step::Sync(file)))
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.platter.names())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let number = self.alive()?.platter.number(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), number }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.alive()?;
        inner.step(Step::Create(name.to_owned()))?;
        let number = inner.platter.number(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), number }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.alive()?;
        inner.platter.number(from).ok_or(io::ErrorKind::NotFound)?;
        inner.step(Step::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.alive()?;
        inner.platter.number(name).ok_or(io::ErrorKind::NotFound)?;
        inner.step(Step::Remove(name.to_owned()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.alive()?.step(Step::SyncDir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let full = self.alive()?.fault == Some(Fault::Full);
        Ok(if full { 0 } else { 1 << 40 })
    }

    fn describe(&self, name: &str) -> String {
        format!("disk/{name}")
    }
}

struct SimFile {
    disk: SimDisk,
    number: usize,
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.alive()?.platter.bytes(self.number).len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.alive()?;
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let found = inner.platter.bytes(self.number).get(from..from + buffer.len());
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.alive()?;
        if inner.owed == Some(self.number) {
            inner.settle()?;
        }
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        inner.step(Step::Write(self.number, at, data.into()))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.alive()?.step(Step::Sync(self.number))
    }

    fn sync_batch(&self) -> BoxFuture<'_, io::Result<()>> {
        async move {
            let takes = (self.disk.alive()?.pace)();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            let mut inner = self.disk.alive()?;
            if inner.fault == Some(Fault::AcknowledgesBeforeSync) {
                inner.settle()?;
                inner.owed = Some(self.number);
                return Ok(());
            }
            inner.step(Step::Sync(self.number))
        }
        .boxed()
    }
}
