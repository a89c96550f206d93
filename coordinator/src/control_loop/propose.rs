//! The coordinator's own proposals, bound to the term in which they were decided.

use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{Actor, Command, CommandBody};
use coordinator_core::event::Event;
use tracing::debug;

use super::clock::wall_now;
use crate::raft::{ProposeError, Replica};

/// How long a commit may take before its outcome counts as unknown.
const DEADLINE: Duration = Duration::from_secs(2);

/// Proposes for one term: a node that lost and regained the leadership in between is refused, so
/// nothing that was decided in one term is committed in another.
#[derive(Clone)]
pub(super) struct Proposer {
    replica: Replica,
    term: u64,
}

/// Why a proposal was not committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProposeFailed {
    /// The state machine refused it: the state has moved on.
    #[error("{0}")]
    Rejected(Rejection),
    /// Not leading any more, or no answer in time.
    #[error("not committed: {0}")]
    NotCommitted(ProposeError),
}

impl Proposer {
    pub(super) fn new(replica: Replica, term: u64) -> Proposer {
        Proposer { replica, term }
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.replica
    }

    pub(super) async fn propose(&self, body: CommandBody) -> Result<Vec<Event>, ProposeFailed> {
        let actor = Actor::Coordinator(self.replica.node_id());
        let command = Command { at: wall_now(), actor, body };
        match self.replica.propose_in_term(command, self.term, DEADLINE).await {
            Ok(events) => Ok(events),
            Err(ProposeError::Rejected(rejection)) => {
                debug!(%rejection, "a proposal was overtaken");
                Err(ProposeFailed::Rejected(rejection))
            }
            Err(error) => Err(ProposeFailed::NotCommitted(error)),
        }
    }
}
