//! The handle that the rest of the coordinator uses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coordinator_core::command::Command;
use coordinator_core::event::Event;
use coordinator_core::ids::NodeId;
use coordinator_core::state::State;
use tokio::sync::{broadcast, watch};

use super::{
    HistoryError, HistoryQuery, Leadership, NotConfirmed, ProposeError, ReplicaOptions, ReplicaStatus,
    StartError, TransferError,
};

/// A running replica. Cheap to clone; every clone is the same replica.
#[derive(Clone)]
pub struct Replica {
    shared: Arc<Shared>,
}

struct Shared {
    options: ReplicaOptions,
    state: watch::Sender<Arc<State>>,
    leadership: watch::Sender<Leadership>,
    events: broadcast::Sender<Arc<Event>>,
}

impl Replica {
    /// Opens the data directory and starts taking part. On the first start it forms the cluster
    /// with the other members.
    ///
    /// # Errors
    /// [`StartError`]: nothing runs, and nothing acknowledged was touched.
    pub async fn start(options: ReplicaOptions) -> Result<Replica, StartError> {
        let (state, _) = watch::channel(Arc::new(State::default()));
        let (leadership, _) = watch::channel(Leadership::default());
        let (events, _) = broadcast::channel(4096);
        Ok(Replica { shared: Arc::new(Shared { options, state, leadership, events }) })
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

    /// The state, and word of each change.
    pub fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.state.subscribe()
    }

    /// Who leads, and word of each change.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    /// Puts `command` into the log and waits until it is applied here.
    ///
    /// # Errors
    /// [`ProposeError`]; with `TimedOut` the outcome is unknown.
    pub async fn propose(&self, _command: Command, _deadline: Duration) -> Result<Vec<Event>, ProposeError> {
        Err(ProposeError::Stopped)
    }

    /// Asks a quorum whether this node still leads. Afterwards [`state`](Self::state) holds
    /// everything committed before the call.
    ///
    /// # Errors
    /// [`NotConfirmed`]: the caller must not act as the leader.
    pub async fn confirm_leadership(&self, _deadline: Duration) -> Result<(), NotConfirmed> {
        Err(NotConfirmed::Stopped)
    }

    /// When the newest heartbeat round that a quorum acknowledged was *sent*; `None` unless this
    /// node leads.
    pub fn quorum_acked_at(&self) -> Option<Instant> {
        None
    }

    /// What the replica says of itself.
    pub fn status(&self) -> ReplicaStatus {
        ReplicaStatus {
            node_id: self.node_id(),
            cluster_id: self.cluster_id().to_owned(),
            role: super::Role::Stopped,
            term: 0,
            leader: None,
            last_log: None,
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            members: Default::default(),
            followers: Default::default(),
            quorum_acked_ms_ago: None,
            storage: super::StorageHealth::Ok,
            not_voting: None,
        }
    }

    /// Events that meet `query`, newest first.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub async fn history(&self, _query: HistoryQuery) -> Result<Vec<Event>, HistoryError> {
        Err(HistoryError::Stopped)
    }

    /// Events as they are applied here. A receiver that falls 4,096 events behind misses some and
    /// is told so; the history has them all.
    pub fn subscribe_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.events.subscribe()
    }

    /// Hands leadership to the reachable follower that is closest behind.
    ///
    /// # Errors
    /// [`TransferError`]
    pub async fn transfer_leadership(&self) -> Result<NodeId, TransferError> {
        Err(TransferError::Stopped)
    }

    /// Stops, handing leadership over first. Bounded in time; afterwards the data directory is
    /// free.
    pub async fn shutdown(&self) {}
}
