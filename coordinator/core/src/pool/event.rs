//! What happened to a pool.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PoolReason, Side};
use crate::command::CallRecord;
use crate::ids::{ApplianceName, PoolName, Token};
use crate::observe::{Evidence, Verdict};
use crate::reason::Span;
use crate::time::millis;

/// An event of a pool. The member is the event's appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolEvent {
    /// The pool.
    pub pool: PoolName,
    /// What happened.
    pub what: PoolEventBody,
}

/// What happened. Append-only, as [`EventBody`](crate::event::EventBody).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolEventBody {
    /// A pool was declared, or its declaration replaced.
    Declared {
        /// Whether it is new.
        new: bool,
    },
    /// A pool was removed.
    Removed,
    /// The verdict on a member changed.
    VerdictChanged {
        /// Before.
        from: Verdict,
        /// Now.
        to: Verdict,
        /// What each vantage said.
        evidence: Vec<Evidence>,
    },
    /// A member is being taken out.
    Leaving {
        /// The change.
        token: Token,
        /// The operator's reason.
        reason: String,
        /// Why, in order.
        because: Vec<PoolReason>,
        /// What the vantages said of it.
        evidence: Vec<Evidence>,
    },
    /// A member is being put in.
    Returning {
        /// The change.
        token: Token,
        /// The operator's reason.
        reason: String,
        /// Why, in order.
        because: Vec<PoolReason>,
        /// What the vantages said of it.
        evidence: Vec<Evidence>,
    },
    /// An operator wants a member to stay out.
    KeptOut {
        /// The operator's reason.
        reason: String,
    },
    /// One side of a member has changed.
    SideDone {
        /// Which side.
        side: Side,
        /// Whether it is in there now.
        inside: bool,
        /// Attempts, the last one included.
        attempts: u32,
        /// How long the last attempt took.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
        /// Every call of the last attempt.
        calls: Vec<CallRecord>,
    },
    /// An attempt to change one side of a member failed in a new way; it is tried again.
    SideFailed {
        /// Which side.
        side: Side,
        /// Whether it was to be put in there.
        inside: bool,
        /// Which attempt, from 1.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// How long the attempt took.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
        /// Every call of the attempt.
        calls: Vec<CallRecord>,
    },
    /// A member is in, or out, on every side.
    Changed {
        /// Whether it is in.
        inside: bool,
        /// From the start of the change to its end.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// A sick member is left where it is.
    Held {
        /// Why.
        reason: PoolReason,
    },
    /// That is over.
    HoldEnded,
    /// What the cloud says of a member differs from what the log says.
    DriftFound {
        /// Which side.
        side: Side,
        /// The difference.
        drift: String,
    },
    /// The difference is gone.
    DriftGone {
        /// Which side.
        side: Side,
    },
}

impl PoolEventBody {
    /// A stable word for filters: it is never changed, and never used for another event.
    pub fn word(&self) -> &'static str {
        match self {
            PoolEventBody::Declared { .. } => "pool-declared",
            PoolEventBody::Removed => "pool-removed",
            PoolEventBody::VerdictChanged { .. } => "member-verdict-changed",
            PoolEventBody::Leaving { .. } => "member-leaving",
            PoolEventBody::Returning { .. } => "member-returning",
            PoolEventBody::KeptOut { .. } => "member-kept-out",
            PoolEventBody::SideDone { .. } => "side-done",
            PoolEventBody::SideFailed { .. } => "side-failed",
            PoolEventBody::Changed { inside: true, .. } => "member-in",
            PoolEventBody::Changed { inside: false, .. } => "member-out",
            PoolEventBody::Held { .. } => "pool-held",
            PoolEventBody::HoldEnded => "pool-hold-ended",
            PoolEventBody::DriftFound { .. } => "member-drift-found",
            PoolEventBody::DriftGone { .. } => "member-drift-gone",
        }
    }

    /// The sentence, about `member`.
    pub(crate) fn sentence(&self, f: &mut fmt::Formatter<'_>, member: Option<&ApplianceName>) -> fmt::Result {
        let member = member.map_or("the member", ApplianceName::as_str);
        match self {
            PoolEventBody::Declared { new: true } => f.write_str("the pool was declared"),
            PoolEventBody::Declared { new: false } => f.write_str("the declaration of the pool was replaced"),
            PoolEventBody::Removed => f.write_str("the pool was removed; its members stay where they are"),
            PoolEventBody::VerdictChanged { from, to, evidence } => {
                write!(f, "{member} is {to}, it was {from}")?;
                crate::event::telling(f, *to, evidence)
            }
            PoolEventBody::Leaving { because, .. } => {
                write!(f, "{member} is being taken out")?;
                crate::event::sentences(f, because)
            }
            PoolEventBody::Returning { because, .. } => {
                write!(f, "{member} is being put in")?;
                crate::event::sentences(f, because)
            }
            PoolEventBody::KeptOut { reason } => {
                write!(f, "{member} stays out until an operator puts it in")?;
                crate::event::with_reason(f, reason)
            }
            PoolEventBody::SideDone { side, inside, attempts, took, .. } => {
                let now = if *inside { "in" } else { "out" };
                write!(f, "{member} is {now} on the {side} side after {}", Span::from(*took))?;
                if *attempts > 1 { write!(f, " ({attempts} attempts)") } else { Ok(()) }
            }
            PoolEventBody::SideFailed { side, inside, attempt, error, .. } => {
                let what = if *inside { "put in" } else { "take out" };
                write!(f, "attempt {attempt} to {what} {member} on the {side} side failed: {error}")
            }
            PoolEventBody::Changed { inside, took } => {
                let now = if *inside { "in" } else { "out" };
                write!(f, "{member} is {now} on every side, after {}", Span::from(*took))
            }
            PoolEventBody::Held { reason } => write!(f, "the pool is held as it is: {reason}"),
            PoolEventBody::HoldEnded => f.write_str("the pool is no longer held"),
            PoolEventBody::DriftFound { side, drift } => {
                write!(f, "{member} is not as it should be on the {side} side: {drift}")
            }
            PoolEventBody::DriftGone { side } => {
                write!(f, "{member} is as it should be again on the {side} side")
            }
        }
    }
}
