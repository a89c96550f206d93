//! Proofs that an earlier holder's lease is over, and that the new holder's has begun.
//!
//! Both are read off what agents report and the lease table of this term; what follows is only
//! proposed here. The grant itself waits for the committed [`ReleaseProof`].

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_core::action::Action;
use coordinator_core::command::{CommandBody, RecordStep, ReleaseProof, StepOutcome};
use coordinator_core::ids::ApplianceName;
use coordinator_core::lease::{LeaseTable, proves_release};
use coordinator_core::state::State;
use coordinator_core::time::Mono;

use super::handle::AgentSeen;

/// What to propose now, and when time alone will bring more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) propose: Vec<CommandBody>,
    pub(super) next_wakeup: Option<Mono>,
}

/// Looks at the actions that wait for an agent.
pub(super) fn due(
    state: &State,
    actions: &[Action],
    table: &LeaseTable,
    agents: &BTreeMap<ApplianceName, AgentSeen>,
    now: Mono,
) -> Due {
    let mut due = Due::default();
    for action in actions {
        match action {
            Action::AwaitRelease { group, appliance, token } => {
                let Some(declared) = state.groups.get(group) else { continue };
                let confirmed =
                    agents.get(appliance).is_some_and(|seen| proves_release(seen.report.held(), *token));
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
                let Some(seen) = agents.get(to) else { continue };
                if seen.report.vips_up && seen.report.holding == Some(operation.token()) {
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
#[path = "release_tests.rs"]
mod tests;
