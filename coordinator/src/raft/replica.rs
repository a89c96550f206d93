//! The handle that the rest of the coordinator uses.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use coordinator_core::command::Command;
use coordinator_core::event::Event;
use coordinator_core::ids::NodeId;
use coordinator_core::state::State;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::vote::leader_id_std::CommittedLeaderId;
use tokio::sync::{Semaphore, broadcast, watch};

use super::clock;
use super::codec::{self, CodecError};
use super::data_dir::DataDir;
use super::gate::VoteGate;
use super::heard::Heard;
use super::leadership;
use super::network::Network;
use super::start::{self, Opened, PointsmanRaft};
use super::state_machine::StateMachine;
use super::storage;
use super::types::{LogId, Proposal};
use super::wal::Wal;
use super::{
    HistoryError, HistoryQuery, Leadership, Leading, NotConfirmed, ProposeError, ReplicaOptions,
    ReplicaStatus, Role, StartError, StorageHealth, StorageReport, TransferError,
};

/// Proposals under way at once; more wait, within their deadline.
const MAX_PROPOSALS: usize = 1024;
/// How long a graceful stop waits for openraft's own tasks.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// A running replica. Cheap to clone; every clone is the same replica.
#[derive(Clone)]
pub struct Replica {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    options: ReplicaOptions,
    raft: PointsmanRaft,
    wal: Wal,
    gate: Arc<VoteGate>,
    proposals: Semaphore,
    state: watch::Receiver<Arc<State>>,
    leadership: watch::Receiver<Leadership>,
    /// Raft waits for the disk, and does not answer.
    absent: watch::Receiver<bool>,
    /// What the peers' answers say besides.
    heard: Heard,
    stopping: watch::Sender<bool>,
    /// Given up on a stop, so that the directory is free although clones remain.
    machine: RwLock<Option<StateMachine>>,
    dir: Mutex<Option<DataDir>>,
    /// A subscription that was never read, to hand out after the machine is gone.
    events: broadcast::Receiver<Arc<Event>>,
}

impl Replica {
    /// Opens the data directory and starts taking part. On the first start it forms the cluster
    /// with the other members, or catches up with it if it has a history.
    ///
    /// It returns before there is a leader: [`leadership`](Self::leadership) tells. The
    /// [`router`](super::server::router) must be served before anything can happen.
    ///
    /// # Errors
    /// [`StartError`]: nothing runs, and nothing acknowledged was touched.
    pub async fn start(options: ReplicaOptions) -> Result<Replica, StartError> {
        start::check(&options)?;
        let started = clock::now();
        let opening = options.clone();
        let opened = options.ground.blocking().run(move || start::open(&opening)).await;
        let Opened { dir, wal, machine } = opened??;
        let gate = Arc::new(start::gate(&options, &wal, started));
        let may_elect = gate.closed(started).is_none();
        let network = Network {
            transport: options.transport.clone(),
            cluster: options.cluster_id.as_str().into(),
            from: options.node_id,
            members: Arc::new(options.members.clone()),
            append_deadline: options.timings.election_max,
            quiet: options.timings.quiet(),
            heard: Heard::default(),
        };
        let heard = network.heard.clone();
        let config = start::config(&options, may_elect)?;
        let raft =
            PointsmanRaft::new(options.node_id.0, config, network.clone(), wal.clone(), machine.clone())
                .await;
        let raft = match raft {
            Ok(raft) => raft,
            Err(error) => {
                wal.close().await;
                return Err(StartError::Raft { source: Box::new(error) });
            }
        };
        let (stopping, stop) = watch::channel(false);
        let members = start::members(&options);
        tokio::spawn(start::enter(raft.clone(), gate.clone(), network, members, stop.clone()));
        let (leader, leadership) = watch::channel(Leadership::default());
        let (absence, absent) = watch::channel(false);
        tokio::spawn(leadership::follow(raft.metrics(), absent.clone(), leader));
        let timings = options.timings;
        let replica = Replica {
            shared: Arc::new(Shared {
                state: machine.watch_state(),
                events: machine.subscribe_events(),
                machine: RwLock::new(Some(machine)),
                dir: Mutex::new(Some(dir)),
                proposals: Semaphore::new(MAX_PROPOSALS),
                options,
                raft,
                wal,
                gate,
                leadership,
                absent,
                heard,
                stopping,
            }),
        };
        let watched = Arc::downgrade(&replica.shared);
        tokio::spawn(storage::watch_over(watched, timings, absence, stop));
        Ok(replica)
    }

    pub(super) fn of(shared: Arc<Shared>) -> Replica {
        Replica { shared }
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.shared.options.node_id
    }

    /// The cluster.
    pub fn cluster_id(&self) -> &str {
        &self.shared.options.cluster_id
    }

    /// The state as applied so far.
    pub fn state(&self) -> Arc<State> {
        self.shared.state.borrow().clone()
    }

    /// The state with the log index that it stands at; `None` once the replica was shut down.
    pub fn applied(&self) -> Option<(u64, Arc<State>)> {
        self.machine().map(|machine| machine.applied())
    }

