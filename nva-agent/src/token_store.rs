//! What must outlive the process: the highest token accepted, the VIPs that may be on the
//! interfaces, for how long peers may rely on a promise, and which declaration gave failsafe up.
//!
//! One small file, replaced as a whole: write beside it, fsync, rename, fsync the directory. A
//! damaged file stops the agent: starting again from token zero would accept a lease that is
//! already another appliance's.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordinator_api::agent::VipAssignment;
use coordinator_core::ids::{ApplianceName, Token};
use serde::{Deserialize, Serialize};

/// The state file's name in the state directory.
pub const STATE_FILE: &str = "agent.state";
const TEMPORARY_FILE: &str = "agent.state.new";
const LOCK_FILE: &str = "agent.lock";
/// First line: this, a space, and the CRC32C of the rest in eight hexadecimal digits.
const HEADER: &str = "pointsman-agent-state-1";
/// Far above what 200 VIPs take; a bigger file is not ours.
const MAX_FILE: u64 = 256 * 1024;

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Whose state this is.
    pub cluster: String,
    /// Whose state this is.
    pub appliance: ApplianceName,
    /// The highest fencing token accepted.
    pub highest: Token,
    /// The VIPs that may be on the interfaces, to be cleared by the next life.
    pub vips: Vec<VipAssignment>,
    /// For how long at most this appliance may have promised its peers to accept no grant, in
    /// milliseconds; 0 when it has not. The next life counts it from its own start.
    #[serde(default)]
    pub promised_ms: u64,
    /// The newest declaration without failsafe that this appliance told a coordinator it acts on,
    /// or was about to. Older ones are passed over, whoever still knows no better: what they
    /// allow has been given up, also by the next life.
    #[serde(default)]
    pub drops_since: u64,
}

impl Stored {
    /// See [`Stored::promised_ms`].
    pub fn promised(&self) -> Duration {
        Duration::from_millis(self.promised_ms)
    }
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory, the lock or the file could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent runs with the same directory.
    #[error("the state directory {} is in use by another nva-agent; stop it, or give this one its own state_dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file is not what was written.
    #[error(
        "the state file {} is damaged ({fault}); it holds the highest fencing token that this appliance accepted. \
         Stop this agent for longer than the lease, make sure that another appliance is active, then remove the file",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The file belongs to another appliance or cluster.
    #[error(
        "the state file {} belongs to appliance {found_appliance} of cluster {found_cluster}, \
         not to {appliance} of {cluster}; give this agent its own state_dir",
        path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Expected.
        appliance: ApplianceName,
        /// Expected.
        cluster: String,
        /// Found.
        found_appliance: ApplianceName,
        /// Found.
        found_cluster: String,
    },
}

/// The state directory of one agent, locked for as long as this value lives.
#[derive(Debug)]
pub struct TokenStore {
    directory: PathBuf,
    stored: Stored,
    _lock: File,
}

