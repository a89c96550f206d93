//! What the storage of this node and of its peers allows: which proposals, and whether to lead.
//!
//! A disk that is nearly full still takes the coordinators' own decisions: a failover must not wait
//! for somebody to free some space. So operators' changes are refused early, by the leader, which
//! knows how the others' disks are: an entry that a majority cannot store would block everything
//! after it. And a leader whose own disk is full or hangs hands leadership to a follower whose disk
//! is sound, if there is one. Sound means that it answered *since* the leader's own stopped: where
//! all disks are one storage that hangs, the leader goes on renewing leases, which needs no disk,
//! while an election would need two.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use coordinator_core::command::Actor;
use coordinator_core::ids::NodeId;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::heard::PeerStorage;
use super::replica::Shared;
use super::{
    ProposeError, RaftTimings, Replica, Role, StorageHealth, StorageLevel, TransferError, leadership,
};
use crate::raft::wal::ROOM;

/// The storage of every other member; `None` for one that has not answered lately.
pub(super) type Peers = BTreeMap<NodeId, Option<PeerStorage>>;

/// After leadership could not be handed over, in longest election timeouts: a failed transfer
/// leaves the cluster without a leader for up to two.
const AGAIN_AFTER: u32 = 10;

impl RaftTimings {
    /// A write that has not ended for so long is not one that is merely slow: two elections would
    /// have ended in the time.
    pub(super) fn hung_after(&self) -> Duration {
        self.election_max * 2
    }

    /// A peer that has not answered for so long may not be there.
    pub(super) fn quiet(&self) -> Duration {
        self.heartbeat * 4
    }
}

/// A disk must have been full for so long before a leader acts on it. The followers' disks may have
/// filled up in the same moment, and they are heard of a little later.
const SETTLED: Duration = Duration::from_secs(1);

/// How bad a disk may be for a change of `actor`.
fn worst_for(actor: &Actor) -> StorageLevel {
    match actor {
        Actor::Coordinator(_) => StorageLevel::Low,
        _ => StorageLevel::Ok,
    }
}

/// Refuses what this node or a majority cannot store. A peer that is not heard of counts as able to
/// as long as every other one is: whether there is a majority at all, the proposal will show.
pub(super) fn admit(actor: &Actor, own: &StorageHealth, peers: &Peers) -> Result<(), ProposeError> {
    let worst = worst_for(actor);
    match own {
        StorageHealth::Failed { .. } => return Err(ProposeError::Stopped),
        // It may end yet, and the others can store it meanwhile.
        StorageHealth::Hung { .. } => {}
        _ if own.level() <= worst => {}
        _ => return Err(full(own.detail().unwrap_or_default())),
    }
    let short: Vec<_> = peers.iter().filter(|(_, peer)| peer.is_some_and(|it| it.level > worst)).collect();
    let able = peers.values().flatten().filter(|peer| peer.level <= worst).count();
    let with_this = able + usize::from(own.level() <= worst);
    if short.is_empty() || with_this >= majority(peers.len() + 1) {
        return Ok(());
    }
    let named: Vec<_> = short.iter().map(|(id, _)| id.to_string()).collect();
    Err(full(&format!(
        "the disks of too many coordinators are full (node {}); each needs {} MiB of room. Free some space there",
        named.join(", node "),
        ROOM >> 20
    )))
}

fn full(detail: &str) -> ProposeError {
    ProposeError::StorageFull { detail: detail.to_owned() }
}

/// Watches over the storage for as long as the replica is there: hands leadership over when this
/// node should not lead, and says in `absent` when Raft itself waits for the disk.
pub(super) async fn watch_over(
    replica: Weak<Shared>,
    timings: RaftTimings,
    absent: watch::Sender<bool>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut told = Told::Nothing;
    let mut not_before = Instant::now();
    let mut sound_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(timings.election_min) => {}
        }
        let Some(replica) = replica.upgrade().map(Replica::of) else { return };
        let health = replica.storage_health();
        let hung = health.level() == StorageLevel::Hung;
        let blocked = hung && is_blocked(&replica, timings).await;
        absent.send_if_modified(|absent| std::mem::replace(absent, blocked) != blocked);
        let Some(detail) = health.detail() else {
            told = Told::Nothing;
            sound_at = Instant::now();
            continue;
        };
        let settled = hung || sound_at.elapsed() >= SETTLED;
        if blocked || !settled || Instant::now() < not_before || !leads(&replica) {
            continue;
        }
        let to = able_to_lead(&replica.peers(), hung.then(|| replica.waited_for_disk()));
        // Each is said once, not at every look.
        if to.is_empty() {
            // Every node tries its disk once a second: within two, a sound one would be known.
            let early = hung && replica.waited_for_disk() < Duration::from_secs(2);
            if !early && std::mem::replace(&mut told, Told::LeadsOn) != Told::LeadsOn {
                tracing::warn!(detail, "this node leads on: no follower with a sound disk can take over");
            }
            continue;
        }
        if std::mem::replace(&mut told, Told::HandsOver) != Told::HandsOver {
            tracing::warn!(detail, "handing leadership over");
        }
        not_before = Instant::now() + timings.election_max * AGAIN_AFTER;
        match leadership::transfer(&replica, timings, |id| to.contains(&id)).await {
            Ok(to) => tracing::info!(to = to.0, "handed leadership over"),
            // Raft waits for the disk to note that another one leads.
            Err(TransferError::TimedOut { to }) if hung => {
                tracing::info!(
                    to = to.0,
                    "leadership was offered; whether it was taken, the disk keeps from knowing"
                );
            }
            Err(error) => tracing::warn!(%error, "leadership was not handed over"),
        }
    }
}

