//! The materialised state and the history. The only place that knows sled.
//!
//! One tree, five kinds of key: `m` for what was applied last, `g<name>` for a group, `p<name>` for
//! a pool, `h<index><seq>` (big-endian) for an event, `s` for a sum over all of them. What an entry changes
//! and the entry's own log id go in one atomic batch.
//!
//! Atomic for a process that is killed, not when the power goes: sled uses segments of its file
//! again before what made them free is on the disk, so pages of two moments may meet. The sum
//! tells; such a store is set aside.
//!
//! Nothing here is synced while entries are applied: the log can always rebuild it. Before the log
//! is purged, [`Store::persist`] makes it last. `sled::flush` alone does not: it hands pages to the
//! kernel (`sync_file_range`) without waiting for the disk, so the files are synced here as well.

mod opening;

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use coordinator_core::event::Event;
use coordinator_core::ids::{GroupName, PoolName};
use coordinator_core::pool::Pool;
use coordinator_core::state::{Group, State};

use super::codec::{self, CodecError, StateMeta};
use super::history::HistoryQuery;
use opening::{move_aside, open_db, panicked, unwinding};

const META: &[u8] = b"m";
const GROUP: u8 = b'g';
const POOL: u8 = b'p';
const EVENT: u8 = b'h';
const SUM: &[u8] = b"s";
/// sled stalls for seconds on a very large batch.
const CHUNK: usize = 1000;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// sled failed.
    #[error("could not {action} the state store")]
    Sled {
        /// What was attempted.
        action: &'static str,
        /// Why not.
        source: sled::Error,
    },
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
    /// Something in it cannot be encoded or decoded.
    #[error("could not read or write a value of the state store")]
    Codec(#[from] CodecError),
    /// A key is not one of ours.
    #[error("the state store holds an unknown key {key:?}")]
    Key {
        /// As found.
        key: Vec<u8>,
    },
    /// Its parts are not of one moment.
    #[error("the state store holds parts of different moments: the power went while it was written")]
    Mixed,
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> io::Error {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        io::Error::other(format!("{error}{cause}"))
    }
}

fn failed(action: &'static str) -> impl Fn(sled::Error) -> StoreError {
    move |source| StoreError::Sled { action, source }
}

/// What a batch of entries changed.
#[derive(Debug)]
pub struct Change<'a> {
    /// Groups that are new or different; `None` for one that is gone.
    pub groups: Vec<(&'a GroupName, Option<&'a Group>)>,
    /// The same of pools.
    pub pools: Vec<(&'a PoolName, Option<&'a Pool>)>,
    /// New events, in order.
    pub events: &'a [Event],
    /// What was applied last. `events` counts the history before the new events; the count after
    /// them is returned by [`Store::apply`].
    pub meta: &'a StateMeta,
}

/// The store. Every method blocks on the disk.
#[derive(Debug)]
pub struct Store {
    db: sled::Db,
    path: PathBuf,
    retained: u64,
    /// As stored under [`SUM`].
    sum: Mutex<Sum>,
}

