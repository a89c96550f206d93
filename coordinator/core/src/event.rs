//! What happened, derived in [`apply`](crate::apply::apply): the history is made of these.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chain::Link;
use crate::command::{Actor, CallRecord, OperationKind, ReleaseProof};
use crate::ids::{ApplianceName, BindingName, GroupName, OperationId, PoolName, Token};
use crate::model::Trigger;
use crate::notice::{Notice, NoticeSource};
use crate::observe::{Evidence, Verdict};
use crate::pool::PoolEvent;
use crate::reason::{Reason, Span};
use crate::state::{Drift, HeartbeatPath, Traffic};
use crate::time::{WallTime, millis};

/// One record of the history. `(index, seq)` identifies and orders it.
///
/// `Display` gives the sentence that an operator reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The log index of the command it came from.
    pub index: u64,
    /// Its place among the events of that command, from 0.
    pub seq: u32,
    /// The state's time when the command was applied.
    pub at: WallTime,
    /// Who asked.
    pub actor: Actor,
    /// How much it matters.
    pub level: Level,
    /// The group concerned.
    pub group: Option<GroupName>,
    /// The appliance concerned.
    pub appliance: Option<ApplianceName>,
    /// The operation it belongs to.
    pub operation: Option<OperationId>,
    /// What happened.
    pub body: EventBody,
    /// Its place in the history.
    pub link: Link,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For the record.
    Info,
    /// Worth a look.
    Warning,
    /// Worth waking someone.
    Alert,
}

