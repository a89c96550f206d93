//! Where the measurements write, and the fastest durable write there: the floor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use coordinator::raft::wal::SEGMENT_SIZE;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use tempfile::TempDir;

/// An empty directory, in the one named by the program's first argument or in the system's own
/// for temporary files. It is removed when dropped.
///
/// # Errors
/// The directory cannot be used, or it is in memory: there a sync costs nothing, and a ratio to
/// it says nothing.
pub fn scratch() -> anyhow::Result<TempDir> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let shown = parent.display();
    let found = statfs(&parent).with_context(|| format!("could not look at {shown}"))?;
    if found.filesystem_type() == TMPFS_MAGIC {
        bail!("{shown} is in memory; name a directory on a disk as the first argument");
    }
    let dir = tempfile::tempdir_in(&parent);
    dir.with_context(|| format!("could not make a directory in {shown}"))
}

/// Overwrites a file that exists in full, and calls `fdatasync` each time.
///
/// The sync then carries data alone: no allocation and no change of length. No log that is
/// durable can append with less.
pub struct Floor {
    file: File,
    block: Vec<u8>,
    at: u64,
}

impl Floor {
    /// Writes the file `name` full of zeros, as long as a segment of the log, to be overwritten
    /// `bytes` at a time.
    ///
    /// # Errors
    /// The disk failed or is full.
    pub fn create(dir: &Path, name: &str, bytes: usize) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(dir.join(name))?;
        let zeros = vec![0; 1 << 20];
        for at in (0..SEGMENT_SIZE).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, block: vec![0xA5; bytes], at: 0 })
    }

    /// One durable write, and how long it took. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&mut self) -> io::Result<Duration> {
        let bytes = self.block.len() as u64;
        if self.at + bytes > SEGMENT_SIZE {
            self.at = 0;
        }
        let started = Instant::now();
        self.file.write_all_at(&self.block, self.at)?;
        self.file.sync_data()?;
        let took = started.elapsed();
        self.at += bytes;
        Ok(took)
    }
}