/// What was said of a disk that is full or hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    LeadsOn,
    HandsOver,
}

fn leads(replica: &Replica) -> bool {
    leadership::role(&replica.raft().metrics().borrow_watched()) == Role::Leader
}

/// Whether Raft does not answer at all. On a disk that hangs it waits for a vote to be stored, so
/// there is a newer term, and everything that it says of itself is out of date.
async fn is_blocked(replica: &Replica, timings: RaftTimings) -> bool {
    tokio::time::timeout(timings.election_max, replica.raft().is_initialized()).await.is_err()
}

/// Followers that can lead instead of this node, whose disk has `hung` for so long, or is full.
///
/// A leader whose disk hangs has no vote to give, so the others must be a majority by themselves,
/// each with a disk that has answered since.
fn able_to_lead(peers: &Peers, hung: Option<Duration>) -> Vec<NodeId> {
    let votes = |peer: &PeerStorage| match hung {
        Some(hung) => peer.level < StorageLevel::Hung && peer.wrote < hung,
        None => peer.level < StorageLevel::Hung,
    };
    let voting = peers.values().flatten().filter(|peer| votes(peer)).count();
    if voting + usize::from(hung.is_none()) < majority(peers.len() + 1) {
        return Vec::new();
    }
    let sound = |peer: &PeerStorage| votes(peer) && peer.level == StorageLevel::Ok;
    peers.iter().filter(|(_, peer)| peer.as_ref().is_some_and(sound)).map(|(id, _)| *id).collect()
}

fn majority(members: usize) -> usize {
    members / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Option<StorageLevel> = Some(StorageLevel::Ok);
    const LOW: Option<StorageLevel> = Some(StorageLevel::Low);
    const FULL: Option<StorageLevel> = Some(StorageLevel::Full);
    const HUNG: Option<StorageLevel> = Some(StorageLevel::Hung);

    fn peers(levels: [Option<StorageLevel>; 2]) -> Peers {
        peers_that_wrote(levels.map(|level| Some((level?, 50))))
    }

    fn peers_that_wrote(peers: [Option<(StorageLevel, u64)>; 2]) -> Peers {
        let peers = peers
            .map(|peer| peer.map(|(level, ago)| PeerStorage { level, wrote: Duration::from_millis(ago) }));
        [NodeId(2), NodeId(3)].into_iter().zip(peers).collect()
    }

    fn health(level: StorageLevel) -> StorageHealth {
        let detail = "12 MiB left".to_owned();
        match level {
            StorageLevel::Ok => StorageHealth::Ok,
            StorageLevel::Low => StorageHealth::Low { detail },
            StorageLevel::Full => StorageHealth::Full { detail },
            StorageLevel::Hung => StorageHealth::Hung { detail },
        }
    }

    #[test]
    fn a_nearly_full_majority_takes_the_coordinators_decisions_and_no_operators_changes() {
        let own = Actor::Coordinator(NodeId(1));
        let operator = Actor::Operator("ann".to_owned());
        // The leader's storage, the peers', and who is admitted: the coordinators, operators.
        for (leader, others, decisions, changes) in [
            (StorageLevel::Ok, [OK, OK], true, true),
            (StorageLevel::Ok, [OK, FULL], true, true),
            (StorageLevel::Ok, [OK, None], true, true),
            (StorageLevel::Ok, [None, None], true, true),
            (StorageLevel::Ok, [LOW, LOW], true, false),
            (StorageLevel::Ok, [LOW, FULL], true, false),
            // To commit, the one that is nearly full would be needed.
            (StorageLevel::Ok, [LOW, None], true, false),
            (StorageLevel::Ok, [FULL, FULL], false, false),
            (StorageLevel::Ok, [FULL, None], false, false),
            (StorageLevel::Low, [OK, OK], true, false),
            (StorageLevel::Low, [LOW, LOW], true, false),
            (StorageLevel::Full, [OK, OK], false, false),
            (StorageLevel::Hung, [OK, OK], true, true),
            (StorageLevel::Hung, [OK, LOW], true, false),
        ] {
            let admitted = |actor| admit(actor, &health(leader), &peers(others)).is_ok();
            assert_eq!((admitted(&own), admitted(&operator)), (decisions, changes), "{leader:?} {others:?}");
        }
    }

    #[test]
    fn leadership_goes_to_a_sound_disk_and_only_where_it_can_be_elected() {
        let hung = Duration::from_millis(700);
        let able = |others, hangs: bool| able_to_lead(&peers(others), hangs.then_some(hung));
        assert_eq!(able([OK, OK], true), [NodeId(2), NodeId(3)]);
        assert_eq!(able([LOW, OK], false), [NodeId(3)]);
        assert_eq!(able([LOW, OK], true), [NodeId(3)]);
        assert!(able([LOW, FULL], false).is_empty());
        assert_eq!(able([None, OK], false), [NodeId(3)]);
        // Nobody is left who could vote for it.
        assert!(able([None, OK], true).is_empty());
        assert!(able([HUNG, OK], true).is_empty());
        // A disk that answered before the leader's own stopped may have stopped with it.
        let wrote = |a, b| {
            let levels = peers_that_wrote([Some((StorageLevel::Ok, a)), Some((StorageLevel::Ok, b))]);
            able_to_lead(&levels, Some(hung)).len()
        };
        assert_eq!((wrote(50, 699), wrote(50, 700), wrote(900, 50)), (2, 0, 0));
    }
}