/// A sum over keys and values, in any order. Not against forgery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_add(Self::of(key, value));
    }

    fn take(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_sub(Self::of(key, value));
    }

    /// A checksum, spread over 64 bits so that sums of several do not cancel out.
    fn of(key: &[u8], value: &[u8]) -> u64 {
        let length = crc32c::crc32c(&(key.len() as u64).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(length, key), value);
        let spread = (u64::from(crc) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread ^ (spread >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl Store {
    /// Opens the store at `path` and reads the state. One that cannot be read, or that sled panics
    /// over, even after sled's own snapshot files are removed, is moved aside and started empty: it is rebuilt from the
    /// log and the newest snapshot.
    ///
    /// # Errors
    /// [`StoreError`] when not even an empty one can be made.
    pub fn open(path: &Path, retained: u64) -> Result<(Self, State, StateMeta), StoreError> {
        let attempt = || {
            let store = Self { db: open_db(path)?, path: path.to_owned(), retained, sum: Mutex::default() };
            let (state, meta) = store.load()?;
            Ok::<_, StoreError>((store, state, meta))
        };
        let first = unwinding(attempt).unwrap_or_else(|| Err(failed("read")(panicked())));
        match first {
            Ok(opened) => Ok(opened),
            Err(StoreError::Sled { source: sled::Error::Io(source), .. }) => {
                // The disk or the permissions, not the content: setting it aside would not help.
                Err(StoreError::Io { action: "open", path: path.to_owned(), source })
            }
            Err(error) => {
                let cause = io::Error::from(error);
                tracing::warn!(%cause, path = %path.display(), "the state store is unreadable: rebuilding it from the log");
                move_aside(path)?;
                attempt()
            }
        }
    }

    fn load(&self) -> Result<(State, StateMeta), StoreError> {
        let mut state = State::default();
        let Some(meta) = self.db.get(META).map_err(failed("read"))? else {
            // Without it, whatever else is there is the rest of an interrupted replacement.
            self.clear()?;
            return Ok((state, StateMeta::default()));
        };
        self.check_sum()?;
        let meta: StateMeta = codec::decode(&meta)?;
        for found in self.db.scan_prefix([GROUP]) {
            let (key, value) = found.map_err(failed("read"))?;
            let name = std::str::from_utf8(&key[1..]).ok().and_then(|name| GroupName::new(name).ok());
            let name = name.ok_or_else(|| StoreError::Key { key: key.to_vec() })?;
            state.groups.insert(name, codec::decode(&value)?);
        }
        for found in self.db.scan_prefix([POOL]) {
            let (_, value) = found.map_err(failed("read"))?;
            let pool: Pool = codec::decode(&value)?;
            state.pools.insert(pool.spec.name.clone(), pool);
        }
        state.time = meta.time;
        state.withdrawn.clone_from(&meta.withdrawn);
        state.history = meta.history;
        Ok((state, meta))
    }

    fn check_sum(&self) -> Result<(), StoreError> {
        let mut sum = Sum::default();
        let mut stored: Option<sled::IVec> = None;
        for found in self.db.iter() {
            let (key, value): (sled::IVec, sled::IVec) = found.map_err(failed("read"))?;
            if *key == *SUM {
                stored = Some(value);
            } else {
                sum.add(&key, &value);
            }
        }
        if stored.is_none_or(|stored| *stored != sum.bytes()) {
            return Err(StoreError::Mixed);
        }
        *self.sum() = sum;
        Ok(())
    }

    fn sum(&self) -> MutexGuard<'_, Sum> {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what a batch of entries changed, atomically. Returns how many events are kept.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was written.
    pub fn apply(&self, change: &Change<'_>) -> Result<u64, StoreError> {
        let mut current = self.sum();
        let mut writing = Writing { db: &self.db, batch: sled::Batch::default(), sum: *current };
        for (name, group) in &change.groups {
            let value = group.map(codec::encode).transpose()?;
            writing.put(group_key(name), value)?;
        }
        for (name, pool) in &change.pools {
            let value = pool.map(codec::encode).transpose()?;
            writing.put(pool_key(name), value)?;
        }
        for event in change.events {
            writing.put(event_key(event.index, event.seq), Some(codec::encode(event)?))?;
        }
        let mut meta = change.meta.clone();
        meta.events += change.events.len() as u64;
        let excess = meta.events.saturating_sub(self.retained);
        for found in self.db.scan_prefix([EVENT]).keys().take(excess.min(self.retained) as usize) {
            writing.put(found.map_err(failed("read"))?.to_vec(), None)?;
            meta.events -= 1;
        }
        writing.put(META.to_vec(), Some(codec::encode(&meta)?))?;
        let Writing { mut batch, sum, .. } = writing;
        batch.insert(SUM, &sum.bytes());
        self.db.apply_batch(batch).map_err(failed("write to"))?;
        *current = sum;
        Ok(meta.events)
    }

    /// Replaces everything. Interrupted, it leaves a store that counts as empty.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn replace(&self, state: &State, meta: &StateMeta, events: &[Event]) -> Result<(), StoreError> {
        self.clear()?;
        let mut sum = Sum::default();
        let mut put = |batch: &mut sled::Batch, key: Vec<u8>, value: Vec<u8>| {
            sum.add(&key, &value);
            batch.insert(key, value);
        };
        // A field added to the state must be stored too: this line then no longer compiles.
        let State { time: _, groups, withdrawn: _, history: _, pools } = state;
        let mut batch = sled::Batch::default();
        for (name, group) in groups {
            put(&mut batch, group_key(name), codec::encode(group)?);
        }
        for (name, pool) in pools {
            put(&mut batch, pool_key(name), codec::encode(pool)?);
        }
        self.db.apply_batch(batch).map_err(failed("write to"))?;
        for chunk in events.chunks(CHUNK) {
            let mut batch = sled::Batch::default();
            for event in chunk {
                put(&mut batch, event_key(event.index, event.seq), codec::encode(event)?);
            }
            self.db.apply_batch(batch).map_err(failed("write to"))?;
        }
        let mut batch = sled::Batch::default();
        put(&mut batch, META.to_vec(), codec::encode(meta)?);
        batch.insert(SUM, &sum.bytes());
        self.db.apply_batch(batch).map_err(failed("write to"))?;
        *self.sum() = sum;
        self.persist()
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.db.remove(META).map_err(failed("clear"))?;
        *self.sum() = Sum::default();
        loop {
            let mut batch = sled::Batch::default();
            let mut count = 0;
            for key in self.db.iter().keys().take(CHUNK) {
                batch.remove(key.map_err(failed("read"))?);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            self.db.apply_batch(batch).map_err(failed("clear"))?;
        }
    }

    /// Makes everything written so far last through a power loss.
    ///
    /// # Errors
    /// [`StoreError`]: the log must not be purged.
    pub fn persist(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed("flush"))?;
        for file in ["db", "conf"] {
            sync_file(&self.path.join(file))?;
        }
        // sled syncs neither its directory nor, on a new store, the one above it.
        sync_file(&self.path)?;
        if let Some(above) = self.path.parent().filter(|above| !above.as_os_str().is_empty()) {
            sync_file(above)?;
        }
        let blobs = self.path.join("blobs");
        let listing = match fs::read_dir(&blobs) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(StoreError::Io { action: "list", path: blobs, source }),
        };
        // Values too large for a page: rare, and not covered by the other file.
        for entry in listing {
            let entry =
                entry.map_err(|source| StoreError::Io { action: "list", path: blobs.clone(), source })?;
            sync_file(&entry.path())?;
        }
        sync_file(&blobs)
    }

    /// Events that meet `query`: oldest first if it says after which one, else newest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<Event>, StoreError> {
        let before = query.before.map_or_else(|| vec![EVENT + 1], |(index, seq)| event_key(index, seq));
        let Some((index, seq)) = query.after else {
            let newest_first = self.db.range(vec![EVENT]..before).values().rev();
            // Time never goes back along the log: nothing older can match.
            return matching(query, newest_first, |event| query.from.is_some_and(|from| event.at < from));
        };
        if event_key(index, seq) >= before {
            return Ok(Vec::new());
        }
        let range = (Bound::Excluded(event_key(index, seq)), Bound::Excluded(before));
        let oldest_first = self.db.range(range).values();
        matching(query, oldest_first, |event| query.until.is_some_and(|until| event.at > until))
    }

    /// The newest events up to log index `upto` whose encoded size is at most `budget` bytes in
    /// all, oldest first, each in its envelope.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn encoded_events(&self, upto: u64, budget: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let end = match upto.checked_add(1) {
            Some(next) => event_key(next, 0),
            None => vec![EVENT + 1],
        };
        let mut events = Vec::new();
        let mut bytes = 0;
        for value in self.db.range(vec![EVENT]..end).values().rev() {
            let value = value.map_err(failed("read"))?;
            bytes += value.len();
            if bytes > budget {
                break;
            }
            events.push(value.to_vec());
        }
        events.reverse();
        Ok(events)
    }
}