    /// The state, and word of each change.
    pub fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.state.clone()
    }

    /// Who leads, and word of each change.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// Puts `command` into the log and waits until it is applied here.
    ///
    /// # Errors
    /// [`ProposeError`]; with `TimedOut` the outcome is unknown.
    pub async fn propose(&self, command: Command, deadline: Duration) -> Result<Vec<Event>, ProposeError> {
        self.write(command, None, deadline).await
    }

    /// Like [`propose`](Self::propose), but refused (`NotLeader`) unless this node leads in exactly
    /// `term`: nothing that was decided in one term is committed in another, even if this node
    /// lost and regained the leadership unnoticed in between.
    ///
    /// # Errors
    /// [`ProposeError`]; with `TimedOut` the outcome is unknown.
    pub async fn propose_in_term(
        &self,
        command: Command,
        term: u64,
        deadline: Duration,
    ) -> Result<Vec<Event>, ProposeError> {
        self.write(command, Some(term), deadline).await
    }

    async fn write(
        &self,
        command: Command,
        term: Option<u64>,
        deadline: Duration,
    ) -> Result<Vec<Event>, ProposeError> {
        match codec::encoded_command_len(&command) {
            Ok(_) => {}
            Err(CodecError::TooLarge { bytes, limit }) => {
                return Err(ProposeError::TooLarge { bytes, limit });
            }
            Err(_) => return Err(ProposeError::Stopped),
        }
        storage::admit(&command.actor, &self.storage_health(), &self.peers())?;
        let writing = async {
            let _permit = self.shared.proposals.acquire().await.map_err(|_| ProposeError::Stopped)?;
            let (responder, _committed, complete) = ProgressResponder::new();
            let mut write = self.shared.raft.write(Proposal(command)).responder(responder);
            if let Some(term) = term {
                write = write.with_leader(CommittedLeaderId::new(term));
            }
            write.await.map_err(|_fatal| ProposeError::Stopped)?;
            complete.await.map_err(|_gone| ProposeError::Stopped)?.map_err(refused)
        };
        let written = tokio::time::timeout(deadline, Box::pin(writing)).await;
        written.map_err(|_late| ProposeError::TimedOut)??.data.0.map_err(ProposeError::Rejected)
    }

    /// Asks a quorum whether this node still leads. Afterwards [`state`](Self::state) holds
    /// everything committed before the call.
    ///
    /// # Errors
    /// [`NotConfirmed`]: the caller must not act as the leader.
    pub async fn confirm_leadership(&self, deadline: Duration) -> Result<(), NotConfirmed> {
        let asking = async {
            let confirmed = self.shared.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
            let confirmed = confirmed.map_err(|error| match error {
                RaftError::APIError(LinearizableReadError::ForwardToLeader(to)) => {
                    NotConfirmed::NotLeader { leader: to.leader_id.map(NodeId) }
                }
                RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => NotConfirmed::NoQuorum,
                RaftError::Fatal(_) => NotConfirmed::Stopped,
            })?;
            confirmed.await_ready(&self.shared.raft).await.map_err(|_| NotConfirmed::Stopped)?;
            Ok(())
        };
        tokio::time::timeout(deadline, Box::pin(asking)).await.unwrap_or(Err(NotConfirmed::NoQuorum))
    }

    /// The term in which this node leads, and `t_q` in that very term: both from one reading of
    /// Raft's metrics, never the term of one moment with the `t_q` of another.
    pub fn leading(&self) -> Option<Leading> {
        if *self.shared.absent.borrow() {
            return None;
        }
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leads = leadership::role(&metrics) == super::Role::Leader;
        leads.then(|| Leading {
            term: metrics.current_term,
            quorum_acked_at: leadership::quorum_acked_at(&metrics),
        })
    }

    /// Resolves when the replica has stopped by itself, over a storage error or over a committed
    /// command that this version does not know: the node cannot go on.
    pub async fn stopped(&self) {
        leadership::wait_until(self.shared.raft.metrics(), |now| now.running_state.is_err()).await;
    }

    /// When the newest heartbeat round that a quorum acknowledged was *sent*, on this node's
    /// monotonic clock; `None` unless this node leads. May be older than the truth, never newer.
    pub fn quorum_acked_at(&self) -> Option<Instant> {
        leadership::quorum_acked_at(&self.shared.raft.metrics().borrow_watched())
    }

    /// What the replica says of itself.
    pub fn status(&self) -> ReplicaStatus {
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        let running = metrics.running_state.as_ref();
        let storage = match (self.storage_health(), running) {
            (StorageHealth::Ok, Err(openraft::errors::Fatal::StorageError(error))) => {
                StorageHealth::Failed { detail: error.to_string() }
            }
            (health, _) => health,
        };
        let absent = *self.shared.absent.borrow();
        let stored = metrics.membership_config.membership();
        let voters =
            stored.voter_ids().filter_map(|id| Some((NodeId(id), stored.get_node(&id)?.address.clone())));
        ReplicaStatus {
            node_id: self.node_id(),
            cluster_id: self.cluster_id().to_owned(),
            role: if absent { Role::Follower } else { leadership::role(&metrics) },
            term: metrics.current_term,
            leader: metrics.current_leader.filter(|_| !absent).map(NodeId),
            last_log: metrics.last_log_index,
            committed: metrics.local_committed.map(|id| id.index()),
            applied: metrics.last_applied.map(|id| id.index()),
            snapshot: metrics.snapshot.map(|id| id.index()),
            purged: metrics.purged.map(|id| id.index()),
            members: voters.collect(),
            followers: leadership::followers(&metrics),
            quorum_acked_ms_ago: leadership::quorum_acked_at(&metrics)
                .map(|at| leadership::millis(clock::now().saturating_duration_since(at))),
            storage,
            not_voting: self.shared.gate.closed(clock::now()).map(str::to_owned),
        }
    }

    /// Events that meet `query`, newest first.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub async fn history(&self, query: HistoryQuery) -> Result<Vec<Event>, HistoryError> {
        let machine = self.machine().ok_or(HistoryError::Stopped)?;
        machine.history(query).await.map_err(|error| match error {
            Some(error) => HistoryError::Store(Box::new(error)),
            None => HistoryError::Stopped,
        })
    }

    /// Events as they are applied here. A receiver that falls 4,096 events behind misses some and
    /// is told so; the history has them all.
    pub fn subscribe_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.events.resubscribe()
    }

    /// Hands leadership to the reachable follower that has caught up, and waits until it leads.
    ///
    /// # Errors
    /// [`TransferError`]
    pub async fn transfer_leadership(&self) -> Result<NodeId, TransferError> {
        leadership::transfer(self, self.shared.options.timings, |_| true).await
    }

    /// Stops, handing leadership over first. Bounded in time; afterwards the data directory is
    /// free. A second call does nothing.
    pub async fn shutdown(&self) {
        if self.shared.stopping.send_replace(true) {
            return;
        }
        if self.shared.options.members.len() > 1 && self.leadership().borrow().is_self {
            match self.transfer_leadership().await {
                Ok(to) => tracing::info!(to = to.0, "handed leadership over before stopping"),
                Err(error) => tracing::warn!(%error, "stopping without handing leadership over"),
            }
        }
        if tokio::time::timeout(STOP_DEADLINE, self.shared.raft.shutdown()).await.is_err() {
            tracing::warn!("raft did not stop in time");
        }
        if tokio::time::timeout(STOP_DEADLINE, self.shared.wal.close()).await.is_err() {
            // Nothing that was acknowledged is missing from it.
            tracing::warn!("the write-ahead log did not stop in time: its disk does not answer");
            return;
        }
        let machine = self.shared.machine.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(machine) = machine
            && let Err(error) = machine.persist().await
        {
            // Nothing is lost: the log has it all.
            tracing::warn!(%error, "could not sync the state store");
        }
        self.shared.dir.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn machine(&self) -> Option<StateMachine> {
        self.shared.machine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn raft(&self) -> &PointsmanRaft {
        &self.shared.raft
    }

    pub(super) fn gate(&self) -> &VoteGate {
        &self.shared.gate
    }

    pub(super) fn storage_health(&self) -> StorageHealth {
        let health = self.shared.wal.health().borrow().clone();
        let waited = self.waited_for_disk();
        if waited < self.shared.options.timings.hung_after() || matches!(health, StorageHealth::Failed { .. })
        {
            return health;
        }
        let place = self.shared.options.data_dir.display();
        let detail =
            format!("a write to {place} has not ended for {} ms. Check the disk", waited.as_millis());
        StorageHealth::Hung { detail }
    }

    /// The same for the peers, from `health`.
    pub(super) fn storage_report(&self, health: &StorageHealth) -> StorageReport {
        let wrote_ms_ago = self.shared.wal.wrote().map_or(u64::MAX, leadership::millis);
        StorageReport { level: health.level(), wrote_ms_ago }
    }

    /// How the storage of every other member is, if it has answered lately.
    pub(super) fn peers(&self) -> storage::Peers {
        let options = &self.shared.options;
        let others = options.members.keys().filter(|id| **id != options.node_id);
        others.map(|id| (*id, self.shared.heard.lately(*id, options.timings.quiet()))).collect()
    }

    /// How long the disk has not answered; zero while nothing is written.
    pub(super) fn waited_for_disk(&self) -> Duration {
        self.shared.wal.busy_for()
    }

    pub(super) fn last_log(&self) -> Option<LogId> {
        self.shared.wal.last()
    }

    pub(super) fn has_member(&self, node: NodeId) -> bool {
        self.shared.options.members.contains_key(&node)
    }
}

fn refused(error: ClientWriteError<super::types::TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(to) => ProposeError::NotLeader { leader: to.leader_id.map(NodeId) },
        // The entry was in this node's log and another leader's took its place: it may still have
        // been committed, or be yet.
        _ => ProposeError::TimedOut,
    }
}
