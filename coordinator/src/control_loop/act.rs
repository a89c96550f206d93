//! Carries out the committed moves of cloud bindings: one task per binding of a running
//! operation, side by side.
//!
//! A task lives as long as its action is pending in the committed state and this node leads.
//! Dropping it stops it at its next await; a request that is already on its way may still reach
//! the cloud, which is what the fencing token on the resource is for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::{AdapterError, Gate, Journal, MoveJob};
use cloud_adapters::{Adapters, Backoff, move_binding};
use coordinator_core::action::Action;
use coordinator_core::command::{CommandBody, RecordStep, StepOutcome};
use coordinator_core::ids::{BindingName, OperationId};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use super::propose::{ProposeFailed, Proposer};
use crate::raft::Replica;

/// How long one attempt at one binding may take, all calls together. A cloud NIC update takes
/// tens of seconds.
const ATTEMPT: Duration = Duration::from_secs(120);

/// How long a quorum may take to confirm the leadership before a write.
const CONFIRM: Duration = Duration::from_secs(1);

/// The running moves; dropping it stops them all.
pub(super) struct Acting {
    adapters: Arc<Adapters>,
    proposer: Proposer,
    running: BTreeMap<(OperationId, BindingName), Task>,
}

/// A task that ends when it is dropped.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Acting {
    pub(super) fn new(adapters: Arc<Adapters>, proposer: Proposer) -> Acting {
        Acting { adapters, proposer, running: BTreeMap::new() }
    }

    /// Makes the running tasks match what is pending.
    pub(super) fn reconcile(&mut self, actions: &[Action]) {
        let moves: BTreeMap<_, _> = actions
            .iter()
            .filter_map(|action| match action {
                Action::MoveBinding { group, operation, binding, to, .. } => {
                    let job = MoveJob {
                        group: group.clone(),
                        token: operation.token(),
                        binding: binding.clone(),
                        to: to.clone(),
                    };
                    Some(((*operation, binding.name.clone()), job))
                }
                _ => None,
            })
            .collect();
        self.running.retain(|key, _| moves.contains_key(key));
        for (key, job) in moves {
            if !self.running.contains_key(&key) {
                let run = carry_out(self.adapters.clone(), self.proposer.clone(), key.0, job);
                self.running.insert(key, Task::spawn(run));
            }
        }
    }
}

/// Tries until it is done and recorded, or until the task is dropped.
async fn carry_out(adapters: Arc<Adapters>, proposer: Proposer, operation: OperationId, job: MoveJob) {
    let gate = ReplicaGate::new(proposer.replica().clone());
    let journal = Journal::default();
    let mut backoff = Backoff::default();
    loop {
        let started = Instant::now();
        let result = match adapters.for_binding(&job.binding) {
            Ok(adapter) => move_binding(&*adapter, &job, &gate, &journal, ATTEMPT).await,
            Err(error) => Err(error),
        };
        let took = started.elapsed();
        let mut wait = None;
        let binding = &job.binding.name;
        let outcome = match result {
            Ok(()) => {
                info!(group = %job.group, %operation, %binding, to = %job.to, took_ms = took.as_millis(), "binding moved");
                StepOutcome::Done
            }
            Err(error) if error.is_deposed() => {
                // Nothing to record: the newer leader writes the history from here.
                warn!(group = %job.group, %operation, %binding, %error, "stopped acting");
                tokio::time::sleep(backoff.next_wait(None)).await;
                continue;
            }
            Err(error) => {
                wait = error.retry_after();
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
            calls: journal.take(),
            took,
        });
        match proposer.propose(record).await {
            Ok(_) if done => return,
            // Superseded or already done: the state says so, and the task is about to be dropped.
            Err(ProposeFailed::Rejected(_)) if done => return,
            // Trying again is idempotent: the binding is read, found right, and recorded.
            Ok(_) | Err(_) => tokio::time::sleep(backoff.next_wait(wait)).await,
        }
    }
}

/// Asks a quorum whether this node still leads.
pub(super) struct ReplicaGate {
    replica: Replica,
}

impl ReplicaGate {
    pub(super) fn new(replica: Replica) -> ReplicaGate {
        ReplicaGate { replica }
    }
}

impl Gate for ReplicaGate {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async move {
            let confirmed = self.replica.confirm_leadership(CONFIRM).await;
            confirmed.map_err(|error| AdapterError::deposed(error.to_string()))
        }
        .boxed()
    }
}