/// Those of `entries` that match, up to the limit or the first that is `beyond`.
fn matching(
    query: &HistoryQuery,
    entries: impl Iterator<Item = sled::Result<sled::IVec>>,
    beyond: impl Fn(&Event) -> bool,
) -> Result<Vec<Event>, StoreError> {
    let mut found = Vec::new();
    for entry in entries {
        let event: Event = codec::decode(&entry.map_err(failed("read"))?)?;
        if beyond(&event) {
            break;
        }
        if query.matches(&event) {
            found.push(event);
            if found.len() == query.effective_limit() {
                break;
            }
        }
    }
    Ok(found)
}

/// A batch being put together, and the sum as it will be.
struct Writing<'a> {
    db: &'a sled::Db,
    batch: sled::Batch,
    sum: Sum,
}

impl Writing<'_> {
    /// Sets or removes a key, at most once in a batch.
    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), StoreError> {
        if let Some(old) = self.db.get(&key).map_err(failed("read"))? {
            self.sum.take(&key, &old);
        }
        match value {
            Some(value) => {
                self.sum.add(&key, &value);
                self.batch.insert(key, value);
            }
            None => self.batch.remove(key),
        }
        Ok(())
    }
}

fn group_key(name: &GroupName) -> Vec<u8> {
    [&[GROUP], name.as_str().as_bytes()].concat()
}

