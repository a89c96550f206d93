//! The directory that holds everything a replica keeps.
//!
//! ```text
//! lock         held while the process runs
//! identity     cluster, node and format: a directory serves one node of one cluster
//! wal/         the write-ahead log
//! state/       the materialised state and the history
//! snapshots/   the newest snapshot
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use coordinator_core::ids::NodeId;

use super::disk::{self, OsDisk};

/// The layout this version reads and writes.
const FORMAT: u32 = 1;
const IDENTITY: &str = "identity";
/// An identity file is a few lines; anything longer is not one.
const MAX_IDENTITY_BYTES: u64 = 4096;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error(
        "the data directory is in use by another process; stop that one first, or give this node a directory of its own"
    )]
    InUse,
    /// The directory belongs to another cluster.
    #[error(
        "the data directory belongs to cluster {found:?}, this node is configured for {expected:?}; point data_dir elsewhere, or correct the cluster id"
    )]
    OtherCluster {
        /// As configured.
        expected: String,
        /// As found.
        found: String,
    },
    /// The directory belongs to another node.
    #[error(
        "the data directory belongs to node {found}, this one is configured as node {expected}; two nodes must never share an id or a directory"
    )]
    OtherNode {
        /// As configured.
        expected: NodeId,
        /// As found.
        found: NodeId,
    },
    /// The identity file is unreadable, or missing from a directory that is in use.
    #[error("{}: {detail}; restore the file, or empty the directory and let the node rejoin", path.display())]
    BadIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

/// A data directory, locked for this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    fresh: bool,
    _lock: File,
}

impl DataDir {
    /// Opens the directory at `root`, creating it on the first start.
    ///
    /// # Errors
    /// [`DataDirError`]: nothing was changed, except that an empty directory may remain.
    pub fn open(root: &Path, cluster_id: &str, node_id: NodeId) -> Result<Self, DataDirError> {
        create_dir_durably(root)?;
        // It may have been made by a process that was killed before it was lasting. An operator
        // may as well have made it below a directory that this process cannot read.
        let _ = sync_dir(parent(root));
        let lock = take_lock(&root.join("lock"))?;
        let fresh = match read_identity(root)? {
            Some(found) => {
                found.check(cluster_id, node_id)?;
                false
            }
            None => {
                refuse_orphans(root)?;
                Identity { cluster: cluster_id.to_owned(), node: node_id }.write(root)?;
                true
            }
        };
        for dir in ["wal", "state", "snapshots"] {
            create_dir_durably(&root.join(dir))?;
        }
        // Whoever made them before may have been killed before they were lasting.
        sync_dir(root)?;
        Ok(Self { root: root.to_owned(), fresh, _lock: lock })
    }

    /// Whether this call created it.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Where the write-ahead log is.
    pub fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }

    /// Where the state store is.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Where snapshots are.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    cluster: String,
    node: NodeId,
}

impl Identity {
    fn check(&self, cluster_id: &str, node_id: NodeId) -> Result<(), DataDirError> {
        if self.cluster != cluster_id {
            return Err(DataDirError::OtherCluster {
                expected: cluster_id.to_owned(),
                found: self.cluster.clone(),
            });
        }
        if self.node != node_id {
            return Err(DataDirError::OtherNode { expected: node_id, found: self.node });
        }
        Ok(())
    }

    fn write(&self, root: &Path) -> Result<(), DataDirError> {
        let text = format!("format = {FORMAT}\ncluster = {}\nnode = {}\n", self.cluster, self.node);
        let disk = OsDisk::new(root.to_owned());
        disk::replace(&disk, IDENTITY, text.as_bytes()).map_err(io_error("write", &root.join(IDENTITY)))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
                .ok_or_else(|| format!("no line {name:?}"))
        };
        let format = field("format")?;
        if format != FORMAT.to_string() {
            return Err(format!("format {format} is not the format {FORMAT} of this version"));
        }
        let node = field("node")?;
        let node = node.parse().map_err(|_| format!("node {node:?} is not a number"))?;
        Ok(Self { cluster: field("cluster")?.to_owned(), node: NodeId(node) })
    }
}

fn read_identity(root: &Path) -> Result<Option<Identity>, DataDirError> {
    let path = root.join(IDENTITY);
    let bad = |detail: String| DataDirError::BadIdentity { path: path.clone(), detail };
    let disk = OsDisk::new(root.to_owned());
    let bytes = match disk::read(&disk, IDENTITY, MAX_IDENTITY_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(bad(error.to_string())),
        read => read.map_err(io_error("read", &path))?,
    };
    let Some(bytes) = bytes else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| bad("the file is not text".to_owned()))?;
    Identity::parse(&text).map(Some).map_err(bad)
}

/// Without an identity the directory must hold no data: a lost identity file is not a first start.
fn refuse_orphans(root: &Path) -> Result<(), DataDirError> {
    for dir in ["wal", "snapshots"] {
        let path = root.join(dir);
        let occupied = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(io_error("list", &path)(error)),
            Ok(mut entries) => entries.next().is_some(),
        };
        if occupied {
            return Err(DataDirError::BadIdentity {
                path: root.join(IDENTITY),
                detail: format!("missing, while {} is not empty", path.display()),
            });
        }
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, DataDirError> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(io_error("open", path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse),
        Err(TryLockError::Error(error)) => Err(io_error("lock", path)(error)),
    }
}

/// Creates `path` and whatever is missing above it, each lasting before the next is made.
fn create_dir_durably(path: &Path) -> Result<(), DataDirError> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.is_dir()).collect();
    for dir in missing.into_iter().rev() {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error("create", dir)(error));
            }
            _ => sync_dir(parent(dir))?,
        }
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_dir(path: &Path) -> Result<(), DataDirError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(io_error("sync", path))
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> DataDirError {
    move |source| DataDirError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let held = DataDir::open(root.path(), "c1", NodeId(1)).unwrap();
        assert!(held.is_fresh());
        assert!(matches!(DataDir::open(root.path(), "c1", NodeId(1)), Err(DataDirError::InUse)));
        drop(held);
        assert!(!DataDir::open(root.path(), "c1", NodeId(1)).unwrap().is_fresh());
    }

    #[test]
    fn a_directory_of_another_cluster_or_node_is_refused() {
        let root = tempfile::tempdir().unwrap();
        drop(DataDir::open(root.path(), "c1", NodeId(1)).unwrap());
        let other = DataDir::open(root.path(), "c2", NodeId(1)).unwrap_err();
        assert!(matches!(other, DataDirError::OtherCluster { .. }), "{other}");
        let other = DataDir::open(root.path(), "c1", NodeId(2)).unwrap_err();
        assert!(matches!(other, DataDirError::OtherNode { .. }), "{other}");
    }

    #[test]
    fn a_lost_or_damaged_identity_is_not_a_first_start() {
        let root = tempfile::tempdir().unwrap();
        drop(DataDir::open(root.path(), "c1", NodeId(1)).unwrap());
        let identity = root.path().join("identity");
        fs::write(&identity, "format = 9\ncluster = c1\nnode = 1\n").unwrap();
        assert!(matches!(DataDir::open(root.path(), "c1", NodeId(1)), Err(DataDirError::BadIdentity { .. })));
        fs::remove_file(&identity).unwrap();
        fs::write(root.path().join("wal/000000000001.seg"), "x").unwrap();
        assert!(matches!(DataDir::open(root.path(), "c1", NodeId(1)), Err(DataDirError::BadIdentity { .. })));
    }
}
