//! Making segments, and having the next one ready before it is needed.
//!
//! A segment is written full of zeros before its first use, so that a batch overwrites bytes that
//! exist: the sync then carries data only, no file-system metadata, and cannot run out of space.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::error::WalError;
use super::frame::{PAGE, SegmentHeader};
use crate::raft::StorageHealth;
use crate::raft::disk::{Disk, DiskFile};

/// Below this operators' changes are refused. What is left is for failovers: thousands of them fit.
pub(in crate::raft) const ROOM: u64 = 96 << 20;
/// Below this the disk counts as full: room for the state store, a snapshot and the next segment.
const FULL: u64 = 48 << 20;
/// How often the free space is looked at: so often that what goes on writing to the disk, and is not
/// ours, cannot take all that is left in between.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How soon a segment that did not fit is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

pub(super) fn name(segment: u64) -> String {
    format!("{segment:012}.seg")
}

/// The number of the segment with this file name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 12).then(|| digits.parse().ok())?
}

/// Creates a segment full of zeros, lasting.
pub(super) fn create(disk: &dyn Disk, header: SegmentHeader) -> Result<Arc<dyn DiskFile>, WalError> {
    let target = name(header.segment);
    let temporary = format!("{:012}.tmp", header.segment);
    let fail = |action| {
        let file = disk.describe(&target);
        move |source| WalError::io(action, file, source)
    };
    let fill = || -> std::io::Result<Arc<dyn DiskFile>> {
        let file = disk.create(&temporary)?;
        file.write_at(0, &header.encode())?;
        let zeros = vec![0_u8; 1 << 20];
        let mut at = PAGE;
        while at < header.size {
            let step = (header.size - at).min(zeros.len() as u64);
            file.write_at(at, &zeros[..step as usize])?;
            at += step;
        }
        file.sync()?;
        Ok(file)
    };
    let file = fill().map_err(|error| {
        // A part of a segment only takes space that is scarce now.
        let _ = disk.remove(&temporary);
        fail("allocate")(error)
    })?;
    disk.rename(&temporary, &target).map_err(fail("rename into place"))?;
    disk.sync_dir().map_err(fail("make room for"))?;
    Ok(file)
}

#[derive(Default)]
struct Spare {
    wanted: Option<SegmentHeader>,
    ready: Option<(u64, Arc<dyn DiskFile>)>,
    failed: Option<WalError>,
    /// A segment that failed is not tried again before this.
    not_before: Option<Instant>,
    stop: bool,
}

/// Makes the next segment in the background, and watches the free space.
pub(super) struct Supplier {
    disk: Arc<dyn Disk>,
    spare: Mutex<Spare>,
    changed: Condvar,
    /// Whether it has a thread; without one, a segment is made when it is taken.
    threaded: bool,
}

impl Supplier {
    pub(super) fn new(disk: Arc<dyn Disk>, ready: Option<(u64, Arc<dyn DiskFile>)>, threaded: bool) -> Self {
        let spare = Mutex::new(Spare { ready, ..Spare::default() });
        Self { disk, spare, changed: Condvar::new(), threaded }
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a segment to be made, unless one is ready.
    pub(super) fn want(&self, header: SegmentHeader) {
        let mut spare = self.spare();
        if spare.ready.is_none() {
            spare.wanted = Some(header);
            self.changed.notify_all();
        }
    }

    /// The segment asked for, once it is there.
    pub(super) fn take(&self) -> Result<(u64, Arc<dyn DiskFile>), WalError> {
        let mut spare = self.spare();
        loop {
            if let Some(ready) = spare.ready.take() {
                return Ok(ready);
            }
            if let Some(failed) = spare.failed.take() {
                return Err(failed);
            }
            if spare.stop || spare.wanted.is_none() {
                return Err(WalError::Stopped { detail: "no further segment is being made".to_owned() });
            }
            spare = if self.threaded {
                self.changed.wait(spare).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.make(spare)
            };
        }
    }

    pub(super) fn stop(&self) {
        self.spare().stop = true;
        self.changed.notify_all();
    }

    /// The body of the supplier's thread.
    pub(super) fn run(&self, health: &watch::Sender<StorageHealth>) {
        let mut spare = self.spare();
        while !spare.stop {
            spare = self.turn(spare, health);
            // A failed segment is tried again after the pause; a new wish ends the pause.
            if spare.wanted.is_none() || spare.not_before.is_some() {
                let paused = self.changed.wait_timeout(spare, LOOK_EVERY);
                spare = paused.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// The same as a task, where no file operation blocks.
    pub(super) async fn run_as_task(&self, health: &watch::Sender<StorageHealth>) {
        while !self.spare().stop {
            drop(self.turn(self.spare(), health));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Makes what is wanted, and says how the disk is.
    fn turn<'a>(
        &'a self,
        spare: MutexGuard<'a, Spare>,
        health: &watch::Sender<StorageHealth>,
    ) -> MutexGuard<'a, Spare> {
        let may_try = spare.not_before.is_none_or(|at| Instant::now() >= at);
        let spare = if may_try { self.make(spare) } else { spare };
        let shortage = spare.failed.as_ref().map(ToString::to_string);
        drop(spare);
        self.report(health, shortage);
        self.spare()
    }

    fn make<'a>(&'a self, mut spare: MutexGuard<'a, Spare>) -> MutexGuard<'a, Spare> {
        let Some(wanted) = spare.wanted else { return spare };
        drop(spare);
        let made = create(&*self.disk, wanted);
        spare = self.spare();
        match made {
            Ok(file) => {
                spare.wanted = None;
                spare.failed = None;
                spare.not_before = None;
                spare.ready = Some((wanted.segment, file));
            }
            Err(error) => {
                spare.failed = Some(error);
                spare.not_before = Some(Instant::now() + TRY_AGAIN);
            }
        }
        self.changed.notify_all();
        spare
    }

    fn report(&self, health: &watch::Sender<StorageHealth>, shortage: Option<String>) {
        let now = match shortage {
            Some(detail) => StorageHealth::Full { detail },
            // Whether there is room is not known: the next write will tell.
            None => self.disk.free_bytes().map_or(StorageHealth::Ok, |free| self.room(free)),
        };
        health.send_if_modified(|health| {
            if matches!(health, StorageHealth::Failed { .. }) || *health == now {
                return false;
            }
            // The figures in it change all the time.
            if health.level() != now.level() {
                match &now {
                    StorageHealth::Low { detail } => {
                        tracing::warn!(%detail, "the disk is nearly full: refusing operators' changes");
                    }
                    StorageHealth::Full { detail } => {
                        tracing::error!(%detail, "the disk is full: refusing everything");
                    }
                    _ => tracing::info!("the disk has room again: accepting proposals"),
                }
            }
            *health = now;
            true
        });
    }

    fn room(&self, free: u64) -> StorageHealth {
        let place = self.disk.describe("");
        let left = free >> 20;
        let needed = |bytes: u64| {
            format!("{place} has {left} MiB left; {} MiB are needed. Free some space", bytes >> 20)
        };
        match free {
            _ if free < FULL => StorageHealth::Full { detail: needed(ROOM) },
            _ if free < ROOM => StorageHealth::Low { detail: needed(ROOM) },
            _ => StorageHealth::Ok,
        }
    }
}
