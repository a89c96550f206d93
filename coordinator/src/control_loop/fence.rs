//! Carries out committed demands to switch appliances off: one task each, one at a time per group.
//!
//! A task lives as long as its demand is pending in the committed state and this node leads.
//! Dropping it stops it: a program is killed, and a request that is already on its way to a cloud
//! may still get there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::{Gate, Journal};
use cloud_adapters::{Adapters, Backoff, PowerOffJob, power_off};
use coordinator_core::action::{Action, pending_actions};
use coordinator_core::command::{CommandBody, RecordFence, StepOutcome};
use coordinator_core::ids::{ApplianceName, GroupName, OperationId};
use coordinator_core::model::FenceSpec;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::act::{ReplicaGate, Task};
use super::hook::{Hooks, Told};
use super::propose::{ProposeFailed, Proposer};
use super::shared::Shared;

/// How long a power-off by a cloud may take, until it is read back as off.
const ATTEMPT: Duration = Duration::from_secs(120);

/// Between attempts: from this, doubled, to that.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// An appliance whose agent was heard this lately is given as long to let go by itself: that takes
/// one or two of its reports.
const HEARD_LATELY: Duration = Duration::from_secs(1);

/// Which demand: of which group, against whom, asked when.
type Key = (GroupName, ApplianceName, u64);

/// The running attempts; dropping it stops them all.
pub(super) struct Fencing {
    tools: Tools,
    running: BTreeMap<Key, Task>,
    /// One attempt at a time per group.
    turns: BTreeMap<GroupName, Arc<Mutex<()>>>,
}

/// What an attempt needs.
#[derive(Clone)]
struct Tools {
    shared: Arc<Shared>,
    adapters: Arc<Adapters>,
    hooks: Hooks,
    proposer: Proposer,
}

/// A committed demand.
struct Demand {
    group: GroupName,
    operation: OperationId,
    appliance: ApplianceName,
    asked: u64,
    spec: FenceSpec,
}

impl Fencing {
    pub(super) fn new(
        shared: Arc<Shared>,
        adapters: Arc<Adapters>,
        hooks: Hooks,
        proposer: Proposer,
    ) -> Fencing {
        let tools = Tools { shared, adapters, hooks, proposer };
        Fencing { tools, running: BTreeMap::new(), turns: BTreeMap::new() }
    }

    /// Makes the running tasks match what is pending.
    pub(super) fn reconcile(&mut self, actions: &[Action]) {
        let demands: BTreeMap<Key, Demand> =
            actions.iter().filter_map(demand).map(|demand| (demand.key(), demand)).collect();
        self.running.retain(|key, _| demands.contains_key(key));
        self.turns.retain(|group, _| demands.keys().any(|(of, _, _)| of == group));
        for (key, demand) in demands {
            if !self.running.contains_key(&key) {
                let turn = self.turns.entry(key.0.clone()).or_default().clone();
                self.running.insert(key, Task::spawn(self.tools.clone().carry_out(demand, turn)));
            }
        }
    }
}

fn demand(action: &Action) -> Option<Demand> {
    let Action::Fence { group, operation, appliance, asked, spec } = action else { return None };
    Some(Demand {
        group: group.clone(),
        operation: *operation,
        appliance: appliance.clone(),
        asked: *asked,
        spec: spec.clone(),
    })
}

impl Demand {
    fn key(&self) -> Key {
        (self.group.clone(), self.appliance.clone(), self.asked)
    }
}

impl Tools {
    /// Tries until it is done and recorded, or until the task is dropped.
    async fn carry_out(self, demand: Demand, turn: Arc<Mutex<()>>) {
        let Demand { group, appliance, .. } = &demand;
        if self.shared.heard_within(appliance, HEARD_LATELY) {
            tokio::time::sleep(HEARD_LATELY).await;
        }
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            let (outcome, took) = {
                let _turn = turn.lock().await;
                let started = Instant::now();
                (self.attempt(&demand).await, started.elapsed())
            };
            let Some(outcome) = outcome else {
                tokio::time::sleep(backoff.next_wait(None)).await;
                continue;
            };
            let took_ms = took.as_millis();
            match &outcome {
                StepOutcome::Done => info!(%group, %appliance, took_ms, "switched off"),
                StepOutcome::Failed { error } => {
                    warn!(%group, %appliance, took_ms, error, "not switched off yet");
                }
            }
            let done = outcome == StepOutcome::Done;
            if done {
                // A machine that boots at once could still be granted its old lease, by a leader
                // that is deposed and does not know it. That it is off counts once none such lasts.
                tokio::time::sleep(self.shared.left_of_earlier_leases(group)).await;
            }
            let record = CommandBody::RecordFence(RecordFence {
                group: group.clone(),
                appliance: appliance.clone(),
                asked: demand.asked,
                outcome,
                took,
            });
            match self.proposer.propose(record).await {
                Ok(_) if done => return,
                // Nobody waits for it any more: the task is about to be dropped.
                Err(ProposeFailed::Rejected(_)) => return,
                // Trying again is idempotent: what is off is found to be off.
                Ok(_) | Err(_) => tokio::time::sleep(backoff.next_wait(None)).await,
            }
        }
    }

    /// One attempt. `None` when there was none, because this node cannot tell that it leads or the
    /// demand has been met: then there is nothing to record.
    async fn attempt(&self, demand: &Demand) -> Option<StepOutcome> {
        let gate = ReplicaGate::new(self.proposer.replica().clone());
        if let Err(error) = gate.confirm().await {
            debug!(group = %demand.group, %error, "nobody is switched off by one that may not lead");
            return None;
        }
        // The state is now as new as that word: an appliance that has become the target since is
        // not touched.
        let pending = pending_actions(&self.proposer.replica().state());
        if !pending.iter().filter_map(self::demand).any(|now| now.key() == demand.key()) {
            return None;
        }
        let error = match &demand.spec {
            FenceSpec::Hook { name } => {
                let (group, appliance) = (demand.group.clone(), demand.appliance.clone());
                let told = Told { group, appliance, token: demand.operation.token() };
                match self.hooks.run(name, &told).await {
                    Ok(output) => {
                        debug!(hook = %name, output, "the hook says that it is off");
                        return Some(StepOutcome::Done);
                    }
                    Err(error) => {
                        if let Some(output) = error.output().filter(|output| !output.is_empty()) {
                            info!(hook = %name, output, "what the hook said before it failed");
                        }
                        error.to_string()
                    }
                }
            }
            FenceSpec::PowerOff { adapter, resource } => {
                let job = PowerOffJob {
                    group: demand.group.clone(),
                    appliance: demand.appliance.clone(),
                    resource: resource.clone(),
                    token: demand.operation.token(),
                };
                let known = self.adapters.named(adapter);
                match known.as_ref().and_then(|known| known.power()) {
                    None => format!("no adapter {adapter} that can power machines off is configured here"),
                    Some(power) => match power_off(power, &job, &gate, &Journal::default(), ATTEMPT).await {
                        Ok(()) => return Some(StepOutcome::Done),
                        Err(error) => error.chain(),
                    },
                }
            }
        };
        Some(StepOutcome::Failed { error })
    }
}