fn pool_key(name: &PoolName) -> Vec<u8> {
    [&[POOL], name.as_str().as_bytes()].concat()
}

fn event_key(index: u64, seq: u32) -> Vec<u8> {
    let mut key = vec![EVENT];
    key.extend_from_slice(&index.to_be_bytes());
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_data()).map_err(|source| StoreError::Io {
        action: "sync",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use coordinator_core::chain::Link;
    use coordinator_core::command::Actor;
    use coordinator_core::event::{EventBody, Level};
    use coordinator_core::ids::NodeId;
    use coordinator_core::model::{GroupSpec, LeaseSpec, Policy};
    use coordinator_core::pool::{PoolPolicy, PoolSpec};
    use coordinator_core::time::WallTime;

    use super::*;
    use crate::raft::types::log_id;

    #[test]
    fn a_panic_of_sled_is_an_error_that_sets_the_store_aside() {
        let panics = || -> sled::Result<sled::Db> { panic!("tried to serialize Uninitialized") };
        let opened = unwinding(panics).unwrap_or_else(|| Err(panicked()));
        assert!(matches!(opened, Err(sled::Error::ReportableBug(_))));
    }

    fn event(index: u64, level: Level) -> Event {
        Event {
            index,
            seq: 0,
            at: WallTime(index * 10),
            actor: Actor::Coordinator(NodeId(1)),
            level,
            group: None,
            appliance: None,
            operation: None,
            body: EventBody::GroupRemoved,
            link: Link::default(),
        }
    }

    fn group(name: &str) -> Group {
        let spec = GroupSpec {
            name: GroupName::new(name).unwrap(),
            appliances: Vec::new(),
            bindings: Vec::new(),
            policy: Policy::default(),
            lease: LeaseSpec::default(),
            path_probes: Vec::new(),
        };
        Group::new(spec, 1, WallTime(0))
    }

    fn pool(name: &str) -> Pool {
        let spec = PoolSpec {
            name: PoolName::new(name).unwrap(),
            members: Vec::new(),
            ingress: None,
            egress: None,
            policy: PoolPolicy::default(),
        };
        Pool::new(spec, 1, WallTime(0))
    }

    fn meta(index: u64, events: u64) -> StateMeta {
        StateMeta { applied: Some(log_id(1, index)), events, ..StateMeta::default() }
    }

    fn add(store: &Store, index: u64, events: u64, level: Level) -> u64 {
        let change = Change {
            groups: Vec::new(),
            pools: Vec::new(),
            events: &[event(index, level)],
            meta: &meta(index, events),
        };
        store.apply(&change).unwrap()
    }

    fn indexes(store: &Store, query: &HistoryQuery) -> Vec<u64> {
        store.history(query).unwrap().iter().map(|event| event.index).collect()
    }

    #[test]
    fn the_history_keeps_the_newest_events_and_answers_newest_first() {
        let root = tempfile::tempdir().unwrap();
        let (store, ..) = Store::open(&root.path().join("state"), 5).unwrap();
        let mut kept = 0;
        for index in 1..=300 {
            let level = if index % 2 == 0 { Level::Alert } else { Level::Info };
            kept = add(&store, index, kept, level);
        }
        assert_eq!(kept, 5);
        assert_eq!(indexes(&store, &HistoryQuery::default()), [300, 299, 298, 297, 296]);
        let query = HistoryQuery { limit: 2, before: Some((299, 0)), ..HistoryQuery::default() };
        assert_eq!(indexes(&store, &query), [298, 297]);
        let query = HistoryQuery { min_level: Some(Level::Warning), ..HistoryQuery::default() };
        assert_eq!(indexes(&store, &query), [300, 298, 296]);
        let (from, until) = (Some(WallTime(2970)), Some(WallTime(2990)));
        let query = HistoryQuery { from, until, ..HistoryQuery::default() };
        assert_eq!(indexes(&store, &query), [299, 298, 297]);
        let query = HistoryQuery { after: Some((0, 0)), limit: 2, ..HistoryQuery::default() };
        assert_eq!(indexes(&store, &query), [296, 297]);
        let query = HistoryQuery { after: Some((297, 0)), until, ..HistoryQuery::default() };
        assert_eq!(indexes(&store, &query), [298, 299]);
        let query = HistoryQuery { after: Some((299, 0)), before: Some((298, 0)), ..HistoryQuery::default() };
        assert!(indexes(&store, &query).is_empty());
    }

    #[test]
    fn state_survives_a_reopening_and_an_interrupted_replacement_counts_as_empty() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state");
        let (store, ..) = Store::open(&path, 5).unwrap();
        let (kept, gone) = (group("kept"), group("gone"));
        let (kept_pool, gone_pool) = (pool("kept"), pool("gone"));
        let (first, second) = (&kept_pool.spec.name, &gone_pool.spec.name);
        for (groups, pools) in [
            (
                vec![(&kept.spec.name, Some(&kept)), (&gone.spec.name, Some(&gone))],
                vec![(first, Some(&kept_pool)), (second, Some(&gone_pool))],
            ),
            (vec![(&gone.spec.name, None)], vec![(second, None)]),
        ] {
            store.apply(&Change { groups, pools, events: &[], meta: &meta(7, 0) }).unwrap();
        }
        store.persist().unwrap();
        drop(store);
        let (store, state, found) = Store::open(&path, 5).unwrap();
        assert_eq!(found, meta(7, 0));
        assert_eq!(state.groups.values().collect::<Vec<_>>(), [&kept]);
        assert_eq!(state.pools.values().collect::<Vec<_>>(), [&pool("kept")]);

        // As a crash within `replace` leaves it: groups, but no word of what was applied.
        store.db.remove(META).unwrap();
        store.db.flush().unwrap();
        drop(store);
        let (store, state, found) = Store::open(&path, 5).unwrap();
        assert_eq!((state, found), (State::default(), StateMeta::default()));
        assert!(store.db.is_empty());
    }

    #[test]
    fn a_store_with_parts_of_two_moments_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state");
        let (store, ..) = Store::open(&path, 5).unwrap();
        let (old, new) = (group("one"), Group { revision: 9, ..group("one") });
        for (index, group) in [(1, &old), (2, &new)] {
            let groups = vec![(&group.spec.name, Some(group))];
            store.apply(&Change { groups, pools: Vec::new(), events: &[], meta: &meta(index, 0) }).unwrap();
        }
        store.db.insert(group_key(&old.spec.name), codec::encode(&old).unwrap()).unwrap();
        store.persist().unwrap();
        drop(store);
        let (_, state, found) = Store::open(&path, 5).unwrap();
        assert_eq!((state, found), (State::default(), StateMeta::default()));
        assert!(root.path().join("state.damaged/db").exists());
    }

    #[test]
    fn a_store_that_cannot_be_read_is_set_aside_not_lost() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state");
        let (store, ..) = Store::open(&path, 5).unwrap();
        store.db.insert(META, b"rubbish").unwrap();
        store.persist().unwrap();
        drop(store);
        let (_, state, found) = Store::open(&path, 5).unwrap();
        assert_eq!((state, found), (State::default(), StateMeta::default()));
        assert!(root.path().join("state.damaged/db").exists());
    }
}
