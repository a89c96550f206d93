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
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use coordinator_core::ids::NodeId;

/// The layout this version reads and writes.
const FORMAT: u32 = 1;
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
        write_durably(&root.join("identity"), text.as_bytes())
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
    let path = root.join("identity");
    let bad = |detail: String| DataDirError::BadIdentity { path: path.clone(), detail };
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &path)(error)),
        Ok(found) if found.len() > MAX_IDENTITY_BYTES => return Err(bad("the file is too long".to_owned())),
        Ok(_) => {}
    }
    let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
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
                path: root.join("identity"),
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

fn create_dir_durably(path: &Path) -> Result<(), DataDirError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(io_error("create", path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Replaces the file at `path` so that after a power loss it holds the old or the new content,
/// whole.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(io_error("create", &temporary))?;
    file.write_all(content).map_err(io_error("write", &temporary))?;
    file.sync_all().map_err(io_error("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(io_error("rename into place", path))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

pub(crate) fn sync_dir(path: &Path) -> Result<(), DataDirError> {
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