impl TokenStore {
    /// Creates the directory if need be, locks it and reads what an earlier life left.
    ///
    /// # Errors
    /// See [`StoreError`]. A missing file is a new appliance, a damaged one is refused.
    pub fn open(directory: &Path, cluster: &str, appliance: &ApplianceName) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(io_error("create the state directory", directory))?;
        let lock_path = directory.join(LOCK_FILE);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(io_error("open the lock file", &lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::InUse { path: directory.to_owned() },
            TryLockError::Error(source) => StoreError::Io { action: "lock", path: lock_path.clone(), source },
        })?;
        let path = directory.join(STATE_FILE);
        let stored = match read_limited(&path) {
            Ok(bytes) => decode(&bytes).map_err(|fault| StoreError::Damaged { path: path.clone(), fault })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored {
                cluster: cluster.to_owned(),
                appliance: appliance.clone(),
                highest: Token::NONE,
                vips: Vec::new(),
                promised_ms: 0,
                drops_since: 0,
            },
            Err(source) => return Err(StoreError::Io { action: "read the state file", path, source }),
        };
        if stored.cluster != cluster || stored.appliance != *appliance {
            return Err(StoreError::NotOurs {
                path,
                appliance: appliance.clone(),
                cluster: cluster.to_owned(),
                found_appliance: stored.appliance,
                found_cluster: stored.cluster,
            });
        }
        Ok(TokenStore { directory: directory.to_owned(), stored, _lock: lock })
    }

    /// What is on disk.
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Stores a token, the VIPs, the length of a promise, rounded up to milliseconds, and
    /// [`Stored::drops_since`]. Neither the token nor the declaration goes back. Durable when it
    /// returns. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was on disk before is still there then, or what was to be.
    pub fn store(
        &mut self,
        highest: Token,
        vips: Vec<VipAssignment>,
        promised: Duration,
        drops_since: u64,
    ) -> Result<(), StoreError> {
        let promised_ms = u64::try_from(promised.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let highest = highest.max(self.stored.highest);
        let drops_since = drops_since.max(self.stored.drops_since);
        let next = Stored { highest, vips, promised_ms, drops_since, ..self.stored.clone() };
        if next == self.stored {
            return Ok(());
        }
        let temporary = self.directory.join(TEMPORARY_FILE);
        let bytes = encode(&next).map_err(io_error("encode the state for", &temporary))?;
        let mut file = File::create(&temporary).map_err(io_error("create", &temporary))?;
        file.write_all(&bytes).map_err(io_error("write", &temporary))?;
        file.sync_all().map_err(io_error("fsync", &temporary))?;
        let path = self.directory.join(STATE_FILE);
        fs::rename(&temporary, &path).map_err(io_error("replace", &path))?;
        // Without this a power loss may bring the older file back.
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(io_error("fsync the directory", &self.directory))?;
        self.stored = next;
        Ok(())
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encode(stored: &Stored) -> io::Result<Vec<u8>> {
    let body = serde_json::to_string_pretty(stored).map_err(io::Error::other)? + "\n";
    Ok(format!("{HEADER} {:08x}\n{body}", crc32c::crc32c(body.as_bytes())).into_bytes())
}

fn decode(bytes: &[u8]) -> Result<Stored, String> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE) {
        return Err(format!("longer than {MAX_FILE} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "not text".to_owned())?;
    let (header, body) = text.split_once('\n').ok_or("no header line")?;
    let (magic, crc) = header.split_once(' ').ok_or("no header line")?;
    if magic != HEADER {
        return Err(format!("its first line does not start with {HEADER}"));
    }
    if crc != format!("{:08x}", crc32c::crc32c(body.as_bytes())) {
        return Err("checksum mismatch".to_owned());
    }
    serde_json::from_str(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn appliance() -> ApplianceName {
        ApplianceName::new("fw-a").unwrap()
    }

    fn open(directory: &Path) -> Result<TokenStore, StoreError> {
        TokenStore::open(directory, "c1", &appliance())
    }

    fn vip() -> VipAssignment {
        VipAssignment {
            binding: coordinator_core::ids::BindingName::new("vip").unwrap(),
            address: "10.0.0.9".parse().unwrap(),
            prefix_len: 24,
            interface: "eth0".to_owned(),
        }
    }

    #[test]
    fn what_is_stored_is_there_in_the_next_life() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        assert_eq!(store.stored().highest, Token::NONE);
        store.store(Token(7), vec![vip()], NONE, 0).unwrap();
        store.store(Token(3), vec![vip()], NONE, 0).unwrap();
        drop(store);
        let store = open(directory.path()).unwrap();
        assert_eq!(store.stored().highest, Token(7), "a token never goes down");
        assert_eq!(store.stored().vips, [vip()]);
    }

    #[test]
    fn a_promise_is_stored_and_taken_back_and_older_files_have_none() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        store.store(Token(7), Vec::new(), Duration::from_micros(3_031_001), 0).unwrap();
        drop(store);
        let mut store = open(directory.path()).unwrap();
        assert_eq!(store.stored().promised(), Duration::from_millis(3_032), "never rounded down");
        store.store(Token(7), Vec::new(), NONE, 0).unwrap();
        assert_eq!(store.stored().promised(), NONE);
        let body = r#"{"cluster":"c1","appliance":"fw-a","highest":7,"vips":[]}"#;
        let older = format!("{HEADER} {:08x}\n{body}", crc32c::crc32c(body.as_bytes()));
        assert_eq!(decode(older.as_bytes()).unwrap().promised(), NONE);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).unwrap().store(Token(7), vec![vip()], NONE, 0).unwrap();
        let path = directory.path().join(STATE_FILE);
        let good = fs::read(&path).unwrap();
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[position] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "bit {bit} of byte {position}");
            }
            assert!(decode(&good[..position]).is_err(), "cut at {position}");
        }
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let refused = open(directory.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }));
        assert!(refused.to_string().contains(STATE_FILE) && refused.to_string().contains("remove the file"));
    }

    #[test]
    fn a_directory_in_use_is_refused_and_free_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path()).unwrap();
        assert!(matches!(open(directory.path()), Err(StoreError::InUse { .. })));
        drop(first);
        open(directory.path()).unwrap();
    }

    #[test]
    fn the_state_of_another_appliance_or_cluster_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).unwrap().store(Token(7), Vec::new(), NONE, 0).unwrap();
        let other = ApplianceName::new("fw-b").unwrap();
        for refused in [
            TokenStore::open(directory.path(), "c1", &other),
            TokenStore::open(directory.path(), "c2", &appliance()),
        ] {
            assert!(matches!(refused, Err(StoreError::NotOurs { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_failed_write_leaves_what_was_stored() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        store.store(Token(7), Vec::new(), NONE, 0).unwrap();
        // A directory in the way of the temporary file fails like a full disk, also for root.
        fs::create_dir(directory.path().join(TEMPORARY_FILE)).unwrap();
        assert!(matches!(store.store(Token(8), Vec::new(), NONE, 0), Err(StoreError::Io { .. })));
        assert_eq!(store.stored().highest, Token(7));
        drop(store);
        assert_eq!(open(directory.path()).unwrap().stored().highest, Token(7));
    }
}
