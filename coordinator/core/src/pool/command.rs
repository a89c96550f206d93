//! What is proposed to the log about pools.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PoolReason, PoolSpec, Side};
use crate::command::{CallRecord, StepOutcome};
use crate::ids::{ApplianceName, PoolName, Token};
use crate::observe::{Evidence, Verdict};
use crate::time::millis;

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolCommand {
    /// Creates a pool or replaces its declaration.
    Put(PoolSpec),
    /// Removes a pool: its members stay where they are.
    Remove(PoolName),
    /// Records that the verdict on a member changed, with the evidence.
    RecordVerdict {
        /// The pool.
        pool: PoolName,
        /// The member.
        member: ApplianceName,
        /// The new verdict.
        verdict: Verdict,
        /// What each vantage said.
        evidence: Vec<Evidence>,
    },
    /// Takes a member out, on all its sides.
    TakeOut(ChangeMember),
    /// Puts a member in, on all its sides.
    PutIn(ChangeMember),
    /// Records the outcome of one attempt to change one side of a member.
    RecordPlacement(RecordPlacement),
    /// Records that a sick member is left where it is, or no longer.
    RecordHold {
        /// The pool.
        pool: PoolName,
        /// Why; `None` ends the hold.
        hold: Option<PoolReason>,
    },
    /// Records that what the cloud says differs from what the log says.
    RecordDrift {
        /// The pool.
        pool: PoolName,
        /// The member.
        member: ApplianceName,
        /// The side.
        side: Side,
        /// The difference, in words; `None` once it is gone.
        drift: Option<String>,
    },
}

/// See [`PoolCommand::TakeOut`] and [`PoolCommand::PutIn`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeMember {
    /// The pool.
    pub pool: PoolName,
    /// The member.
    pub member: ApplianceName,
    /// The pool's token that the decision was made on: another one means that the decision is
    /// stale. `None` for an operator, who decides on no token.
    pub expected: Option<Token>,
    /// The operator's reason; empty for the coordinator's own changes.
    pub reason: String,
    /// Why, in order.
    pub because: Vec<PoolReason>,
    /// What the vantages said of the member.
    pub evidence: Vec<Evidence>,
}

/// See [`PoolCommand::RecordPlacement`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPlacement {
    /// The pool.
    pub pool: PoolName,
    /// The member.
    pub member: ApplianceName,
    /// The change that the attempt was for: a step of another one is refused.
    pub token: Token,
    /// Which side.
    pub side: Side,
    /// How it went.
    pub outcome: StepOutcome,
    /// Every call made in this attempt.
    pub calls: Vec<CallRecord>,
    /// From the first call to the last answer.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}
