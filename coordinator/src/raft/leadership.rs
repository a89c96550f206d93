//! Who leads, followed in openraft's metrics; and handing leadership over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coordinator_core::ids::NodeId;
use openraft::async_runtime::WatchReceiver as _;
use openraft::{Instant as _, RaftMetrics, ServerState, TokioInstant};
use tokio::sync::watch;

use super::clock;
use super::types::TypeConfig;
use super::{FollowerStatus, Leadership, RaftTimings, Replica, Role, TransferError};

pub(super) type Metrics = RaftMetrics<TypeConfig>;
/// Where openraft publishes what it does.
pub(super) type MetricsReceiver = openraft::alias::WatchReceiverOf<TypeConfig, Metrics>;

/// Waits until the metrics meet `condition`. Says whether they did: they do not once raft stops.
pub(super) async fn wait_until(mut metrics: MetricsReceiver, condition: impl Fn(&Metrics) -> bool) -> bool {
    loop {
        if condition(&metrics.borrow_and_update()) {
            return true;
        }
        if metrics.changed().await.is_err() {
            return false;
        }
    }
}

/// openraft's instant on the standard clock, rounded to the past.
fn to_std(at: TokioInstant) -> Option<Instant> {
    // In this order: whatever passes between the two lines makes the result older.
    let now = clock::now();
    now.checked_sub(at.elapsed())
}

/// Followers that have not answered for this many heartbeats do not get leadership.
const REACHABLE_BEATS: u32 = 4;

/// Publishes who leads until raft stops.
///
/// While it is `absent`, Raft waits for the disk and what it says is out of date: nobody leads then,
/// as far as this node knows.
pub(super) async fn follow(
    mut metrics: MetricsReceiver,
    mut absent: watch::Receiver<bool>,
    leadership: watch::Sender<Leadership>,
) {
    loop {
        let mut seen = observe(&metrics.borrow_and_update());
        if *absent.borrow_and_update() {
            seen = Leadership { term: seen.term, ..Leadership::default() };
        }
        leadership.send_if_modified(|current| {
            let elected_at = match (current.elected_at, seen.is_self) {
                (Some(at), true) if current.term == seen.term => Some(at),
                // Noticed now, so elected before now.
                (_, true) => Some(clock::now()),
                (_, false) => None,
            };
            let next = Leadership { elected_at, ..seen };
            let changed = *current != next;
            if changed {
                tracing::info!(
                    leader = next.leader.map(|id| id.0),
                    term = next.term,
                    is_self = next.is_self,
                    "leadership"
                );
                *current = next;
            }
            changed
        });
        let followed = tokio::select! {
            biased;
            changed = metrics.changed() => changed.is_ok(),
            Ok(()) = absent.changed() => true,
        };
        if !followed {
            let term = seen.term;
            leadership.send_replace(Leadership { term, ..Leadership::default() });
            return;
        }
    }
}

fn observe(metrics: &Metrics) -> Leadership {
    let running = metrics.running_state.is_ok();
    let is_self =
        running && metrics.state == ServerState::Leader && metrics.current_leader == Some(metrics.id);
    Leadership {
        leader: metrics.current_leader.filter(|_| running).map(NodeId),
        term: metrics.current_term,
        is_self,
        elected_at: None,
    }
}

pub(super) fn role(metrics: &Metrics) -> Role {
    match metrics.state {
        _ if metrics.running_state.is_err() => Role::Stopped,
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    }
}

/// When the newest round that a quorum acknowledged was sent, on a leader.
pub(super) fn quorum_acked_at(metrics: &Metrics) -> Option<Instant> {
    if metrics.state != ServerState::Leader || metrics.running_state.is_err() {
        return None;
    }
    // A leader alone is its own quorum, at any time.
    if metrics.membership_config.membership().voter_ids().count() == 1 {
        return Some(clock::now());
    }
    metrics.last_quorum_acked.and_then(|acked| to_std(acked.into_inner()))
}

/// On a leader: how far each follower is.
pub(super) fn followers(metrics: &Metrics) -> BTreeMap<NodeId, FollowerStatus> {
    let newest = metrics.last_log_index.unwrap_or_default();
    let replication = metrics.replication.iter().flatten().filter(|(id, _)| **id != metrics.id);
    replication
        .map(|(id, matched)| {
            let matched = matched.map(|log_id| log_id.index());
            let acknowledged = metrics.heartbeat.as_ref().and_then(|beats| *beats.get(id)?);
            let status = FollowerStatus {
                matched,
                lag: newest - matched.unwrap_or_default().min(newest),
                acknowledged_ms_ago: acknowledged.map(|at| millis(at.into_inner().elapsed())),
            };
            (NodeId(*id), status)
        })
        .collect()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Hands leadership to the reachable voter among those that are `able`, once it has caught up: a
/// transfer to one that is behind fails, and leaves the cluster without a leader for a while.
pub(super) async fn transfer(
    replica: &Replica,
    timings: RaftTimings,
    able: impl Fn(NodeId) -> bool,
) -> Result<NodeId, TransferError> {
    let mut metrics = replica.raft().metrics();
    let deadline = tokio::time::Instant::now() + timings.election_max * 2;
    let to = loop {
        let candidate = {
            let now = metrics.borrow_and_update();
            if role(&now) != Role::Leader {
                return Err(TransferError::NotLeader);
            }
            caught_up(&now, timings, &able)
        };
        if let Some(to) = candidate {
            break to;
        }
        match tokio::time::timeout_at(deadline, metrics.changed()).await {
            Err(_late) => return Err(TransferError::NoCandidate),
            Ok(Err(_gone)) => return Err(TransferError::Stopped),
            Ok(Ok(())) => {}
        }
    };
    replica.raft().trigger().transfer_leader(to.0).await.map_err(|_| TransferError::Stopped)?;
    let taken = wait_until(metrics, |now| now.current_leader == Some(to.0));
    let deadline = tokio::time::Instant::now() + timings.election_max * 2;
    match tokio::time::timeout_at(deadline, taken).await {
        Ok(true) => Ok(to),
        Ok(false) => Err(TransferError::Stopped),
        Err(_late) => Err(TransferError::TimedOut { to }),
    }
}

fn caught_up(metrics: &Metrics, timings: RaftTimings, able: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let recent = millis(timings.heartbeat * REACHABLE_BEATS);
    let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
    followers(metrics)
        .into_iter()
        .filter(|(id, _)| voters.contains(&id.0) && able(*id))
        .filter(|(_, status)| status.lag == 0 && status.acknowledged_ms_ago.is_some_and(|ago| ago <= recent))
        .min_by_key(|(_, status)| status.acknowledged_ms_ago)
        .map(|(id, _)| id)
}
