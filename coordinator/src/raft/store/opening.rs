//! Opening sled over whatever a kill or a power loss left.

use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{StoreError, failed};

/// How long sled's own threads may take to end after a store was closed, and how often to look.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const CACHE_BYTES: u64 = 16 << 20;

/// Opens sled. A kill while it opens can leave its snapshot files half-written: those being
/// written are removed first, all of them when sled calls the store corrupt.
pub(super) fn open_db(path: &Path) -> Result<sled::Db, StoreError> {
    remove_snapshots(path, |name| name.ends_with(".generating"))?;
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    match open_unlocked(&config) {
        Err(sled::Error::Corruption { .. } | sled::Error::ReportableBug(_)) => {
            tracing::warn!(path = %path.display(), "sled cannot make sense of the store: trying without its snapshot files");
            remove_snapshots(path, |_| true)?;
            open_unlocked(&config).map_err(failed("open"))
        }
        opened => opened.map_err(failed("open")),
    }
}

/// Opens sled once its lock is free. A store that was closed a moment ago in this process keeps the
/// lock until sled's own threads have ended; no other process can have it, since the data
/// directory has a lock of its own.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match unwinding(|| config.open()).unwrap_or_else(|| Err(panicked())) {
            Err(sled::Error::Io(error))
                if error.to_string().contains("acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// What a panic inside sled is taken for: it panics over some of what a power loss leaves.
pub(super) fn panicked() -> sled::Error {
    sled::Error::ReportableBug("it panicked over what it found on disk".to_owned())
}

/// `None` when `reading` panicked. Nothing of what it touched is used afterwards.
pub(super) fn unwinding<T>(reading: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(reading)).ok()
}

fn remove_snapshots(path: &Path, which: fn(&str) -> bool) -> Result<(), StoreError> {
    let fail = |action, path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io { action, path, source }
    };
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail("list", path)(error)),
    };
    for entry in listing {
        let entry = entry.map_err(fail("list", path))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && which(&name) {
            fs::remove_file(entry.path()).map_err(fail("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Renames the store, replacing the one set aside before.
pub(super) fn move_aside(path: &Path) -> Result<(), StoreError> {
    let aside = path.with_extension("damaged");
    let fail = |source| StoreError::Io { action: "move aside", path: path.to_owned(), source };
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    fs::rename(path, &aside).map_err(fail)
}
