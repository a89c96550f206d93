//! Why a member is taken out or put in, and why it is not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ApplianceName;
use crate::reason::{Reason, Span};

/// One reason. `Display` gives the sentence that an operator reads.
///
/// Append-only, and without remaining times in the log, as [`Reason`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolReason {
    /// What the vantages say of a member.
    Seen(Reason),
    /// Every member that is in is up: there is nothing to do.
    AllWell,
    /// Nobody is up: nobody is taken out.
    AllDown,
    /// Too few members would be left that are in and up.
    TooFewLeft {
        /// Who would have to go.
        member: ApplianceName,
        /// In and up without it.
        serving: u32,
        /// How many must be.
        min_in: u32,
    },
    /// Enough members are out already.
    TooManyOut {
        /// Who would have to go.
        member: ApplianceName,
        /// Out, or on their way.
        out: u32,
        /// Most that may be.
        max_out: u32,
    },
    /// The policy leaves it to an operator to take members out.
    TakeOutManual {
        /// Who would have to go.
        member: ApplianceName,
    },
    /// The policy leaves it to an operator to put members in.
    PutInManual {
        /// Who could return.
        member: ApplianceName,
    },
    /// A member that is down is about to be taken out.
    WaitingToTakeOut {
        /// Which one.
        member: ApplianceName,
        /// Until it is taken out.
        remaining_ms: u64,
    },
    /// Others came up so recently that this one may be coming back in the same moment.
    OthersJustUp {
        /// Who would have to go.
        member: ApplianceName,
        /// Until it may go.
        remaining_ms: u64,
    },
    /// A member that is out has to be well for longer.
    Stabilising {
        /// Which one.
        member: ApplianceName,
        /// Until it returns.
        remaining_ms: u64,
    },
    /// It has been up for the whole stabilisation time.
    Stable {
        /// Which one.
        member: ApplianceName,
    },
    /// It is newly declared, and up.
    Joins {
        /// Which one.
        member: ApplianceName,
    },
    /// Fewer members serve than must, so one that is up returns at once.
    Needed {
        /// Which one.
        member: ApplianceName,
        /// In, and not known to be down.
        serving: u32,
        /// How many must be.
        min_in: u32,
    },
    /// An operator took it out.
    OutByOperator {
        /// Which one.
        member: ApplianceName,
        /// The operator's reason.
        reason: String,
    },
    /// It was taken out too often.
    Flaps {
        /// Which one.
        member: ApplianceName,
        /// How often that may be.
        moves: u32,
        /// Within this time.
        window_ms: u64,
    },
    /// It is being taken out, and nobody else is in and up any more.
    LeavingAlone {
        /// Which one.
        member: ApplianceName,
    },
    /// An operator asked for it.
    Requested {
        /// The operator's reason.
        reason: String,
    },
}

impl fmt::Display for PoolReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolReason::Seen(reason) => reason.fmt(f),
            PoolReason::AllWell => f.write_str("every member that is in is up"),
            PoolReason::AllDown => f.write_str(
                "no member of the pool is up: nobody is taken out, since an empty load balancer serves nobody",
            ),
            PoolReason::TooFewLeft { member, serving, min_in } => write!(
                f,
                "{member} stays in although it is down: without it {serving} would be in and up, and {min_in} must be"
            ),
            PoolReason::TooManyOut { member, out, max_out } => write!(
                f,
                "{member} stays in although it is down: {out} are out, and the policy allows {max_out}"
            ),
            PoolReason::TakeOutManual { member } => {
                write!(f, "{member} is down: the policy leaves it to an operator to take it out")
            }
            PoolReason::PutInManual { member } => {
                write!(f, "{member} is up: the policy leaves it to an operator to put it in")
            }
            PoolReason::WaitingToTakeOut { member, remaining_ms } => {
                write!(f, "{member} is taken out in {}, should it stay down", Span(*remaining_ms))
            }
            PoolReason::OthersJustUp { member, remaining_ms } => write!(
                f,
                "the others came up just now, and {member} may be coming back as well: wait {}",
                Span(*remaining_ms)
            ),
            PoolReason::Stabilising { member, remaining_ms } => {
                write!(f, "{member} is up, and returns in {}, should it stay so", Span(*remaining_ms))
            }
            PoolReason::Stable { member } => {
                write!(f, "{member} has been up for the whole stabilisation time")
            }
            PoolReason::Joins { member } => write!(f, "{member} is newly declared, and up"),
            PoolReason::Needed { member, serving, min_in } => write!(
                f,
                "{member} is up and needed at once: {serving} may serve without it, and {min_in} must"
            ),
            PoolReason::OutByOperator { member, reason } if reason.is_empty() => {
                write!(f, "{member} was taken out by an operator, who alone puts it in")
            }
            PoolReason::OutByOperator { member, reason } => {
                write!(f, "{member} was taken out by an operator, who alone puts it in: {reason}")
            }
            PoolReason::Flaps { member, moves, window_ms } => write!(
                f,
                "{member} was taken out {moves} times within {}: it stays out until that is over, or an \
                 operator puts it in",
                Span(*window_ms)
            ),
            PoolReason::LeavingAlone { member } => write!(
                f,
                "{member} was to be taken out, and nobody else is in and up any more: it is left as it is"
            ),
            PoolReason::Requested { reason } if reason.is_empty() => f.write_str("an operator asked for it"),
            PoolReason::Requested { reason } => write!(f, "an operator asked for it: {reason}"),
        }
    }
}
