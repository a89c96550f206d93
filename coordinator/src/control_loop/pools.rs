//! Carries out committed changes of pools' members: one task each, for all sides together.
//!
//! A task lives as long as its change is pending in the committed state and this node leads.
//! Dropping it stops it at its next await; a request that is already on its way may still reach the
//! cloud, which is what the token on the resource is for.

pub(super) mod drift;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::{AdapterError, Gate, Journal, Place, PlaceJob};
use cloud_adapters::{Adapters, Backoff, place};
use coordinator_core::command::{CommandBody, StepOutcome};
use coordinator_core::ids::{ApplianceName, PoolName, Token};
use coordinator_core::pool::action::{Placing, pending};
use coordinator_core::pool::{PoolCommand, RecordPlacement, Side};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::act::{ReplicaGate, Task};
use super::propose::{ProposeFailed, Proposer};

/// How long one attempt may take, all sides together.
const ATTEMPT: Duration = Duration::from_secs(120);

/// Between attempts: from this, doubled, to that.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Which change: of which pool, of whom, under which token.
type Key = (PoolName, ApplianceName, Token);

/// The running changes; dropping it stops them all.
pub(super) struct Pools {
    adapters: Arc<Adapters>,
    proposer: Proposer,
    running: BTreeMap<Key, Task>,
}

impl Pools {
    pub(super) fn new(adapters: Arc<Adapters>, proposer: Proposer) -> Pools {
        Pools { adapters, proposer, running: BTreeMap::new() }
    }

    /// Makes the running tasks match what is pending.
    pub(super) fn reconcile(&mut self, pending: &[Placing]) {
        let keys: Vec<Key> = pending.iter().map(key).collect();
        self.running.retain(|key, _| keys.contains(key));
        for key in keys {
            if !self.running.contains_key(&key) {
                let work = carry_out(self.adapters.clone(), self.proposer.clone(), key.clone());
                self.running.insert(key, Task::spawn(work));
            }
        }
    }
}

fn key(placing: &Placing) -> Key {
    (placing.pool.clone(), placing.member.clone(), placing.token)
}

/// Tries until every side is done and recorded, or until the task is dropped.
async fn carry_out(adapters: Arc<Adapters>, proposer: Proposer, key: Key) {
    let gate = ReplicaGate::new(proposer.replica().clone());
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    loop {
        if let Err(error) = gate.confirm().await {
            debug!(pool = %key.0, member = %key.1, %error, "nobody is moved by one that may not lead");
            tokio::time::sleep(backoff.next_wait(None)).await;
            continue;
        }
        // The state is now as new as that word: so is who else is in and up.
        let state = proposer.replica().state();
        let Some(placing) = pending(&state).into_iter().find(|placing| self::key(placing) == key) else {
            return;
        };
        let (done, wait) = attempt(&adapters, &proposer, &gate, &placing).await;
        if done {
            return;
        }
        tokio::time::sleep(backoff.next_wait(wait)).await;
    }
}

/// One attempt on all sides that are left. Returns whether all of them are done and recorded, and
/// how long the cloud asks to wait.
async fn attempt(
    adapters: &Adapters,
    proposer: &Proposer,
    gate: &dyn Gate,
    placing: &Placing,
) -> (bool, Option<Duration>) {
    let journal = Journal::default();
    let started = Instant::now();
    let (tell, mut told) = mpsc::channel(placing.sides.len().max(1));
    let work = async {
        // There is room for one message of each side, and each is told once.
        let mut report = |side, result| drop(tell.try_send((side, result)));
        match job(adapters, placing) {
            Ok((adapter, job)) => place(&*adapter, &job, gate, &journal, ATTEMPT, &mut report).await,
            Err(error) => {
                for (side, _) in &placing.sides {
                    report(*side, Err(error.again()));
                }
            }
        }
        drop(tell);
    };
    let recording = async {
        let (mut all, mut wait) = (true, None);
        // Recorded as they come, so that what is half done is seen to be.
        while let Some((side, result)) = told.recv().await {
            let result: Result<(), AdapterError> = result;
            wait = wait.max(result.as_ref().err().and_then(AdapterError::retry_after));
            all &= record(proposer, placing, side, result, &journal, started.elapsed()).await;
        }
        (all, wait)
    };
    tokio::join!(work, recording).1
}

fn job(
    adapters: &Adapters,
    placing: &Placing,
) -> Result<(Arc<dyn cloud_adapters::Adapter>, PlaceJob), AdapterError> {
    let what = || format!("move {} of pool {}", placing.member, placing.pool);
    let none = || AdapterError::permanent(what(), "none of its sides is declared");
    let (_, first) = placing.sides.first().ok_or_else(none)?;
    // Both sides of a pool are one adapter's.
    let adapter = adapters.require(first.adapter(), what())?;
    let places = placing.sides.iter().map(|(side, way)| Place { side: *side, way: way.clone() });
    let job = PlaceJob {
        pool: placing.pool.clone(),
        token: placing.token,
        member: placing.member.clone(),
        inside: placing.inside,
        places: places.collect(),
        others: placing.others.clone(),
    };
    Ok((adapter, job))
}

/// Records what became of one side; whether it is done, and known to be.
async fn record(
    proposer: &Proposer,
    placing: &Placing,
    side: Side,
    result: Result<(), AdapterError>,
    journal: &Journal,
    took: Duration,
) -> bool {
    let Placing { pool, member, token, inside, .. } = placing;
    let outcome = match result {
        Ok(()) => {
            info!(%pool, %member, %token, %side, inside, took_ms = took.as_millis(), "a side is done");
            StepOutcome::Done
        }
        Err(error) if error.is_deposed() => {
            // Nothing to record: the newer leader writes the history from here.
            warn!(%pool, %member, %token, %side, %error, "stopped acting");
            return false;
        }
        Err(error) => {
            let error = error.chain();
            warn!(%pool, %member, %token, %side, inside, error, "a side is not done yet");
            StepOutcome::Failed { error }
        }
    };
    let done = outcome == StepOutcome::Done;
    let record = PoolCommand::RecordPlacement(RecordPlacement {
        pool: pool.clone(),
        member: member.clone(),
        token: *token,
        side,
        outcome,
        calls: journal.so_far(),
        took,
    });
    match proposer.propose(CommandBody::Pool(record)).await {
        Ok(_) => done,
        // Superseded or already done: the state says so, and the task is about to be dropped.
        Err(ProposeFailed::Rejected(_)) => done,
        Err(_) => false,
    }
}
