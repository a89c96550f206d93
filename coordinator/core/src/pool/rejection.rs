//! Why a command about a pool changed nothing.

use serde::{Deserialize, Serialize};

use super::PoolReason;
use crate::ids::{ApplianceName, PoolName, Token};
use crate::validate::SpecFault;

/// Why a command about a pool changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolRejection {
    /// No such pool.
    #[error("there is no pool {pool}")]
    UnknownPool {
        /// As asked.
        pool: PoolName,
    },
    /// No such member.
    #[error("pool {pool} has no member {member}")]
    UnknownMember {
        /// The pool.
        pool: PoolName,
        /// As asked.
        member: ApplianceName,
    },
    /// The declaration breaks a rule.
    #[error("the declaration of pool {pool} is refused: {}", listed(.faults))]
    Invalid {
        /// The pool.
        pool: PoolName,
        /// Every fault.
        faults: Vec<SpecFault>,
    },
    /// A member's part of a side would change under a change of the member.
    #[error(
        "{member} of pool {pool} is not in, and the declaration changes where it is put: put it in first, or \
         declare the pool without it and then anew"
    )]
    MemberNotIn {
        /// The pool.
        pool: PoolName,
        /// Which member.
        member: ApplianceName,
    },
    /// The decision was made on an older state.
    #[error("pool {pool} is at token {current}, the decision was made at {expected}")]
    StaleToken {
        /// The pool.
        pool: PoolName,
        /// As expected.
        expected: Token,
        /// As it is.
        current: Token,
    },
    /// Too few members would be in and up.
    #[error(
        "{member} of pool {pool} cannot be taken out: without it {serving} would be in and up, and at least \
         {needed} must be"
    )]
    TooFewLeft {
        /// The pool.
        pool: PoolName,
        /// Which member.
        member: ApplianceName,
        /// In and up without it.
        serving: u64,
        /// How many must be.
        needed: u64,
    },
    /// The policy, or a rule, rules out a change without an operator.
    #[error("{member} of pool {pool} is not changed without an operator: {because}")]
    NotAutomatic {
        /// The pool.
        pool: PoolName,
        /// Which member.
        member: ApplianceName,
        /// Why.
        because: PoolReason,
    },
    /// A member that is not down is not taken out by decision.
    #[error("{member} of pool {pool} is not down by the recorded verdict: it is not taken out")]
    NotDown {
        /// The pool.
        pool: PoolName,
        /// Which member.
        member: ApplianceName,
    },
    /// A member that is not up is not put in.
    #[error("{member} of pool {pool} is not known to be up: repair it first")]
    NotUp {
        /// The pool.
        pool: PoolName,
        /// Which member.
        member: ApplianceName,
    },
    /// It has not been up for long enough.
    #[error("{member} of pool {pool} has not been up for the stabilisation time")]
    NotStable {
        /// The pool.
        pool: PoolName,
        /// Which member.
        member: ApplianceName,
    },
    /// No such change is under way.
    #[error("no change of {member} of pool {pool} with token {token} is under way on that side")]
    NotRunning {
        /// The pool.
        pool: PoolName,
        /// Which member.
        member: ApplianceName,
        /// As asked.
        token: Token,
    },
    /// No such side.
    #[error("pool {pool} has no {side} side")]
    UnknownSide {
        /// The pool.
        pool: PoolName,
        /// As asked.
        side: super::Side,
    },
    /// A coordinator's change says what it was decided on.
    #[error("a change without an operator must name the token that it was decided on")]
    NoToken,
}

fn listed(faults: &[SpecFault]) -> String {
    faults.iter().map(SpecFault::to_string).collect::<Vec<_>>().join("; ")
}

impl PoolRejection {
    /// A stable word for API errors: it is never changed.
    pub fn word(&self) -> &'static str {
        match self {
            PoolRejection::UnknownPool { .. } => "unknown-pool",
            PoolRejection::UnknownMember { .. } => "unknown-member",
            PoolRejection::Invalid { .. } => "invalid-pool",
            PoolRejection::MemberNotIn { .. } => "member-not-in",
            PoolRejection::StaleToken { .. } => "stale-token",
            PoolRejection::TooFewLeft { .. } => "too-few-left",
            PoolRejection::NotAutomatic { .. } => "not-automatic",
            PoolRejection::NotDown { .. } => "member-not-down",
            PoolRejection::NotUp { .. } => "member-not-up",
            PoolRejection::NotStable { .. } => "member-not-stable",
            PoolRejection::NotRunning { .. } => "change-not-running",
            PoolRejection::UnknownSide { .. } => "unknown-side",
            PoolRejection::NoToken => "no-token",
        }
    }
}
