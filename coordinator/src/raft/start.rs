//! Putting a replica together, and forming or joining the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coordinator_core::ids::NodeId;
use openraft::{Config, Raft, SnapshotPolicy};
use tokio::sync::watch;

use super::clock;
use super::data_dir::DataDir;
use super::error::StartError;
use super::gate::VoteGate;
use super::history::RETAINED_EVENTS;
use super::leadership;
use super::network::Network;
use super::options::ReplicaOptions;
use super::state_machine::StateMachine;
use super::store::Store;
use super::types::{Peer, TypeConfig};
use super::wal::Wal;

pub(super) type PointsmanRaft = Raft<TypeConfig, StateMachine>;

/// How long a peer may take to receive and install a snapshot.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(30);
/// How often a node with an empty log asks its peers whether the cluster has a history.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// What is kept on disk, open.
pub(super) struct Opened {
    pub(super) dir: DataDir,
    pub(super) wal: Wal,
    pub(super) machine: StateMachine,
}

/// Opens everything in the data directory. Blocks on the disk.
pub(super) fn open(options: &ReplicaOptions) -> Result<Opened, StartError> {
    let root = &options.data_dir;
    let dir = DataDir::open(root, &options.cluster_id, options.node_id)
        .map_err(|source| StartError::DataDir { path: root.clone(), source })?;
    let ground = &options.ground;
    let wal = ground.open_log(&dir).map_err(|source| StartError::Wal { path: dir.wal(), source })?;
    let store = Store::open(&dir.state(), RETAINED_EVENTS);
    let (store, state, meta) =
        store.map_err(|source| StartError::Store { path: dir.state(), source: Box::new(source) })?;
    let snapshots = ground
        .open_snapshots(&dir)
        .map_err(|source| StartError::Store { path: dir.snapshots(), source: Box::new(source) })?;
    let machine = StateMachine::on(ground.blocking(), store, snapshots, state, meta);
    Ok(Opened { machine, dir, wal })
}

/// Refuses options that contradict themselves.
pub(super) fn check(options: &ReplicaOptions) -> Result<(), StartError> {
    let timings = options.timings;
    let detail = if !options.members.contains_key(&options.node_id) {
        format!("node {} is not among the members", options.node_id)
    } else if options.cluster_id.is_empty() || options.cluster_id.contains(|c: char| c.is_control()) {
        "the cluster id must not be empty or hold control characters".to_owned()
    } else if timings.heartbeat.is_zero() || timings.heartbeat * 2 > timings.election_min {
        format!(
            "the heartbeat ({:?}) must be at most half of election_min ({:?})",
            timings.heartbeat, timings.election_min
        )
    } else if timings.election_min >= timings.election_max {
        format!(
            "election_min ({:?}) must be below election_max ({:?})",
            timings.election_min, timings.election_max
        )
    } else {
        return Ok(());
    };
    Err(StartError::Options { detail })
}

pub(super) fn config(options: &ReplicaOptions, may_elect: bool) -> Result<Arc<Config>, StartError> {
    let ms = leadership::millis;
    let config = Config {
        cluster_name: options.cluster_id.clone(),
        heartbeat_interval: ms(options.timings.heartbeat),
        election_timeout_min: ms(options.timings.election_min),
        election_timeout_max: ms(options.timings.election_max),
        install_snapshot_timeout: ms(SNAPSHOT_DEADLINE),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.ground.snapshot_every()),
        max_in_snapshot_log_to_keep: options.ground.keep_behind(),
        purge_batch_size: 256,
        enable_elect: may_elect,
        // A node that comes back from a partition must not depose a healthy leader.
        enable_pre_vote: Some(true),
        // After a restart leadership is won anew: nothing of the old term is in memory any more.
        enable_leader_restore: Some(false),
        // A node whose disk was wiped comes back with less than it acknowledged. openraft's default
        // is to end the leader over it. What makes it harmless is the vote gate: such a node has no
        // vote before it has caught up.
        allow_log_reversion: Some(true),
        // Entries go to the followers while the leader's own disk writes them.
        broadcast_submitted_on_append: Some(true),
        ..Config::default()
    };
    let config = config.validate().map_err(|source| StartError::Raft { source: Box::new(source) })?;
    Ok(Arc::new(config))
}

pub(super) fn members(options: &ReplicaOptions) -> BTreeMap<u64, Peer> {
    options.members.iter().map(|(id, address)| (id.0, Peer { address: address.clone() })).collect()
}

/// The gate that fits how this node starts.
pub(super) fn gate(options: &ReplicaOptions, wal: &Wal, started: Instant) -> VoteGate {
    if options.members.len() == 1 {
        VoteGate::open()
    } else if wal.last().is_none() {
        VoteGate::deciding()
    } else {
        VoteGate::quarantined(started + options.timings.quarantine())
    }
}

/// Forms the cluster, joins it, or sits the quarantine out; then lets the node stand for election.
pub(super) async fn enter(
    raft: PointsmanRaft,
    gate: Arc<VoteGate>,
    network: Network,
    members: BTreeMap<u64, Peer>,
    stopping: watch::Receiver<bool>,
) {
    let entering = async {
        if members.len() > 1 && !is_initialized(&raft).await {
            if has_history(&raft, &network).await {
                tracing::warn!(
                    "the cluster has a history that this node does not have: catching up before voting"
                );
                gate.join();
                caught_up(&raft).await;
            } else {
                initialize(&raft, members).await;
            }
            gate.admit();
        } else if members.len() == 1 {
            initialize(&raft, members).await;
        }
        while gate.closed(clock::now()).is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        raft.runtime_config().elect(true);
    };
    let mut stopping = stopping;
    tokio::select! {
        biased;
        () = entering => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

async fn is_initialized(raft: &PointsmanRaft) -> bool {
    raft.is_initialized().await.unwrap_or(false)
}

async fn initialize(raft: &PointsmanRaft, members: BTreeMap<u64, Peer>) {
    // Every founder writes the same first entry; one that already has a log is not allowed to,
    // and needs not.
    if let Err(error) = raft.initialize(members).await {
        tracing::debug!(%error, "the first membership was not written");
    }
}

/// Asks until one peer knows of a history, or a majority, this node included, knows of none.
async fn has_history(raft: &PointsmanRaft, network: &Network) -> bool {
    let peers: Vec<NodeId> = network.members.keys().copied().filter(|id| *id != network.from).collect();
    let majority = network.members.len() / 2 + 1;
    let mut waited = 0_u32;
    loop {
        let asked = peers.iter().map(|peer| network.hello(*peer, ASK_EVERY * 2));
        let answers = futures::future::join_all(asked).await;
        let heard: Vec<_> = answers.iter().flatten().collect();
        if heard.iter().any(|hello| hello.has_history) || is_initialized(raft).await {
            return true;
        }
        if heard.len() + 1 >= majority {
            return false;
        }
        if waited.is_multiple_of(50) {
            tracing::info!(
                answered = heard.len(),
                of = peers.len(),
                "waiting for a majority to form the cluster"
            );
        }
        waited = waited.wrapping_add(1);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Waits until an entry of the leader's own term is applied here: the log then holds everything
/// that was committed before that leader was elected, without this node's vote.
async fn caught_up(raft: &PointsmanRaft) {
    let done = leadership::wait_until(raft.metrics(), |now| {
        let applied = now.last_applied.map(|id| id.committed_leader_id().term);
        now.current_leader.is_some() && applied == Some(now.current_term)
    });
    if done.await {
        tracing::info!("caught up with the leader: voting from now on");
    }
}
