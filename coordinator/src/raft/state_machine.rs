//! Applies committed entries to the state, publishes it, and takes and installs snapshots.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use coordinator_core::apply::apply;
use coordinator_core::event::Event;
use coordinator_core::state::State;
use futures::{Stream, StreamExt as _};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};
use tokio::sync::{broadcast, watch};

use super::codec::StateMeta;
use super::ground::Blocking;
use super::history::HistoryQuery;
use super::snapshot::{self, SnapshotDir};
use super::store::{Change, Store, StoreError};
use super::types::{Applied, Entry, LogId, Proposal, SnapshotMeta, StoredMembership, TypeConfig};

/// Entries applied and stored together.
const CHUNK: usize = 256;
/// Events that a subscriber may be behind before it misses some.
const EVENTS_BEHIND: usize = 4096;

/// The state machine. Clones are handles of the same one.
#[derive(Clone)]
pub struct StateMachine {
    inner: Arc<Inner>,
}

struct Inner {
    blocking: Blocking,
    store: Store,
    snapshots: SnapshotDir,
    live: Mutex<Live>,
    state: watch::Sender<Arc<State>>,
    events: broadcast::Sender<Arc<Event>>,
}

/// What is applied so far.
#[derive(Clone)]
struct Live {
    state: Arc<State>,
    meta: StateMeta,
}

impl StateMachine {
    /// Starts from what `store` holds.
    pub fn new(store: Store, snapshots: SnapshotDir, state: State, meta: StateMeta) -> Self {
        Self::on(Blocking::default(), store, snapshots, state, meta)
    }

    pub(super) fn on(
        blocking: Blocking,
        store: Store,
        snapshots: SnapshotDir,
        state: State,
        meta: StateMeta,
    ) -> Self {
        let state = Arc::new(state);
        let (watch, _) = watch::channel(state.clone());
        let (events, _) = broadcast::channel(EVENTS_BEHIND);
        let live = Mutex::new(Live { state, meta });
        Self { inner: Arc::new(Inner { blocking, store, snapshots, live, state: watch, events }) }
    }

    /// The state and the log index that it stands at, of one moment.
    pub fn applied(&self) -> (u64, Arc<State>) {
        let live = self.inner.live();
        (live.meta.applied.map_or(0, |id| id.index()), live.state.clone())
    }

    /// The state, and word of each change.
    pub fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        self.inner.state.subscribe()
    }

    /// Events as they are applied.
    pub fn subscribe_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.inner.events.subscribe()
    }

    /// Events that meet `query`, newest first.
    ///
    /// # Errors
    /// [`StoreError`], and `None` when the process is stopping.
    pub async fn history(&self, query: HistoryQuery) -> Result<Vec<Event>, Option<StoreError>> {
        let inner = self.inner.clone();
        let reading = self.inner.blocking.run(move || inner.store.history(&query));
        reading.await.map_err(|_| None)?.map_err(Some)
    }

    /// Makes the store last.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn persist(&self) -> io::Result<()> {
        self.blocking(|inner| Ok(inner.store.persist()?)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let inner = self.inner.clone();
        self.inner.blocking.run(move || work(&inner)).await.map_err(io::Error::other)?
    }
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, live: Live) {
        let state = live.state.clone();
        *self.live() = live;
        self.state.send_replace(state);
    }

    /// Applies entries, stores what they changed, publishes it. The answers are in their order.
    fn apply(&self, entries: &[Entry]) -> io::Result<Vec<Applied>> {
        let before = self.live().clone();
        let mut state = State::clone(&before.state);
        let mut meta = before.meta;
        let mut answers = Vec::with_capacity(entries.len());
        let mut events = Vec::new();
        for entry in entries {
            meta.applied = Some(entry.log_id);
            answers.push(Applied(match &entry.payload {
                EntryPayload::Blank => Ok(Vec::new()),
                EntryPayload::Membership(membership) => {
                    meta.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                    Ok(Vec::new())
                }
                EntryPayload::Normal(Proposal(command)) => {
                    let outcome = apply(&mut state, entry.log_id.index(), command);
                    events.extend(outcome.iter().flatten().cloned());
                    outcome
                }
            }));
        }
        meta.time = state.time;
        meta.withdrawn.clone_from(&state.withdrawn);
        meta.history = state.history;
        let groups = changed(&before.state.groups, &state.groups);
        let pools = changed(&before.state.pools, &state.pools);
        meta.events = self.store.apply(&Change { groups, pools, events: &events, meta: &meta })?;
        self.publish(Live { state: Arc::new(state), meta });
        for event in events {
            // Without a subscriber nobody is told; the history has it.
            let _ = self.events.send(Arc::new(event));
        }
        Ok(answers)
    }

    fn install(&self, expected: &SnapshotMeta, bytes: &Bytes) -> io::Result<()> {
        let content = snapshot::decode(bytes)?;
        if snapshot::describe(&content.meta) != *expected {
            let detail = "the snapshot does not cover what it was announced to cover";
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        // The file first: should the store not be finished, it is rebuilt from the file.
        self.snapshots.write(bytes)?;
        self.store.replace(&content.state, &content.meta, &content.events)?;
        self.publish(Live { state: Arc::new(content.state), meta: content.meta });
        Ok(())
    }
}

/// What is new or different, and `None` for what is gone.
fn changed<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> Vec<(&'a K, Option<&'a V>)> {
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name, None));
    let new = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    gone.chain(new.map(|(name, value)| (name, Some(value)))).collect()
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let live = self.inner.live();
        Ok((live.meta.applied, live.meta.membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(CHUNK);
        while let Some(chunk) = chunks.next().await {
            let mut entries = Vec::with_capacity(chunk.len());
            let mut responders = Vec::with_capacity(chunk.len());
            for item in chunk {
                let (entry, responder) = item?;
                entries.push(entry);
                responders.push(responder);
            }
            let answers = self.blocking(move |inner| inner.apply(&entries)).await?;
            for (responder, answer) in responders.into_iter().zip(answers) {
                if let Some(responder) = responder {
                    responder.send(answer);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { machine: self.clone(), live: self.inner.live().clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let meta = meta.clone();
        self.blocking(move |inner| inner.install(&meta, &snapshot)).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<openraft::alias::SnapshotOf<TypeConfig, Bytes>>, io::Error> {
        let found = self.blocking(|inner| inner.snapshots.read()).await?;
        Ok(found.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Builds a snapshot of the state at the moment it was made.
pub struct Builder {
    machine: StateMachine,
    live: Live,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<openraft::alias::SnapshotOf<TypeConfig, Bytes>, io::Error> {
        let live = self.live.clone();
        self.machine
            .blocking(move |inner| {
                // The log may be purged up to here once this returns: the store must last first.
                inner.store.persist()?;
                let upto = live.meta.applied.map_or(0, |id| id.index());
                let events = |budget| Ok(inner.store.encoded_events(upto, budget)?);
                let snapshot = snapshot::encode(&live.state, &live.meta, events)?;
                inner.snapshots.write(&snapshot)?;
                Ok(Snapshot { meta: snapshot::describe(&live.meta), snapshot })
            })
            .await
    }
}
