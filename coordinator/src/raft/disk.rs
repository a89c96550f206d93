//! The few file operations that Raft's files need, behind a trait so that tests can lose power.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;

/// A directory.
pub trait Disk: Send + Sync + 'static {
    /// The names in it.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file, empty, or empties it.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file over another or none. Lasting only after [`sync_dir`](Self::sync_dir).
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Lasting only after [`sync_dir`](Self::sync_dir).
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes what was created, renamed and removed last through a power loss.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// How an operator finds the file.
    fn describe(&self, name: &str) -> String;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at `offset`. Lasting only after [`sync`](Self::sync).
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes everything written last through a power loss: `fdatasync`.
    fn sync(&self) -> io::Result<()>;
    /// The same before a batch is acknowledged. A simulated disk takes its virtual time here; a
    /// real one blocks, on the writer's own thread.
    fn sync_batch(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(self.sync()))
    }
}

/// Replaces the file `name` so that after a power loss it holds the old or the new content, whole.
///
/// # Errors
/// The old content stays, unless the very last step failed: it makes the new one last.
pub fn replace(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let file = disk.create(&temporary)?;
    file.write_at(0, content)?;
    file.sync()?;
    disk.rename(&temporary, name)?;
    disk.sync_dir()
}

/// The content of the file `name`, if there is one; an error if it is longer than `limit` bytes.
///
/// # Errors
/// When it cannot be read, and `InvalidData` when it is too long.
pub fn read(disk: &dyn Disk, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let size = file.size()?;
    if size > limit {
        let detail = format!("{} is {size} bytes long; {limit} is the most", disk.describe(name));
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

/// A directory of the operating system.
#[derive(Debug, Clone)]
pub struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    /// The directory at `root`, which must exist.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl Disk for OsDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.root)?
            .map(|entry| {
                let name = entry?.file_name();
                name.into_string()
                    .map_err(|name| io::Error::other(format!("{name:?} is not a file of the log")))
            })
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.root.join(name))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.root.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = nix::sys::statvfs::statvfs(&self.root)?;
        Ok(found.blocks_available().saturating_mul(found.fragment_size()))
    }

    fn describe(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }
}

struct OsFile(File);

impl DiskFile for OsFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
