//! What is proposed to the replicated log. Only [`apply`](crate::apply::apply) reads it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ApplianceName, BindingName, GroupName, NodeId, OperationId, Token};
use crate::model::{GroupSpec, Trigger};
use crate::notice::{Notice, NoticeSource};
use crate::observe::{Evidence, Verdict};
use crate::pool::{PoolCommand, PoolSpec};
use crate::reason::Reason;
use crate::state::{Drift, HeartbeatPath, Traffic};
use crate::time::{WallTime, millis};

/// A command with who proposed it and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The proposer's wall clock. A command never overtakes time in the state: `apply` uses the
    /// later of this and the newest time it has seen.
    pub at: WallTime,
    /// Who asked for it.
    pub actor: Actor,
    /// What is asked.
    pub body: CommandBody,
}

/// Who asked for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A coordinator by itself.
    Coordinator(NodeId),
    /// An operator, by the name of the API token.
    Operator(String),
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandBody {
    /// Creates a group or replaces its declaration. Refused while an operation runs, or when the
    /// appliance that is active would be removed.
    PutGroup(GroupSpec),
    /// Removes a group: its bindings stay where they are. Refused while an operation runs.
    RemoveGroup(GroupName),
    /// Records that an appliance's group verdict changed, with the evidence.
    RecordVerdict {
        /// The group.
        group: GroupName,
        /// The appliance.
        appliance: ApplianceName,
        /// The new verdict.
        verdict: Verdict,
        /// What each vantage said.
        evidence: Vec<Evidence>,
    },
    /// Grants the active role to `to` and starts moving the bindings there.
    StartOperation(StartOperation),
    /// Records that `appliance` can no longer hold the group's lease.
    RecordRelease {
        /// The group.
        group: GroupName,
        /// The appliance that held, or may have held, the lease.
        appliance: ApplianceName,
        /// The group's token at the time of the proof: a newer grant voids it.
        token: Token,
        /// How it is known.
        proof: ReleaseProof,
    },
    /// Records the outcome of one attempt to move one binding.
    RecordStep(RecordStep),
    /// Sets whether a group moves by itself.
    SetMode {
        /// The group.
        group: GroupName,
        /// Automatic, or manual: no automatic move at all.
        mode: Trigger,
        /// The operator's reason.
        reason: String,
    },
    /// Sets or ends the maintenance of an appliance: it is not promoted unless forced.
    SetMaintenance {
        /// The group.
        group: GroupName,
        /// The appliance.
        appliance: ApplianceName,
        /// In maintenance or not.
        enabled: bool,
        /// The operator's reason.
        reason: String,
    },
    /// Stops all automatic moves of a group until it is unfrozen. The coordinator does this when
    /// the flap budget is spent.
    Freeze {
        /// The group.
        group: GroupName,
        /// Why.
        reason: Reason,
    },
    /// Ends a freeze and clears the flap budget.
    Unfreeze {
        /// The group.
        group: GroupName,
        /// The operator's reason.
        reason: String,
    },
    /// Records that a group that ought to move is held where it is, or no longer.
    RecordHold {
        /// The group.
        group: GroupName,
        /// Why it is held; `None` ends the hold.
        hold: Option<Reason>,
    },
    /// Records that what the cloud says differs from what the log says.
    RecordDrift {
        /// The group.
        group: GroupName,
        /// The binding.
        binding: BindingName,
        /// The difference; `None` once it is gone.
        drift: Option<Drift>,
    },
    /// Declares what the configuration file holds, all at once, in a log that has never held a
    /// command. Refused later: from then on an operator declares one by one.
    Seed {
        /// The groups.
        groups: Vec<GroupSpec>,
        /// The pools.
        pools: Vec<PoolSpec>,
    },
    /// Records that `appliance` acts on a declaration under which no promise keeps it going.
    RecordAcknowledged {
        /// The group.
        group: GroupName,
        /// The appliance that may have relied on promises.
        appliance: ApplianceName,
        /// The declaration that its agent acts on.
        revision: u64,
    },
    /// Asks for `appliance` to be switched off: its release is overdue.
    RequestFence {
        /// The group.
        group: GroupName,
        /// The earlier active.
        appliance: ApplianceName,
        /// The group's token at that time: a newer grant voids it.
        token: Token,
    },
    /// Records the outcome of one attempt to switch an appliance off.
    RecordFence(RecordFence),
    /// An operator's word that an earlier active is off.
    ConfirmOff {
        /// The group.
        group: GroupName,
        /// The appliance.
        appliance: ApplianceName,
        /// The group's token that the operator saw: a newer grant voids the word.
        token: Token,
        /// How the operator made sure.
        reason: String,
    },
    /// Records that the group verdict on the path through the active appliance changed.
    RecordPath {
        /// The group.
        group: GroupName,
        /// The group's token: what was seen, was seen while this grant was in force and no
        /// operation ran.
        token: Token,
        /// The new verdict.
        verdict: Verdict,
        /// What each vantage said.
        evidence: Vec<Evidence>,
    },
    /// Records whether traffic passes after a move.
    RecordTraffic {
        /// The group.
        group: GroupName,
        /// The newest operation, completed.
        operation: OperationId,
        /// Whether it passes; that it does not is recorded once the time limit is over.
        traffic: Traffic,
    },
    /// Records that a way between two agents went down, or came up again.
    RecordHeartbeat {
        /// The group.
        group: GroupName,
        /// Which way.
        path: HeartbeatPath,
        /// Whether the agent at its end answers.
        up: bool,
    },
    /// Records everything that a source announces for an appliance, in place of what it announced
    /// before.
    RecordNotices {
        /// The group.
        group: GroupName,
        /// The appliance.
        appliance: ApplianceName,
        /// Who announces.
        source: NoticeSource,
        /// At most [`MAX_NOTICES`](crate::notice::MAX_NOTICES) count.
        notices: Vec<Notice>,
        /// Why the source is not heard, if it is not: there may be others.
        unknown: Option<String>,
    },
    /// Records that a cloud has accepted a change and is at work on it, and where to ask how that
    /// goes: what the next leader goes on with.
    RecordUnderWay {
        /// The group.
        group: GroupName,
        /// The running operation.
        operation: OperationId,
        /// The resource, by the adapter's own id.
        resource: String,
        /// Where to ask, in the adapter's own words. No secrets.
        place: String,
    },
    /// About a pool.
    Pool(PoolCommand),
}

