//! A disk of a process's own that can hang: ext4 on a loop device, frozen and thawed at will.
//!
//! While it is frozen (`FIFREEZE`), every write waits in the kernel and cannot be interrupted, as
//! on a disk or a storage path that answers no more. Reads go on.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::must;

/// What directories begin with in which a test of a process id, which follows, mounts these.
pub const MARK: &str = "pointsman-test-";

/// A slow disk lets everything through that has waited for so long at most.
const HELD: Duration = Duration::from_millis(250);

/// For so long at a time.
const LET_THROUGH: Duration = Duration::from_millis(20);

/// A mounted file system; dropping it thaws and unmounts it, also while a test panics.
#[derive(Debug)]
pub struct LoopDisk {
    root: PathBuf,
    frozen: bool,
    /// Slows it down for as long as the sender lives.
    slow: Option<(Sender<()>, JoinHandle<()>)>,
}

impl LoopDisk {
    /// Why this machine has no such disks, if it has none: no loop devices, or no tools.
    pub fn missing() -> Option<String> {
        let trial = || -> Result<()> {
            let dir = tempfile::Builder::new().prefix(&format!("{MARK}{}-", std::process::id())).tempdir()?;
            let mut disk = LoopDisk::mount(&dir.path().join("trial"), 8)?;
            disk.hang()?;
            disk.heal()
        };
        trial()
            .err()
            .map(|error| format!("it needs ext4 on a loop device, mkfs.ext4 and fsfreeze ({error:#})"))
    }

    /// Mounts one of `mib` MiB at `root`, which is created. Its image is a sparse file beside it.
    ///
    /// # Errors
    /// What the tools say.
    pub fn mount(root: &Path, mib: u64) -> Result<LoopDisk> {
        thaw_leftovers();
        fs::create_dir_all(root)?;
        let image = root.with_extension("ext4");
        File::create(&image)?.set_len(mib << 20)?;
        must("mkfs.ext4", &["-q", "-F", "-m", "0", text(&image)?])?;
        must("mount", &["-o", "loop", text(&image)?, text(root)?])?;
        let disk = LoopDisk { root: root.to_owned(), frozen: false, slow: None };
        fs::remove_dir(root.join("lost+found"))?;
        fs::set_permissions(root, Permissions::from_mode(0o700))?;
        Ok(disk)
    }

    /// Lets every write wait from now on.
    ///
    /// # Errors
    /// What `fsfreeze` says.
    pub fn hang(&mut self) -> Result<()> {
        self.frozen = true;
        freeze(&self.root)
    }

    /// Makes every write wait for up to a quarter of a second from now on.
    ///
    /// # Errors
    /// When the disk cannot hang.
    pub fn slow_down(&mut self) -> Result<()> {
        self.hang()?;
        let (stop, stopped) = mpsc::channel();
        let root = self.root.clone();
        let slow = std::thread::spawn(move || {
            while stopped.recv_timeout(HELD) == Err(RecvTimeoutError::Timeout) {
                let turn = thaw(&root).and_then(|()| {
                    std::thread::sleep(LET_THROUGH);
                    freeze(&root)
                });
                if turn.is_err() {
                    break;
                }
            }
        });
        self.slow = Some((stop, slow));
        Ok(())
    }

    /// A sound disk again, if it was not.
    ///
    /// # Errors
    /// What `fsfreeze` says.
    pub fn heal(&mut self) -> Result<()> {
        if let Some((stop, slow)) = self.slow.take() {
            drop(stop);
            // It has no way to panic that matters here.
            let _ = slow.join();
        }
        if !std::mem::take(&mut self.frozen) {
            return Ok(());
        }
        thaw(&self.root)
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.heal();
        if let Ok(root) = text(&self.root) {
            unmount(root);
        }
    }
}

fn freeze(root: &Path) -> Result<()> {
    must("fsfreeze", &["--freeze", text(root)?]).map(drop)
}

fn thaw(root: &Path) -> Result<()> {
    must("fsfreeze", &["--unfreeze", text(root)?]).map(drop)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}

/// Lazily, because processes may have files open in it. A frozen one must be thawed first: it
/// could not be reached any more.
fn unmount(at: &str) {
    // Gone already, most likely.
    let _ = must("umount", &["--lazy", at]);
}

/// Thaws and unmounts those of tests that are no longer running.
fn thaw_leftovers() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for at in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        let pid = at.split_once(MARK).and_then(|(_, rest)| rest.split('-').next());
        if pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            // It is not frozen, most likely.
            let _ = thaw(Path::new(at));
            unmount(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::privileged::{say, skip_unless_privileged};

    #[test]
    fn a_hung_disk_holds_writes_until_it_is_healed() -> Result<()> {
        const NAME: &str = "a_hung_disk_holds_writes_until_it_is_healed";
        if skip_unless_privileged(NAME)? {
            return Ok(());
        }
        if let Some(why) = LoopDisk::missing() {
            say(&format!("{NAME}: skipped, {why}"));
            return Ok(());
        }
        let dir = tempfile::Builder::new().prefix(&format!("{MARK}{}-", std::process::id())).tempdir()?;
        let mut disk = LoopDisk::mount(&dir.path().join("disk"), 16)?;
        let root = disk.root.clone();
        let write = |name: &str| {
            let path = root.join(name);
            std::thread::spawn(move || fs::write(path, "x"))
        };
        assert!(write("before").join().is_ok_and(|written| written.is_ok()));
        disk.hang()?;
        let held = write("held");
        std::thread::sleep(Duration::from_millis(200));
        assert!(!held.is_finished(), "a write ended on a disk that hangs");
        disk.heal()?;
        assert!(held.join().is_ok_and(|written| written.is_ok()));

        disk.slow_down()?;
        let path = root.join("slow");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            fs::write(&path, "x")?;
        }
        disk.heal()?;
        drop(disk);
        assert!(!root.join("before").exists(), "it is still mounted");
        Ok(())
    }
}
