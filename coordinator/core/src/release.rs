//! Proofs that an earlier holder's lease is over, and that the new holder's has begun.
//!
//! Both are read off what agents report and the lease table of this term; what follows is only
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
    /// Whether the VIPs are on the interfaces, announced, under the lease held.
    pub vips_up: bool,
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
                let over_at = table.over_at(declared, appliance);
                let proof = match (confirmed, over_at <= now) {
                    (true, _) => ReleaseProof::Confirmed,
                    (false, true) => ReleaseProof::Expired,
                    (false, false) => {
                        due.wake_at(over_at);
                        continue;
                    }
                };
                due.propose.push(CommandBody::RecordRelease {
                    group: group.clone(),
                    appliance: appliance.clone(),
                    token: *token,
                    proof,
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
            Action::MoveBinding { .. } => {}
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
