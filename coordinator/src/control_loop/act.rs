//! Carries out the committed moves of cloud bindings, side by side: one task for each set of
//! bindings of a running operation that share resources.
//!
//! A task lives as long as one of its actions is pending in the committed state and this node leads.
//! Dropping it stops it at its next await; a request that is already on its way may still reach
//! the cloud, which is what the fencing token on the resource is for.

mod together;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::Adapters;
use cloud_adapters::contract::{AdapterError, Gate, MoveJob};
use coordinator_core::action::Action;
use coordinator_core::ids::{BindingName, OperationId};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

use super::propose::Proposer;
use crate::raft::Replica;

/// How long a quorum may take to confirm the leadership before a write.
const CONFIRM: Duration = Duration::from_secs(1);

/// The running moves; dropping it stops them all.
pub(super) struct Acting {
    adapters: Arc<Adapters>,
    proposer: Proposer,
    running: BTreeMap<(OperationId, BindingName), Arc<Task>>,
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

    /// Makes the running tasks match what is pending. What shares resources is moved together.
    pub(super) fn reconcile(&mut self, actions: &[Action]) {
        let mut moves: BTreeMap<(OperationId, BindingName), MoveJob> = actions
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
        // A task ends when the last of its bindings is not pending any more.
        self.running.retain(|key, _| moves.contains_key(key));
        moves.retain(|key, _| !self.running.contains_key(key));
        let mut new: BTreeMap<OperationId, Vec<MoveJob>> = BTreeMap::new();
        for ((operation, _), job) in moves {
            new.entry(operation).or_default().push(job);
        }
        for (operation, jobs) in new {
            for jobs in self.adapters.entangled(jobs) {
                let names: Vec<BindingName> = jobs.iter().map(|job| job.binding.name.clone()).collect();
                let run = together::carry_out(self.adapters.clone(), self.proposer.clone(), operation, jobs);
                let task = Arc::new(Task::spawn(run));
                self.running.extend(names.into_iter().map(|name| ((operation, name), task.clone())));
            }
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
