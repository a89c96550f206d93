//! A disk in memory that can lose power, fill up and fail to sync.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::raft::disk::{Disk, DiskFile};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Default)]
struct Content {
    /// As processes see it.
    seen: Vec<u8>,
    /// As it would be after a power loss that keeps nothing.
    kept: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Default)]
struct Inner {
    names: BTreeMap<String, Arc<Mutex<Content>>>,
    kept_names: BTreeMap<String, Arc<Mutex<Content>>>,
    used: u64,
    capacity: Option<u64>,
    fail_sync: bool,
    hung: bool,
    off: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn powered(inner: &Inner) -> io::Result<()> {
    if inner.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
}

impl MemoryDisk {
    /// Cuts the power. What comes back is a disk with everything synced, and of the rest any
    /// sectors and any renames and removals, as `seed` has it.
    pub(super) fn lose_power(&self, seed: u64) -> MemoryDisk {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut inner = lock(&self.inner);
        inner.off = true;
        let names = if rng.random_bool(0.5) { &inner.names } else { &inner.kept_names };
        let mut after = Inner { used: inner.used, ..Inner::default() };
        for (name, content) in names {
            let content = lock(content);
            let mut kept = content.kept.clone();
            let style = rng.random_range(0..3);
            for (at, data) in &content.pending {
                for (i, sector) in data.chunks(SECTOR).enumerate() {
                    let survives = match style {
                        0 => false,
                        1 => true,
                        _ => rng.random_bool(0.5),
                    };
                    if survives {
                        let at = at + i * SECTOR;
                        kept.resize(kept.len().max(at + sector.len()), 0);
                        kept[at..at + sector.len()].copy_from_slice(sector);
                    }
                }
            }
            let content = Content { seen: kept.clone(), kept, pending: Vec::new() };
            after.names.insert(name.clone(), Arc::new(Mutex::new(content)));
        }
        after.kept_names = after.names.clone();
        MemoryDisk { inner: Arc::new(Mutex::new(after)) }
    }

    /// Nothing more than `bytes` in all can be allocated.
    pub(super) fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.inner).capacity = bytes;
    }

    pub(super) fn used(&self) -> u64 {
        lock(&self.inner).used
    }

    pub(super) fn fail_syncs(&self) {
        lock(&self.inner).fail_sync = true;
    }

    /// From now on no sync ends, or all do again.
    pub(super) fn hang(&self, hung: bool) {
        lock(&self.inner).hung = hung;
    }

    /// Changes the bytes of a file, behind everyone's back.
    pub(super) fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = lock(&self.inner).names[name].clone();
        let mut content = lock(&file);
        change(&mut content.seen);
        content.kept = content.seen.clone();
        content.pending.clear();
    }

    pub(super) fn delete(&self, name: &str) {
        let mut inner = lock(&self.inner);
        inner.names.remove(name);
        inner.kept_names.remove(name);
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        let file = lock(&self.inner).names[name].clone();
        let content = lock(&file);
        content.seen.clone()
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let inner = lock(&self.inner);
        powered(&inner)?;
        Ok(inner.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = lock(&self.inner);
        powered(&inner)?;
        let content = inner.names.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), content }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = lock(&self.inner);
        powered(&inner)?;
        let content = Arc::new(Mutex::new(Content::default()));
        inner.names.insert(name.to_owned(), content.clone());
        Ok(Arc::new(MemoryFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        powered(&inner)?;
        let content = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        powered(&inner)?;
        let content = inner.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.used -= lock(&content).seen.len() as u64;
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        powered(&inner)?;
        inner.kept_names = inner.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let inner = lock(&self.inner);
        powered(&inner)?;
        Ok(inner.capacity.map_or(u64::MAX, |capacity| (1 << 30) + capacity.saturating_sub(inner.used)))
    }

    fn describe(&self, name: &str) -> String {
        format!("memory/{name}")
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    content: Arc<Mutex<Content>>,
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        powered(&lock(&self.disk.inner))?;
        Ok(lock(&self.content).seen.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        powered(&lock(&self.disk.inner))?;
        let content = lock(&self.content);
        let found = content.seen.get(offset as usize..offset as usize + buffer.len());
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        powered(&inner)?;
        let mut content = lock(&self.content);
        let end = offset as usize + data.len();
        let growth = end.saturating_sub(content.seen.len());
        if inner.capacity.is_some_and(|capacity| inner.used + growth as u64 > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.used += growth as u64;
        let len = end.max(content.seen.len());
        content.seen.resize(len, 0);
        content.seen[offset as usize..end].copy_from_slice(data);
        content.pending.push((offset as usize, data.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        while inner.hung {
            drop(inner);
            std::thread::sleep(Duration::from_millis(1));
            inner = lock(&self.disk.inner);
        }
        powered(&inner)?;
        if inner.fail_sync {
            return Err(io::Error::other("the sync failed"));
        }
        let mut content = lock(&self.content);
        content.kept = content.seen.clone();
        content.pending.clear();
        Ok(())
    }
}