/// See [`CommandBody::StartOperation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOperation {
    /// The group.
    pub group: GroupName,
    /// What kind of move.
    pub kind: OperationKind,
    /// The appliance that gets the active role.
    pub to: ApplianceName,
    /// The group's token that the decision was made on. Another token means that the decision
    /// is stale: it is refused.
    pub expected: Token,
    /// The running operation that this one replaces. Without it a running operation refuses.
    pub supersedes: Option<OperationId>,
    /// The operator's reason; empty for the coordinator's own moves.
    pub reason: String,
    /// Why the decision was made, in order.
    pub because: Vec<Reason>,
    /// What the vantages said of each appliance at that moment.
    pub evidence: Vec<Evidence>,
}

/// The kinds of move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// The first appliance of a new group becomes active.
    Activation,
    /// Unplanned: the active is dead.
    Failover,
    /// Planned: both are healthy. On an operator's word, or because something is announced to happen
    /// to the active.
    Switchover,
    /// On an operator's word, over failing checks.
    ForcedSwitchover,
    /// Planned return to the preferred appliance.
    Failback,
}

impl OperationKind {
    /// As written in messages.
    pub fn word(self) -> &'static str {
        match self {
            OperationKind::Activation => "activation",
            OperationKind::Failover => "failover",
            OperationKind::Switchover => "switchover",
            OperationKind::ForcedSwitchover => "forced switchover",
            OperationKind::Failback => "failback",
        }
    }
}

/// How it is known that an appliance can no longer hold the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseProof {
    /// Its agent holds nothing and has stored the new token, so it refuses every older grant.
    Confirmed,
    /// Every lease that any leader can have given it is over, by this leader's clock.
    Expired,
    /// It was switched off, and read back as off. Only [`CommandBody::RecordFence`] proves it.
    Fenced,
    /// An operator has made sure that it is off. Only [`CommandBody::ConfirmOff`] proves it.
    Operator,
}

/// See [`CommandBody::RecordFence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFence {
    /// The group.
    pub group: GroupName,
    /// The appliance.
    pub appliance: ApplianceName,
    /// Which demand was answered: [`Fence::asked`](crate::state::Fence::asked).
    pub asked: u64,
    /// How it went. `Done` means that the appliance is surely off.
    pub outcome: StepOutcome,
    /// How long it took.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}

/// See [`CommandBody::RecordStep`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStep {
    /// The group.
    pub group: GroupName,
    /// The operation. A step of a superseded operation is refused.
    pub operation: OperationId,
    /// The binding that was moved.
    pub binding: BindingName,
    /// How it went.
    pub outcome: StepOutcome,
    /// Every call made in this attempt.
    pub calls: Vec<CallRecord>,
    /// From the first call to the last answer.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}

/// How an attempt to move a binding, or to switch an appliance off, went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// The binding points at the new active, or the appliance is off; it was read back to make
    /// sure.
    Done,
    /// It failed and will be tried again.
    Failed {
        /// What was attempted and what went wrong.
        error: String,
    },
}

/// One call to a cloud or an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// For instance `PUT networkInterfaces/nic-a`. No secrets.
    pub call: String,
    /// For instance `200` or `timed out`.
    pub result: String,
    /// From request to answer.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}
