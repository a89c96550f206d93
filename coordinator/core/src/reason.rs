//! Why something was done, and why it was not: typed, each rendered as one sentence.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ApplianceName, GroupName, OperationId};
use crate::notice::{NoticeKind, NoticeSource};

/// One reason. `Display` gives the sentence that an operator reads.
///
/// Append-only: reasons stand in the log, encoded by their position. Those with a remaining time
/// are for [`Decision::reasons`](crate::decide::Decision::reasons) alone: in the log they would
/// make a new entry each time the clock moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A majority of vantages holds the appliance to be down.
    Down {
        /// Which appliance.
        appliance: ApplianceName,
        /// Vantages that agree.
        vantages: u32,
        /// All vantages.
        of: u32,
    },
    /// A majority of vantages holds the appliance to be up.
    Up {
        /// Which appliance.
        appliance: ApplianceName,
        /// Vantages that agree.
        vantages: u32,
        /// All vantages.
        of: u32,
    },
    /// Too few vantages with a fresh report agree on the appliance.
    NoMajority {
        /// Which appliance.
        appliance: ApplianceName,
        /// The largest number that agrees.
        vantages: u32,
        /// All vantages.
        of: u32,
    },
    /// What the vantages say now is not yet what the log says.
    VerdictChanging {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// No appliance of the group is up.
    BothDown,
    /// The active appliance is up: there is nothing to do.
    ActiveUp {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// A standby is in maintenance, so it is not promoted.
    StandbyInMaintenance {
        /// Which standby.
        appliance: ApplianceName,
    },
    /// A standby is down.
    StandbyDown {
        /// Which standby.
        appliance: ApplianceName,
    },
    /// It is not known whether a standby is up.
    StandbyUnknown {
        /// Which standby.
        appliance: ApplianceName,
    },
    /// A standby came up so recently that the active may be coming back in the same moment.
    StandbyJustUp {
        /// Which standby.
        appliance: ApplianceName,
        /// Until it may be promoted.
        remaining_ms: u64,
    },
    /// No standby can be promoted.
    NoStandby,
    /// The group is in manual mode.
    ManualMode,
    /// The policy leaves failover to an operator.
    FailoverManual,
    /// The policy leaves failback to an operator.
    FailbackManual,
    /// Automatic moves of the group are frozen.
    Frozen,
    /// The group moved by itself too often.
    FlapBudgetSpent {
        /// Automatic moves allowed.
        moves: u32,
        /// Within this window.
        window_ms: u64,
    },
    /// The failover wait is not over.
    WaitingToFailOver {
        /// The active appliance.
        appliance: ApplianceName,
        /// Until it is over.
        remaining_ms: u64,
    },
    /// The stabilisation time is not over.
    WaitingToFailBack {
        /// The preferred appliance.
        appliance: ApplianceName,
        /// Until it is over.
        remaining_ms: u64,
    },
    /// A new group gives its preferred appliance time to come up.
    WaitingForPreferred {
        /// The preferred appliance.
        appliance: ApplianceName,
        /// Until another one is taken.
        remaining_ms: u64,
    },
    /// An operation is running.
    OperationRunning {
        /// Which.
        operation: OperationId,
        /// Where it moves the group.
        to: ApplianceName,
    },
    /// An operation has been running for longer than its time limit.
    OperationStalled {
        /// Which.
        operation: OperationId,
        /// Where it moves the group.
        to: ApplianceName,
    },
    /// The appliance that a running operation moves to has died.
    OperationTargetDown {
        /// Which operation.
        operation: OperationId,
        /// Where it moves the group.
        to: ApplianceName,
    },
    /// An operator forced the group onto an appliance that was down already.
    ForcedByOperator {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The appliance has the active role already.
    AlreadyActive {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The group has no active appliance yet.
    NotActivated,
    /// The appliance is the preferred one.
    Preferred {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The appliance is not the preferred one, so a move there is not a failback.
    NotPreferred {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The appliance has been up for the stabilisation time.
    Stable {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// An operator asked for it.
    Requested {
        /// In the operator's words.
        reason: String,
    },
    /// There is no such group.
    UnknownGroup {
        /// As asked.
        group: GroupName,
    },
    /// The group has no such appliance.
    UnknownAppliance {
        /// As asked.
        appliance: ApplianceName,
    },
    /// Operators cannot ask for this kind of move.
    NotForOperators {
        /// The kind of move, in one or two words.
        kind: String,
    },
    /// The operator's reason is longer than the log takes.
    ReasonTooLong {
        /// The longest allowed, in bytes.
        limit: u32,
    },
    /// A forced move went on over the failing checks listed next.
    ChecksSkipped,
    /// Nothing of a move is granted or written before an earlier active is off.
    WaitsForFencing {
        /// Which appliance.
        appliance: ApplianceName,
        /// How it is switched off, in words.
        how: String,
        /// Attempts so far.
        attempts: u32,
        /// What went wrong in the newest; `None` before the first has ended.
        error: Option<String>,
    },
    /// An earlier active must be switched off, and that fails.
    FencingFails {
        /// Which appliance.
        appliance: ApplianceName,
        /// How it is switched off, in words.
        how: String,
        /// What went wrong.
        error: String,
    },
    /// An appliance may go on past its lease until it acts on the newest declaration.
    AwaitsAcknowledgement {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// A majority of vantages cannot reach what lies behind the active appliance.
    PathDown {
        /// The active appliance.
        appliance: ApplianceName,
        /// Vantages that agree.
        vantages: u32,
        /// All vantages.
        of: u32,
    },
    /// The path was down before the newest move as well.
    PathDownBeforeMove {
        /// The active appliance.
        appliance: ApplianceName,
    },
    /// The group left this appliance because the path through it failed.
    PathFailedThere {
        /// The preferred appliance.
        appliance: ApplianceName,
    },
    /// Something is announced to happen to the active appliance.
    Announced {
        /// Which appliance.
        appliance: ApplianceName,
        /// What.
        kind: NoticeKind,
        /// Who says so.
        source: NoticeSource,
    },
    /// The active appliance is left ahead of what is announced, and not yet.
    DrainsLater {
        /// Which appliance.
        appliance: ApplianceName,
        /// Until it is.
        remaining_ms: u64,
    },
    /// The active appliance is not left in spite of what is announced.
    StaysAnnounced {
        /// Which appliance.
        appliance: ApplianceName,
        /// What is announced.
        kind: NoticeKind,
    },
    /// Something is announced to happen to a standby.
    StandbyAnnounced {
        /// Which standby.
        appliance: ApplianceName,
        /// What.
        kind: NoticeKind,
        /// Who says so.
        source: NoticeSource,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Down { appliance, vantages, of } => {
                write!(f, "{appliance} is down by {vantages} of {of} vantages")
            }
            Reason::Up { appliance, vantages, of } => {
                write!(f, "{appliance} is up by {vantages} of {of} vantages")
            }
            Reason::NoMajority { appliance, vantages, of } => {
                write!(f, "no majority of vantages agrees on {appliance}: at most {vantages} of {of} do")
            }
            Reason::VerdictChanging { appliance } => {
                write!(f, "the verdict on {appliance} is changing: nothing follows before it is recorded")
            }
            Reason::BothDown => {
                f.write_str("no appliance of the group is up as far as any vantage can see: nothing is moved")
            }
            Reason::ActiveUp { appliance } => write!(f, "the active {appliance} is up"),
            Reason::StandbyInMaintenance { appliance } => {
                write!(f, "the standby {appliance} is in maintenance")
            }
            Reason::StandbyDown { appliance } => write!(f, "the standby {appliance} is down"),
            Reason::StandbyUnknown { appliance } => {
                write!(f, "it is not known whether the standby {appliance} is up")
            }
            Reason::StandbyJustUp { appliance, remaining_ms } => write!(
                f,
                "{appliance} came up only now: for {} more the active may be coming back as well",
                Span(*remaining_ms)
            ),
            Reason::NoStandby => f.write_str("the group has no standby that can be promoted"),
            Reason::ManualMode => f.write_str("the group is in manual mode: only an operator moves it"),
            Reason::FailoverManual => f.write_str("the policy leaves failover to an operator"),
            Reason::FailbackManual => f.write_str("the policy leaves failback to an operator"),
            Reason::Frozen => f.write_str("automatic moves are frozen until an operator unfreezes the group"),
            Reason::FlapBudgetSpent { moves, window_ms } => write!(
                f,
                "the group has moved by itself {moves} times within {}, which is all that its policy allows",
                Span(*window_ms)
            ),
            Reason::WaitingToFailOver { appliance, remaining_ms } => {
                write!(f, "{appliance} is given {} more to come back", Span(*remaining_ms))
            }
            Reason::WaitingToFailBack { appliance, remaining_ms } => {
                write!(f, "the return to {appliance} waits {} more for it to be stable", Span(*remaining_ms))
            }
            Reason::WaitingForPreferred { appliance, remaining_ms } => {
                write!(f, "the preferred {appliance} is given {} more to come up", Span(*remaining_ms))
            }
            Reason::OperationRunning { operation, to } => {
                write!(f, "operation {operation} to {to} is running")
            }
            Reason::OperationStalled { operation, to } => {
                write!(
                    f,
                    "operation {operation} to {to} takes longer than its time limit and is still retried"
                )
            }
            Reason::OperationTargetDown { operation, to } => {
                write!(f, "{to} died while operation {operation} was moving the group there")
            }
            Reason::ForcedByOperator { appliance } => write!(
                f,
                "an operator forced the group onto {appliance} while it was down: it stays until {appliance} has been up once"
            ),
            Reason::AlreadyActive { appliance } => write!(f, "{appliance} is active already"),
            Reason::NotActivated => f.write_str("the group has no active appliance yet"),
            Reason::Preferred { appliance } => write!(f, "{appliance} is the preferred appliance"),
            Reason::NotPreferred { appliance } => {
                write!(
                    f,
                    "{appliance} is not the preferred appliance: ask for a switchover instead of a failback"
                )
            }
            Reason::Stable { appliance } => {
                write!(f, "{appliance} has been up for the whole stabilisation time")
            }
            Reason::Requested { reason } if reason.is_empty() => f.write_str("an operator asked for it"),
            Reason::Requested { reason } => write!(f, "an operator asked for it: {reason}"),
            Reason::UnknownGroup { group } => write!(f, "there is no group {group}"),
            Reason::UnknownAppliance { appliance } => write!(f, "the group has no appliance {appliance}"),
            Reason::NotForOperators { kind } => {
                write!(
                    f,
                    "an operator cannot ask for a {kind}: ask for a switchover, a forced one or a failback"
                )
            }
            Reason::ReasonTooLong { limit } => {
                write!(f, "the reason is longer than {limit} bytes: shorten it")
            }
            Reason::ChecksSkipped => {
                f.write_str("the failing checks that follow were skipped on the operator's word")
            }
            Reason::WaitsForFencing { appliance, how, attempts, error } => {
                write!(f, "nothing moves before {appliance} is off: waits for fencing: {how} ")?;
                match (attempts, error) {
                    (_, None) => f.write_str("is under way"),
                    (1, Some(error)) => write!(f, "failed once: {error}"),
                    (_, Some(error)) => write!(f, "failed {attempts} times: {error}"),
                }
            }
            Reason::FencingFails { appliance, how, error } => write!(
                f,
                "{appliance} must be off before anything moves, and {how} fails: {error}; it is tried again \
                 until it works, {appliance} confirms that it has let go, or an operator confirms that it is off"
            ),
            Reason::AwaitsAcknowledgement { appliance } => write!(
                f,
                "{appliance} may go on past its lease until it has taken note of the newest declaration: \
                 appliances cannot join, virtual addresses cannot leave, and the group cannot be removed"
            ),
            Reason::PathDown { appliance, vantages, of } => {
                write!(f, "the path through the active {appliance} is down by {vantages} of {of} vantages")
            }
            Reason::PathDownBeforeMove { appliance } => write!(
                f,
                "the path through {appliance} is down, and it was down before the group moved there: \
                 another move would not help"
            ),
            Reason::PathFailedThere { appliance } => write!(
                f,
                "the group left {appliance} because the path through it failed: only an operator returns it"
            ),
            Reason::Announced { appliance, kind, source } => {
                write!(f, "the active {appliance} is under notice of a {kind} by {source}")
            }
            Reason::DrainsLater { appliance, remaining_ms } => {
                write!(f, "{appliance} is left in {}, ahead of that", Span(*remaining_ms))
            }
            Reason::StaysAnnounced { appliance, kind } => {
                write!(f, "{appliance} stays active in spite of the {kind} that is announced")
            }
            Reason::StandbyAnnounced { appliance, kind, source } => {
                write!(f, "the standby {appliance} is under notice of a {kind} by {source}")
            }
        }
    }
}

/// A time span for people: `300ms`, `1.5s`, `30m`, `1h`.
pub(crate) struct Span(pub(crate) u64);

impl From<Duration> for Span {
    fn from(value: Duration) -> Self {
        Span(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        for (unit, name) in UNITS {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        if self.0 >= 1_000 {
            return write!(f, "{}.{:03}s", self.0 / 1_000, self.0 % 1_000);
        }
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_the_configuration() {
        let of = |ms| Span(ms).to_string();
        assert_eq!(of(0), "0ms");
        assert_eq!(of(300), "300ms");
        assert_eq!(of(3_000), "3s");
        assert_eq!(of(1_500), "1.500s");
        assert_eq!(of(1_800_000), "30m");
        assert_eq!(of(3_600_000), "1h");
    }
}
