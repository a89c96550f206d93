//! A file system in memory that is small enough to be filled.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::must;

/// What the names of all of these begin with; the pid of their test follows.
const MARK: &str = "pointsman-tiny-disk-";

/// One step of [`TinyDisk::fill_by`].
const MIB: usize = 1 << 20;

/// A mounted tmpfs; dropping it unmounts it, also while a test panics.
#[derive(Debug)]
pub struct TinyDisk {
    root: PathBuf,
    ballast: File,
}

impl TinyDisk {
    /// Mounts one of `mib` MiB at `root`, which is created.
    ///
    /// # Errors
    /// Without root, or when the kernel refuses.
    pub fn mount(root: &Path, mib: usize) -> Result<TinyDisk> {
        unmount_leftovers();
        fs::create_dir_all(root)?;
        let (name, at) = (format!("{MARK}{}", std::process::id()), path(root)?);
        must("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m,mode=700"), &name, at])?;
        let ballast = File::create(root.join("ballast"));
        if ballast.is_err() {
            unmount(at);
        }
        Ok(TinyDisk { root: root.to_owned(), ballast: ballast.context("could not create the ballast")? })
    }

    /// Takes `mib` MiB more, or all that is left.
    ///
    /// # Errors
    /// Of any other kind than a full disk.
    pub fn fill_by(&mut self, mib: usize) -> Result<()> {
        let block = vec![0xbb; MIB];
        for _ in 0..mib {
            match self.ballast.write_all(&block) {
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                written => written?,
            }
        }
        Ok(())
    }

    /// Gives back everything that was taken.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn empty(&mut self) -> Result<()> {
        // Creating truncates, and begins at the start again.
        self.ballast = File::create(self.root.join("ballast"))?;
        Ok(())
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        if let Ok(at) = path(&self.root) {
            unmount(at);
        }
    }
}

fn path(root: &Path) -> Result<&str> {
    root.to_str().with_context(|| format!("{} is not text", root.display()))
}

/// Lazily, because files in it are still open: it is gone once they are closed.
fn unmount(at: &str) {
    // Gone already, most likely.
    let _ = must("umount", &["--lazy", at]);
}

/// Unmounts those of tests that are no longer running.
fn unmount_leftovers() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let pid = fields.next().and_then(|name| name.strip_prefix(MARK));
        if let (Some(pid), Some(at)) = (pid, fields.next())
            && !Path::new("/proc").join(pid).exists()
        {
            unmount(at);
        }
    }
}