/// What happened. Append-only: events are stored, encoded by their position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventBody {
    /// A group was declared, or its declaration replaced.
    GroupDeclared {
        /// Whether it is new.
        new: bool,
    },
    /// A group was removed.
    GroupRemoved,
    /// The group verdict on an appliance changed.
    VerdictChanged {
        /// Before.
        from: Verdict,
        /// Now.
        to: Verdict,
        /// What each vantage said.
        evidence: Vec<Evidence>,
    },
    /// An operation started: `to` has the active role.
    OperationStarted {
        /// What kind of move.
        kind: OperationKind,
        /// Who was active before.
        from: Option<ApplianceName>,
        /// Who is active now.
        to: ApplianceName,
        /// The operation that it replaces.
        supersedes: Option<OperationId>,
        /// The operator's reason.
        reason: String,
        /// Why, in order.
        because: Vec<Reason>,
        /// What the vantages said.
        evidence: Vec<Evidence>,
    },
    /// A newer operation took over.
    OperationSuperseded {
        /// What kind of move.
        kind: OperationKind,
        /// Where it was moving.
        to: ApplianceName,
        /// The newer one.
        by: OperationId,
        /// How long it ran.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// An earlier holder can no longer hold the group's lease.
    Released {
        /// The group's token that the proof is about.
        token: Token,
        /// How it is known.
        proof: ReleaseProof,
        /// Since the operation started.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// A binding points at the new active.
    StepDone {
        /// Which binding.
        binding: BindingName,
        /// Attempts, the last one included.
        attempts: u32,
        /// How long the last attempt took.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
        /// Every call of the last attempt.
        calls: Vec<CallRecord>,
    },
    /// An attempt to move a binding failed; it is tried again.
    StepFailed {
        /// Which binding.
        binding: BindingName,
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
    /// Every binding points at the new active.
    OperationCompleted {
        /// What kind of move.
        kind: OperationKind,
        /// Who was active before.
        from: Option<ApplianceName>,
        /// Who is active now.
        to: ApplianceName,
        /// From its start to its end.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// The mode was set.
    ModeSet {
        /// Now.
        mode: Trigger,
        /// The operator's reason.
        reason: String,
    },
    /// The maintenance of an appliance was set or ended.
    MaintenanceSet {
        /// In maintenance or not.
        enabled: bool,
        /// The operator's reason.
        reason: String,
    },
    /// Automatic moves are stopped.
    Frozen {
        /// Why.
        reason: Reason,
    },
    /// Automatic moves are allowed again.
    Unfrozen {
        /// The operator's reason.
        reason: String,
    },
    /// The group ought to move and is held where it is.
    Held {
        /// Why.
        reason: Reason,
    },
    /// The group is no longer held.
    HoldEnded,
    /// What the cloud says differs from what the log says.
    DriftFound {
        /// Which binding.
        binding: BindingName,
        /// The difference.
        drift: Drift,
    },
    /// The difference is gone.
    DriftGone {
        /// Which binding.
        binding: BindingName,
    },
    /// An appliance no longer goes on past its lease: it acts on the newest declaration.
    Acknowledged {
        /// The declaration.
        revision: u64,
    },
    /// An earlier active is to be switched off.
    FencingDue {
        /// How, in words.
        how: String,
    },
    /// An attempt to switch an earlier active off failed in a new way; it is tried again.
    FencingFailed {
        /// How, in words.
        how: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// How long the attempt took.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// An operator has made sure that an appliance is off.
    ConfirmedOff {
        /// The operator's reason.
        reason: String,
    },
    /// The group verdict on the path through the active appliance changed.
    PathChanged {
        /// Before.
        from: Verdict,
        /// Now.
        to: Verdict,
        /// What each vantage said.
        evidence: Vec<Evidence>,
    },
    /// After a move it was settled whether traffic passes.
    TrafficSettled {
        /// Whether it does.
        traffic: Traffic,
        /// Since the operation started.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
    /// A way between two agents went down, or came up again.
    HeartbeatChanged {
        /// Which way.
        path: HeartbeatPath,
        /// Whether it is up.
        up: bool,
        /// For one that came up: how long it was down.
        #[serde(rename = "was_down_ms", with = "millis")]
        was_down: Duration,
    },
    /// Something is announced to happen to an appliance, or what was announced has changed.
    NoticeGiven {
        /// Who says so.
        source: NoticeSource,
        /// What.
        notice: Notice,
        /// Whether it was not announced before.
        new: bool,
    },
    /// What was announced has happened, or will not.
    NoticeEnded {
        /// Who had said so.
        source: NoticeSource,
        /// What.
        notice: Notice,
    },
    /// It is not known what is announced for an appliance.
    NoticesUnknown {
        /// Who is not heard.
        source: NoticeSource,
        /// Why.
        why: String,
    },
    /// It is known again.
    NoticesKnown {
        /// Who is heard.
        source: NoticeSource,
    },
    /// Something happened to a pool.
    Pool(PoolEvent),
}

impl Event {
    /// The pool concerned.
    pub fn pool(&self) -> Option<&PoolName> {
        match &self.body {
            EventBody::Pool(event) => Some(&event.pool),
            _ => None,
        }
    }
}

impl EventBody {
    /// A stable word for filters: it is never changed, and never used for another event.
    pub fn word(&self) -> &'static str {
        match self {
            EventBody::GroupDeclared { .. } => "group-declared",
            EventBody::GroupRemoved => "group-removed",
            EventBody::VerdictChanged { .. } => "verdict-changed",
            EventBody::OperationStarted { .. } => "operation-started",
            EventBody::OperationSuperseded { .. } => "operation-superseded",
            EventBody::Released { .. } => "released",
            EventBody::StepDone { .. } => "step-done",
            EventBody::StepFailed { .. } => "step-failed",
            EventBody::OperationCompleted { .. } => "operation-completed",
            EventBody::ModeSet { .. } => "mode-set",
            EventBody::MaintenanceSet { .. } => "maintenance-set",
            EventBody::Frozen { .. } => "frozen",
            EventBody::Unfrozen { .. } => "unfrozen",
            EventBody::Held { .. } => "held",
            EventBody::HoldEnded => "hold-ended",
            EventBody::DriftFound { .. } => "drift-found",
            EventBody::DriftGone { .. } => "drift-gone",
            EventBody::Acknowledged { .. } => "acknowledged",
            EventBody::FencingDue { .. } => "fencing-due",
            EventBody::FencingFailed { .. } => "fencing-failed",
            EventBody::ConfirmedOff { .. } => "confirmed-off",
            EventBody::PathChanged { to: Verdict::Up, .. } => "path-up",
            EventBody::PathChanged { to: Verdict::Down, .. } => "path-down",
            EventBody::PathChanged { to: Verdict::Unknown, .. } => "path-unknown",
            EventBody::TrafficSettled { traffic: Traffic::Restored, .. } => "traffic-restored",
            EventBody::TrafficSettled { traffic: Traffic::NotRestored, .. } => "traffic-not-restored",
            EventBody::HeartbeatChanged { up: true, .. } => "heartbeat-path-up",
            EventBody::HeartbeatChanged { up: false, .. } => "heartbeat-path-down",
            EventBody::NoticeGiven { .. } => "notice-given",
            EventBody::NoticeEnded { .. } => "notice-ended",
            EventBody::NoticesUnknown { .. } => "notices-unknown",
            EventBody::NoticesKnown { .. } => "notices-known",
            EventBody::Pool(event) => event.what.word(),
        }
    }
}

impl Level {
    /// As written in messages.
    pub fn word(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Alert => "alert",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = &self.group {
            write!(f, "{group}: ")?;
        }
        let appliance = self.appliance.as_ref().map_or("the appliance", ApplianceName::as_str);
        match &self.body {
            EventBody::GroupDeclared { new: true } => f.write_str("the group was declared"),
            EventBody::GroupDeclared { new: false } => {
                f.write_str("the declaration of the group was replaced")
            }
            EventBody::GroupRemoved => f.write_str("the group was removed; its bindings stay where they are"),
            EventBody::VerdictChanged { from, to, evidence } => {
                write!(f, "{appliance} is {to}, it was {from}")?;
                telling(f, *to, evidence)
            }
            // The operator's reason is the first of `because`.
            EventBody::OperationStarted { kind, from, to, because, .. } => {
                write!(f, "{} ", kind.word())?;
                if let Some(from) = from {
                    write!(f, "from {from} ")?;
                }
                write!(f, "to {to} started")?;
                sentences(f, because)
            }
            EventBody::OperationSuperseded { kind, to, by, took } => write!(
                f,
                "{} to {to} was given up after {} for operation {by}",
                kind.word(),
                Span::from(*took)
            ),
            EventBody::Released { proof, took, .. } => {
                let how = match proof {
                    ReleaseProof::Confirmed => "its agent confirmed it",
                    ReleaseProof::Expired => "its lease has run out",
                    ReleaseProof::Fenced => "it was switched off",
                    ReleaseProof::Operator => "an operator made sure that it is off",
                };
                write!(f, "{appliance} no longer holds the lease: {how} after {}", Span::from(*took))
            }
            EventBody::StepDone { binding, attempts, took, .. } => {
                write!(f, "{binding} points at {appliance} after {}", Span::from(*took))?;
                if *attempts > 1 { write!(f, " ({attempts} attempts)") } else { Ok(()) }
            }
            EventBody::StepFailed { binding, attempt, error, .. } => {
                write!(f, "attempt {attempt} to move {binding} to {appliance} failed: {error}")
            }
            EventBody::OperationCompleted { kind, to, took, .. } => {
                write!(f, "{} to {to} completed in {}", kind.word(), Span::from(*took))
            }
            EventBody::ModeSet { mode, reason } => {
                f.write_str(match mode {
                    Trigger::Automatic => "the group moves by itself again",
                    Trigger::Manual => "only an operator moves the group from now on",
                })?;
                with_reason(f, reason)
            }
            EventBody::MaintenanceSet { enabled, reason } => {
                write!(f, "{appliance} is {}in maintenance", if *enabled { "" } else { "no longer " })?;
                with_reason(f, reason)
            }
            EventBody::Frozen { reason } => write!(f, "automatic moves are frozen: {reason}"),
            EventBody::Unfrozen { reason } => {
                f.write_str("automatic moves are allowed again")?;
                with_reason(f, reason)
            }
            EventBody::Held { reason } => write!(f, "the group is held where it is: {reason}"),
            EventBody::HoldEnded => f.write_str("the group is no longer held"),
            EventBody::DriftFound { binding, drift } => {
                write!(f, "{binding} is not as it should be: {drift}")
            }
            EventBody::DriftGone { binding } => write!(f, "{binding} is as it should be again"),
            EventBody::Acknowledged { .. } => write!(
                f,
                "{appliance} acts on the newest declaration, and goes on past no lease: the group may be changed"
            ),
            EventBody::FencingDue { how } => write!(f, "{appliance} is to be switched off by {how}"),
            EventBody::FencingFailed { how, attempt, error, .. } => {
                write!(f, "attempt {attempt} to switch {appliance} off by {how} failed: {error}")
            }
            EventBody::ConfirmedOff { reason } => {
                write!(f, "an operator has made sure that {appliance} is off")?;
                with_reason(f, reason)
            }
            EventBody::PathChanged { from, to, evidence } => {
                write!(f, "the path through {appliance} is {to}, it was {from}")?;
                telling(f, *to, evidence)
            }
            EventBody::TrafficSettled { traffic: Traffic::Restored, after } => {
                write!(f, "traffic passes through {appliance}, {} after the move began", Span::from(*after))
            }
            EventBody::TrafficSettled { traffic: Traffic::NotRestored, after } => write!(
                f,
                "no traffic was seen to pass through {appliance}, {} after the move began",
                Span::from(*after)
            ),
            EventBody::HeartbeatChanged { path, up: false, .. } => {
                write!(f, "{} no longer hears {} on the {}", path.from, path.to, path.word())
            }
            EventBody::HeartbeatChanged { path, up: true, was_down } => write!(
                f,
                "{} hears {} on the {} again, after {}",
                path.from,
                path.to,
                path.word(),
                Span::from(*was_down)
            ),
            EventBody::NoticeGiven { source, notice, .. } => {
                announced(f, self.at, appliance, *source, notice)
            }
            EventBody::NoticeEnded { source, notice } => {
                write!(f, "{appliance} is no longer under notice of a {} by {source}", notice.kind)
            }
            EventBody::NoticesUnknown { source, why } => {
                write!(f, "it is not known what {source} announces for {appliance}: {why}")
            }
            EventBody::NoticesKnown { source } => {
                write!(f, "it is known again what {source} announces for {appliance}")
            }
            EventBody::Pool(event) => {
                write!(f, "{}: ", event.pool)?;
                event.what.sentence(f, self.appliance.as_ref())
            }
        }
    }
}

/// A notice as it was given at `at`.
fn announced(
    f: &mut fmt::Formatter<'_>,
    at: WallTime,
    appliance: &str,
    source: NoticeSource,
    notice: &Notice,
) -> fmt::Result {
    write!(f, "{appliance} is under notice of a {} by {source}", notice.kind)?;
    match notice.not_before {
        _ if notice.started => f.write_str(", which has begun")?,
        Some(begins) if begins > at => write!(f, ", in {} at the earliest", Span::from(begins.since(at)))?,
        _ => f.write_str(", at any moment")?,
    }
    if notice.about.is_empty() { Ok(()) } else { write!(f, " ({})", notice.about) }
}

/// The first vantage that agrees says enough; the rest is in the event.
pub(crate) fn telling(f: &mut fmt::Formatter<'_>, verdict: Verdict, evidence: &[Evidence]) -> fmt::Result {
    match evidence.iter().find(|e| e.verdict == verdict) {
        Some(e) if !e.detail.is_empty() => write!(f, " ({})", e.detail),
        _ => Ok(()),
    }
}

pub(crate) fn sentences(f: &mut fmt::Formatter<'_>, because: &[impl fmt::Display]) -> fmt::Result {
    for (i, reason) in because.iter().enumerate() {
        write!(f, "{} {reason}", if i == 0 { ":" } else { ";" })?;
    }
    Ok(())
}

pub(crate) fn with_reason(f: &mut fmt::Formatter<'_>, reason: &str) -> fmt::Result {
    if reason.is_empty() { Ok(()) } else { write!(f, " (reason given: {reason})") }
}
