//! Snapshots: one file that holds the whole state, its history and where in the log it stands.
//!
//! A header record, the groups, the pools, the events and an end record with a checksum of all before it,
//! each in its envelope.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use coordinator_core::event::Event;
use coordinator_core::ids::GroupName;
use coordinator_core::pool::Pool;
use coordinator_core::state::{Group, State};

use super::codec::{self, CodecError, Reader, SnapshotEnd, SnapshotHeader, StateMeta};
use super::disk::{self, Disk, OsDisk};
use super::types::SnapshotMeta;

/// The largest snapshot, on disk and between peers.
pub const MAX_SNAPSHOT: usize = 64 << 20;
/// What is left for the history once the groups and pools are in. Older events are left out beyond it.
const HEADROOM: usize = 1 << 20;

const NAME: &str = "current.snapshot";
const ASIDE: &str = "current.damaged";

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The state.
    pub state: State,
    /// Where in the log it stands.
    pub meta: StateMeta,
    /// The history, oldest first.
    pub events: Vec<Event>,
}

/// Encodes a snapshot. `events` gives the newest encoded events that fit the bytes it is given.
///
/// # Errors
/// Those of the codec and of `events`, and `InvalidData` when the groups alone are too large.
pub fn encode<E>(state: &State, meta: &StateMeta, events: E) -> io::Result<Bytes>
where
    E: FnOnce(usize) -> io::Result<Vec<Vec<u8>>>,
{
    // A field added to the state must go into the snapshot too.
    let State { time, groups, withdrawn, history, pools } = state;
    let mut body = Vec::new();
    for group in groups.values() {
        codec::encode_into(group, &mut body)?;
    }
    for pool in pools.values() {
        codec::encode_into(pool, &mut body)?;
    }
    let budget = MAX_SNAPSHOT.saturating_sub(body.len() + HEADROOM);
    if budget == 0 {
        let detail =
            format!("the groups and pools take {} bytes; a snapshot may have {MAX_SNAPSHOT}", body.len());
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    let events = events(budget)?;
    let (events_kept, withdrawn) = (events.len() as u64, withdrawn.clone());
    let meta = StateMeta { time: *time, events: events_kept, withdrawn, history: *history, ..meta.clone() };
    let mut out =
        codec::encode(&SnapshotHeader { meta, groups: groups.len() as u64, pools: pools.len() as u64 })?;
    out.append(&mut body);
    for event in events {
        out.extend_from_slice(&event);
    }
    let checksum = crc32c::crc32c(&out);
    codec::encode_into(&SnapshotEnd { checksum }, &mut out)?;
    Ok(out.into())
}

/// Decodes a whole snapshot.
///
/// # Errors
/// [`CodecError`]: nothing of it may be used.
pub fn decode(bytes: &[u8]) -> Result<Content, CodecError> {
    let mut reader = Reader::new(bytes);
    let SnapshotHeader { meta, groups, pools } = reader.read()?;
    let mut state = State {
        time: meta.time,
        withdrawn: meta.withdrawn.clone(),
        history: meta.history,
        ..State::default()
    };
    for _ in 0..groups {
        let group: Group = reader.read()?;
        let name: GroupName = group.spec.name.clone();
        state.groups.insert(name, group);
    }
    for _ in 0..pools {
        let pool: Pool = reader.read()?;
        state.pools.insert(pool.spec.name.clone(), pool);
    }
    let mut events = Vec::new();
    for _ in 0..meta.events {
        events.push(reader.read()?);
    }
    let before = bytes.len() - reader.rest().len();
    let end: SnapshotEnd = reader.read()?;
    reader.finish()?;
    if end.checksum != crc32c::crc32c(&bytes[..before]) {
        return Err(CodecError::Checksum);
    }
    Ok(Content { state, meta, events })
}

/// What openraft wants to know of a snapshot.
pub fn describe(meta: &StateMeta) -> SnapshotMeta {
    SnapshotMeta { last_log_id: meta.applied, last_membership: meta.membership.clone() }
}

/// The directory with the newest snapshot. Every method blocks on the disk.
#[derive(Clone)]
pub struct SnapshotDir {
    disk: Arc<dyn Disk>,
}

impl SnapshotDir {
    /// The directory at `root`, which must exist. A damaged snapshot is moved aside: it can be
    /// built again from the store, or comes from a peer.
    ///
    /// # Errors
    /// When the directory cannot be read or the damaged file not be moved.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        Self::open_on(Arc::new(OsDisk::new(root)))
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let dir = Self { disk };
        if let Some(bytes) = dir.read_bytes()?
            && let Err(error) = decode(&bytes)
        {
            let path = dir.disk.describe(NAME);
            tracing::warn!(path, %error, "the snapshot is damaged: moving it aside");
            dir.disk.rename(NAME, ASIDE)?;
        }
        // Also what a process that was killed had put into place: the log may be purged over it.
        dir.disk.sync_dir()?;
        Ok(dir)
    }

    fn read_bytes(&self) -> io::Result<Option<Bytes>> {
        Ok(disk::read(&*self.disk, NAME, MAX_SNAPSHOT as u64)?.map(Bytes::from))
    }

    /// The newest snapshot and what it covers.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> io::Result<Option<(SnapshotMeta, Bytes)>> {
        let Some(bytes) = self.read_bytes()? else { return Ok(None) };
        let header: SnapshotHeader = Reader::new(&bytes).read()?;
        Ok(Some((describe(&header.meta), bytes)))
    }

    /// Replaces the newest snapshot, atomically and lasting.
    ///
    /// # Errors
    /// When it cannot be written; the one before stays.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        disk::replace(&*self.disk, NAME, bytes).map_err(|error| {
            let path = self.disk.describe(NAME);
            io::Error::new(error.kind(), format!("could not write {path}: {error}"))
        })
    }
}
