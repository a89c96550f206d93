//! What is decided for one group, as it comes together.

use std::time::Duration;

use super::view::{View, earliest};
use crate::command::{CommandBody, OperationKind, StartOperation};
use crate::ids::{ApplianceName, OperationId};
use crate::reason::Reason;
use crate::state::Group;
use crate::time::Mono;

/// What becomes of the group's recorded hold.
#[derive(Debug, Default)]
enum Hold {
    /// Nothing is certain enough to change it.
    #[default]
    Keep,
    Clear,
    Set(Reason),
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    propose: Vec<CommandBody>,
    reasons: Vec<Reason>,
    hold: Hold,
    wake_in: Option<Duration>,
}

impl Plan {
    pub(super) fn because(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }

    pub(super) fn propose(&mut self, command: CommandBody) {
        self.propose.push(command);
    }

    pub(super) fn proposes(&self) -> bool {
        !self.propose.is_empty()
    }

    /// The group ought to move, and does not for this reason.
    pub(super) fn hold(&mut self, reason: Reason) {
        self.hold = Hold::Set(reason);
    }

    /// The group has no need to move.
    pub(super) fn no_hold(&mut self) {
        self.hold = Hold::Clear;
    }

    /// The reason given says that something changes after this time.
    pub(super) fn wait(&mut self, remaining: Duration, reason: Reason) {
        self.because(reason);
        self.look_again_in(remaining);
    }

    pub(super) fn look_again_in(&mut self, span: Duration) {
        self.wake_in = Some(self.wake_in.map_or(span, |w| w.min(span)));
    }

    /// Proposes a move, for the reasons given so far.
    pub(super) fn start(
        &mut self,
        view: &View<'_>,
        kind: OperationKind,
        to: &ApplianceName,
        supersedes: Option<OperationId>,
    ) {
        // The start ends any hold by itself.
        self.hold = Hold::Keep;
        self.propose(CommandBody::StartOperation(StartOperation {
            group: view.group.spec.name.clone(),
            kind,
            to: to.clone(),
            expected: view.group.token,
            supersedes,
            reason: String::new(),
            because: self.reasons.clone(),
            evidence: view.evidence(),
        }));
    }

    pub(super) fn reasons(&self) -> Vec<Reason> {
        self.reasons.clone()
    }

    pub(super) fn wakeup(&self, view: &View<'_>) -> Option<Mono> {
        // At least a millisecond ahead, so that rounding never makes a caller spin.
        let span = self.wake_in.map(|s| s.max(Duration::from_millis(1)));
        earliest(span.map(|s| view.now.plus(s)), view.expiry())
    }

    pub(super) fn into_proposals(mut self, group: &Group) -> Vec<CommandBody> {
        let hold = match self.hold {
            Hold::Keep => return self.propose,
            Hold::Clear => None,
            Hold::Set(reason) => Some(reason),
        };
        if group.hold != hold {
            self.propose.push(CommandBody::RecordHold { group: group.spec.name.clone(), hold });
        }
        self.propose
    }
}
