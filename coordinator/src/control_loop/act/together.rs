//! Bindings that share resources of a cloud, moved together and recorded one by one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::{AdapterError, Gate, Journal, MoveJob, UnderWay};
use cloud_adapters::{Adapters, Backoff, move_bindings};
use coordinator_core::command::{CommandBody, RecordStep, StepOutcome};
use coordinator_core::ids::OperationId;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::ReplicaGate;
use crate::control_loop::propose::{ProposeFailed, Proposer};

/// How long one attempt may take, all calls together. A cloud NIC update takes tens of seconds.
const ATTEMPT: Duration = Duration::from_secs(120);

/// Changes that the cloud has accepted and that are not committed yet: a claim and a change of each
/// resource of a large group. What does not fit is only missing for the next leader.
const UNDER_WAY: usize = 256;

/// What became of one of the jobs, and when.
type Told = (usize, Result<(), AdapterError>, Instant);

/// Tries until all are done and recorded, or until the task is dropped.
pub(super) async fn carry_out(
    adapters: Arc<Adapters>,
    proposer: Proposer,
    operation: OperationId,
    mut jobs: Vec<MoveJob>,
) {
    let gate = ReplicaGate::new(proposer.replica().clone());
    let mut waits = Waits::default();
    loop {
        let (accepted, under_way) = mpsc::channel(UNDER_WAY);
        let journal = Journal::continuing(left_by_earlier(&proposer, operation), accepted);
        let started = Instant::now();
        let (tell, told) = mpsc::channel(jobs.len().max(1));
        let attempt = async {
            attempt(&adapters, &jobs, &gate, &journal, tell).await;
            journal.stop_telling();
        };
        let recording = Recording { proposer: &proposer, operation, jobs: &jobs, journal: &journal, started };
        // Recorded as they come: one that the cloud is slow with keeps no other waiting.
        let ((), left, ()) = tokio::join!(attempt, recording.all(told), recording.under_way(under_way));
        if left.jobs.is_empty() {
            return;
        }
        // Trying again is idempotent: the binding is read, found right, and recorded.
        let wait = waits.next(&left);
        jobs = left.jobs.into_iter().filter_map(|at| jobs.get(at).cloned()).collect();
        tokio::time::sleep(wait).await;
    }
}

/// What an attempt did not do.
#[derive(Default)]
struct Left {
    /// Their places in the list of jobs.
    jobs: Vec<usize>,
    /// How long the cloud asks to wait.
    wait: Option<Duration>,
    /// One of them may succeed if it is tried again with nothing changed.
    may_pass: bool,
}

/// How long to wait between attempts.
struct Waits {
    soon: Backoff,
    /// What was refused for good is looked at from time to time: somebody may have put it right.
    refused: Backoff,
}

impl Default for Waits {
    fn default() -> Self {
        let refused = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
        Waits { soon: Backoff::default(), refused }
    }
}

impl Waits {
    fn next(&mut self, left: &Left) -> Duration {
        if left.may_pass {
            self.refused.reset();
            self.soon.next_wait(left.wait)
        } else {
            self.refused.next_wait(None)
        }
    }
}

/// What the log knows of changes that this operation left a cloud at work on.
fn left_by_earlier(proposer: &Proposer, operation: OperationId) -> BTreeMap<String, String> {
    let state = proposer.replica().state();
    state.operation(operation).map(|(_, running)| running.under_way.clone()).unwrap_or_default()
}

async fn attempt(
    adapters: &Adapters,
    jobs: &[MoveJob],
    gate: &dyn Gate,
    journal: &Journal,
    tell: mpsc::Sender<Told>,
) {
    // There is room for one message of each job, and each is told once.
    let mut report = |at, result| drop(tell.try_send((at, result, Instant::now())));
    let Some(first) = jobs.first() else { return };
    match adapters.for_binding(&first.binding) {
        Ok(adapter) => move_bindings(&*adapter, jobs, gate, journal, ATTEMPT, &mut report).await,
        Err(_) => {
            for (at, job) in jobs.iter().enumerate() {
                report(at, adapters.for_binding(&job.binding).map(|_| ()));
            }
        }
    }
}

struct Recording<'a> {
    proposer: &'a Proposer,
    operation: OperationId,
    jobs: &'a [MoveJob],
    journal: &'a Journal,
    started: Instant,
}

impl Recording<'_> {
    /// Records what is told. Gives what is not done.
    async fn all(&self, mut told: mpsc::Receiver<Told>) -> Left {
        let mut left = Left::default();
        while let Some((at, result, when)) = told.recv().await {
            let Some(job) = self.jobs.get(at) else { continue };
            left.wait = left.wait.max(result.as_ref().err().and_then(AdapterError::retry_after));
            let refused = matches!(result, Err(AdapterError::Permanent { .. }));
            if !self.one(job, result, when).await {
                left.jobs.push(at);
                left.may_pass |= !refused;
            }
        }
        left
    }

    /// Records what the cloud has accepted, for whoever leads next. The move does not wait for it.
    async fn under_way(&self, mut accepted: mpsc::Receiver<UnderWay>) {
        let Some(group) = self.jobs.first().map(|job| &job.group) else { return };
        while let Some(UnderWay { resource, place }) = accepted.recv().await {
            let (group, operation) = (group.clone(), self.operation);
            let record = CommandBody::RecordUnderWay { group, operation, resource, place };
            if let Err(error) = self.proposer.propose(record).await {
                debug!(%operation, %error, "a change under way was not recorded");
            }
        }
    }

    /// Records the outcome of one attempt; whether the binding is done, and known to be.
    async fn one(&self, job: &MoveJob, result: Result<(), AdapterError>, when: Instant) -> bool {
        let (operation, binding) = (self.operation, &job.binding.name);
        let took = when - self.started;
        let outcome = match result {
            Ok(()) => {
                info!(group = %job.group, %operation, %binding, to = %job.to, took_ms = took.as_millis(), "binding moved");
                StepOutcome::Done
            }
            Err(error) if error.is_deposed() => {
                // Nothing to record: the newer leader writes the history from here.
                warn!(group = %job.group, %operation, %binding, %error, "stopped acting");
                return false;
            }
            Err(error) => {
                let error = error.chain();
                warn!(group = %job.group, %operation, %binding, error, "binding not moved yet");
                StepOutcome::Failed { error }
            }
        };
        let done = outcome == StepOutcome::Done;
        let record = CommandBody::RecordStep(RecordStep {
            group: job.group.clone(),
            operation,
            binding: binding.clone(),
            outcome,
            calls: self.journal.so_far(),
            took,
        });
        match self.proposer.propose(record).await {
            Ok(_) => done,
            // Superseded or already done: the state says so, and the task is about to be dropped.
            Err(ProposeFailed::Rejected(_)) => done,
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_for_good_is_not_asked_for_hundreds_of_times() {
        let mut waits = Waits::default();
        let refused = Left { jobs: vec![0], ..Left::default() };
        let (mut attempts, mut passed) = (0, Duration::ZERO);
        while passed < Duration::from_secs(20 * 60) {
            passed += waits.next(&refused);
            attempts += 1;
        }
        assert!((20..50).contains(&attempts), "{attempts} in twenty minutes");
        // As soon as anything may pass, it is tried at the usual pace, and counts from the start.
        let may_pass = Left { may_pass: true, ..Left::default() };
        assert!(waits.next(&may_pass) <= Duration::from_millis(200));
        assert!(waits.next(&refused) <= Duration::from_secs(5));
    }
}
