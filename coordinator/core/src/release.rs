//! Proofs that an earlier holder's lease is over, and that the new holder's has begun; and what
//! follows when the first does not come in time, or is not enough.
//!
//! They are read off what agents report and the lease table of this term; what follows is only
//! proposed. The grant itself waits for the committed [`ReleaseProof`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::action::Action;
use crate::command::{CommandBody, RecordStep, ReleaseProof, StepOutcome};
use crate::ids::ApplianceName;
use crate::lease::{Held, LeaseTable, proves_release};
use crate::state::State;
use crate::time::Mono;

/// What an agent's newest report says of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// What it has accepted and what it holds.
    pub held: Held,
    /// Whether the VIPs are on the interfaces, announced, and the probe gates open, under the lease held.
    pub vips_up: bool,
    /// The declaration that it acts on; 0 before it knows one.
    pub revision: u64,
    /// When this node first heard that it acts on it, in the agent's present life.
    pub revision_since: Mono,
}

/// What to propose now, and when time alone will bring more.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Due {
    /// In this order.
    pub propose: Vec<CommandBody>,
    /// When the passing of time alone will prove more.
    pub next_wakeup: Option<Mono>,
}

/// Looks at the actions that wait for an agent. `agents` holds the newest report of each.
pub fn due(
    state: &State,
    actions: &[Action],
    table: &LeaseTable,
    agents: &BTreeMap<ApplianceName, Holding>,
    now: Mono,
) -> Due {
    let mut due = Due::default();
    for action in actions {
        match action {
            Action::AwaitRelease { group, appliance, token } => {
                let Some(declared) = state.groups.get(group) else { continue };
                let confirmed = agents.get(appliance).is_some_and(|agent| proves_release(agent.held, *token));
                let (group, appliance, token) = (group.clone(), appliance.clone(), *token);
                let over_at = table.over_at(declared, &appliance);
                let proof = if confirmed {
                    ReleaseProof::Confirmed
                } else if !declared.unreleased.contains_key(&appliance) {
                    // It had no lease that could be over.
                    continue;
                } else if over_at > now {
                    due.wake_at(over_at);
                    continue;
                } else if declared.expiry_counts(&appliance) {
                    ReleaseProof::Expired
                } else {
                    if !declared.fencing.contains_key(&appliance) {
                        due.propose.push(CommandBody::RequestFence { group, appliance, token });
                    }
                    continue;
                };
                due.propose.push(CommandBody::RecordRelease { group, appliance, token, proof });
            }
            Action::AwaitAcknowledgement { group, appliance, revision } => {
                let (Some(declared), Some(agent)) = (state.groups.get(group), agents.get(appliance)) else {
                    continue;
                };
                if agent.revision < *revision {
                    continue;
                }
                // Promises that it was given before are over by then, and so are grants with which
                // an earlier leader told it of an older declaration.
                let heard = agent.revision_since.plus(declared.spec.lease.wait());
                let sure_at = heard.max(table.earlier_over_at(declared));
                if sure_at > now {
                    due.wake_at(sure_at);
                    continue;
                }
                due.propose.push(CommandBody::RecordAcknowledged {
                    group: group.clone(),
                    appliance: appliance.clone(),
                    revision: agent.revision,
                });
            }
            Action::AwaitHold { group, operation, binding, to } => {
                let Some(agent) = agents.get(to) else { continue };
                if agent.vips_up && agent.held.holding == Some(operation.token()) {
                    due.propose.push(CommandBody::RecordStep(RecordStep {
                        group: group.clone(),
                        operation: *operation,
                        binding: binding.clone(),
                        outcome: StepOutcome::Done,
                        calls: Vec::new(),
                        took: Duration::ZERO,
                    }));
                }
            }
            Action::MoveBinding { .. } | Action::Fence { .. } => {}
        }
    }
    due
}

impl Due {
    fn wake_at(&mut self, at: Mono) {
        self.next_wakeup = Some(self.next_wakeup.map_or(at, |earlier| earlier.min(at)));
    }
}

#[cfg(test)]
mod tests;
