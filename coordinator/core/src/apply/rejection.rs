//! Why a command changed nothing.

use serde::{Deserialize, Serialize};

use crate::ids::{ApplianceName, BindingName, GroupName, OperationId, Token};
use crate::pool::PoolRejection;
use crate::reason::Span;
use crate::state::HeartbeatPath;
use crate::validate::SpecFault;

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rejection {
    /// No such group.
    #[error("there is no group {group}")]
    UnknownGroup {
        /// As asked.
        group: String,
    },
    /// No such appliance.
    #[error("group {group} has no appliance {appliance}")]
    UnknownAppliance {
        /// The group.
        group: GroupName,
        /// As asked.
        appliance: ApplianceName,
    },
    /// No such binding.
    #[error("group {group} has no binding {binding}")]
    UnknownBinding {
        /// The group.
        group: GroupName,
        /// As asked.
        binding: BindingName,
    },
    /// A declaration breaks rules.
    #[error("the declaration of group {group} has {} faults: {}", faults.len(), listed(faults))]
    InvalidGroup {
        /// The group.
        group: GroupName,
        /// All of them.
        faults: Vec<SpecFault>,
    },
    /// A declaration would remove an appliance that is active or may still hold a lease.
    #[error(
        "{appliance} cannot leave group {group} while it is active or may hold the lease: move the group first"
    )]
    ApplianceInUse {
        /// The group.
        group: GroupName,
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// A declaration would shorten the lease under an active appliance.
    #[error(
        "the lease of group {group} cannot be shortened while an appliance is active, because leases given \
         earlier last longer than a new leader would wait: remove the group and declare it again"
    )]
    LeaseShortened {
        /// The group.
        group: GroupName,
    },
    /// A virtual address was taken away from an appliance that may still hold it.
    #[error("{vip} was taken out of a group a moment ago and may still be held: declare it again in {}", Span(*remaining_ms))]
    VipWithdrawn {
        /// The virtual address.
        vip: std::net::IpAddr,
        /// Until it may be declared.
        remaining_ms: u64,
    },
    /// A probe gate is in quarantine: an appliance that held it may not know yet that it must not.
    #[error("the probe gate on port {port} was taken off {appliance} a moment ago and may still be held: declare it again in {}", Span(*remaining_ms))]
    GateWithdrawn {
        /// The port.
        port: u16,
        /// On which appliance.
        appliance: ApplianceName,
        /// For how much longer.
        remaining_ms: u64,
    },
    /// Too many virtual addresses or probe gates were withdrawn at once.
    #[error(
        "too many virtual addresses or probe gates were withdrawn within one lease time: try again in a minute"
    )]
    TooManyWithdrawn,
    /// An operation is running.
    #[error("operation {operation} of group {group} is running: wait until it has ended")]
    OperationRunning {
        /// The group.
        group: GroupName,
        /// Which.
        operation: OperationId,
    },
    /// The operation to supersede is not the one that is running.
    #[error("operation {asked} of group {group} is not running, so it cannot be superseded or continued")]
    NotRunning {
        /// The group.
        group: GroupName,
        /// As asked.
        asked: OperationId,
    },
    /// The running operation is neither stalled nor without a target.
    #[error(
        "operation {operation} of group {group} cannot be superseded: it is within its time limit and its \
         target is not down"
    )]
    NotSupersedable {
        /// The group.
        group: GroupName,
        /// Which.
        operation: OperationId,
    },
    /// The decision was made on an older grant.
    #[error("group {group} was moved in the meantime (token {current}, expected {expected}): look again")]
    StaleToken {
        /// The group.
        group: GroupName,
        /// As in the command.
        expected: Token,
        /// As in the state.
        current: Token,
    },
    /// The appliance has the active role already.
    #[error("{appliance} is the active appliance of group {group} already")]
    AlreadyActive {
        /// The group.
        group: GroupName,
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The kind of move does not fit: an activation of an active group, or any other of a group
    /// that was never activated.
    #[error("group {group} {}: a {kind} does not apply", if *active { "has an active appliance" } else { "has no active appliance yet" })]
    WrongKind {
        /// The group.
        group: GroupName,
        /// Whether any appliance is active.
        active: bool,
        /// The kind of move.
        kind: String,
    },
    /// The kind of move is not for this actor.
    #[error("a {kind} cannot be started by {}", if *operator { "an operator" } else { "a coordinator itself" })]
    WrongActor {
        /// The kind of move.
        kind: String,
        /// Whether an operator tried.
        operator: bool,
    },
    /// A failback goes to the preferred appliance only.
    #[error("{appliance} is not the preferred appliance of group {group}: ask for a switchover")]
    NotPreferred {
        /// The group.
        group: GroupName,
        /// As asked.
        appliance: ApplianceName,
    },
    /// The target is in maintenance.
    #[error("{appliance} is in maintenance: end the maintenance, or force the switchover")]
    InMaintenance {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The target is not recorded as up.
    #[error("{appliance} is not known to be up: repair it, or force the switchover")]
    TargetNotUp {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// A failover from an appliance that is not recorded as down.
    #[error("{appliance} is not down by the recorded verdict: no failover")]
    ActiveNotDown {
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The mode, the policy, a freeze or the flap budget rules out a move by itself.
    #[error("group {group} does not move by itself: {because}")]
    NotAutomatic {
        /// The group.
        group: GroupName,
        /// Which of them.
        because: crate::reason::Reason,
    },
    /// The appliance is not one that may still hold a lease.
    #[error("{appliance} of group {group} holds no earlier lease: nothing to release")]
    NothingToRelease {
        /// The group.
        group: GroupName,
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// A VIP or probe gate was reported as moved while an earlier holder may still hold it.
    #[error("{binding} of group {group} cannot have moved: {holder} may still hold it")]
    NotReleased {
        /// The group.
        group: GroupName,
        /// Which.
        binding: BindingName,
        /// Who may hold it.
        holder: ApplianceName,
    },
    /// A text is longer than the log takes.
    #[error("the reason is {bytes} bytes long; the limit is {limit}: shorten it")]
    ReasonTooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Someone may be going on past its lease on promises, and the change would break what that
    /// rests on.
    #[error(
        "group {group}: {what}, because {appliance} may be going on past its lease on the promises of \
         appliances that it knows: declare quorum_loss = \"drop\" first, and wait until {appliance} has taken \
         note of it"
    )]
    ReliedOn {
        /// The group.
        group: GroupName,
        /// Who may be going on.
        appliance: ApplianceName,
        /// What cannot be.
        what: String,
    },
    /// The appliance relies on no promises, or its declaration still lets it.
    #[error("nothing waits for {appliance} of group {group} to take note of the declaration")]
    NothingToAcknowledge {
        /// The group.
        group: GroupName,
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The appliance need not be switched off, or that was asked for anew in the meantime.
    #[error("{appliance} of group {group} is not to be switched off, or not any more")]
    NothingToFence {
        /// The group.
        group: GroupName,
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// The end of the lease does not count by itself.
    #[error("{appliance} of group {group} must be switched off first: the end of its lease is not enough")]
    FencingFirst {
        /// The group.
        group: GroupName,
        /// Which appliance.
        appliance: ApplianceName,
    },
    /// Only an operator can do this.
    #[error("only an operator can {what}")]
    OperatorsOnly {
        /// What.
        what: String,
    },
    /// Nothing waits for an operator's word that the appliance is off.
    #[error(
        "nothing waits for the word that {appliance} of group {group} is off{}",
        if *active { ": it is the active appliance; move the group first" } else { "" }
    )]
    NotAwaited {
        /// The group.
        group: GroupName,
        /// Which appliance.
        appliance: ApplianceName,
        /// Whether it has the active role.
        active: bool,
    },
    /// The group watches no path.
    #[error("group {group} has no path probes")]
    NoPathProbes {
        /// The group.
        group: GroupName,
    },
    /// It cannot be settled (any more) whether traffic passes after this operation.
    #[error(
        "operation {operation} of group {group} is not the newest completed one, or it was settled before \
         whether traffic passes, or its time is not over"
    )]
    TrafficNotOpen {
        /// The group.
        group: GroupName,
        /// As asked.
        operation: OperationId,
    },
    /// No such way between agents.
    #[error("group {group} declares no address number {} of {} for {}", path.path, path.to, path.from)]
    UnknownHeartbeat {
        /// The group.
        group: GroupName,
        /// As asked.
        path: HeartbeatPath,
    },
    /// The log has held commands before.
    #[error(
        "the cluster has a history already, and the configuration file seeds an empty one only: declare \
         groups one by one"
    )]
    AlreadySeeded,
    /// A coordinator's own switchover from an appliance that is not to be left yet.
    #[error("nothing that is announced for {appliance} of group {group} is a reason to leave it now")]
    NothingAnnounced {
        /// The group.
        group: GroupName,
        /// The active appliance.
        appliance: ApplianceName,
    },
    /// A coordinator's own switchover to an appliance that is in for the same, or sooner.
    #[error("{appliance} is under notice itself: a group is not moved there ahead of another notice")]
    UnderNotice {
        /// The target.
        appliance: ApplianceName,
    },
    /// A place to ask at that cannot be kept.
    #[error(
        "where to ask how operation {operation} of group {group} goes is not kept: it is no plain text of at \
         most 1 KiB, or there are too many"
    )]
    UnderWayUnfit {
        /// The group.
        group: GroupName,
        /// The operation.
        operation: OperationId,
    },
    /// About a pool.
    #[error(transparent)]
    Pool(#[from] PoolRejection),
}

fn listed(faults: &[SpecFault]) -> String {
    faults.iter().map(SpecFault::to_string).collect::<Vec<_>>().join("; ")
}

impl Rejection {
    /// A stable word for API errors: it is never changed.
    pub fn word(&self) -> &'static str {
        match self {
            Rejection::UnknownGroup { .. } => "unknown-group",
            Rejection::UnknownAppliance { .. } => "unknown-appliance",
            Rejection::UnknownBinding { .. } => "unknown-binding",
            Rejection::InvalidGroup { .. } => "invalid-group",
            Rejection::ApplianceInUse { .. } => "appliance-in-use",
            Rejection::LeaseShortened { .. } => "lease-shortened",
            Rejection::VipWithdrawn { .. } => "vip-withdrawn",
            Rejection::GateWithdrawn { .. } => "gate-withdrawn",
            Rejection::TooManyWithdrawn => "too-many-withdrawn",
            Rejection::OperationRunning { .. } => "operation-running",
            Rejection::NotRunning { .. } => "operation-not-running",
            Rejection::NotSupersedable { .. } => "operation-not-supersedable",
            Rejection::StaleToken { .. } => "stale-token",
            Rejection::AlreadyActive { .. } => "already-active",
            Rejection::WrongKind { .. } => "wrong-kind",
            Rejection::WrongActor { .. } => "wrong-actor",
            Rejection::NotPreferred { .. } => "not-preferred",
            Rejection::InMaintenance { .. } => "in-maintenance",
            Rejection::TargetNotUp { .. } => "target-not-up",
            Rejection::ActiveNotDown { .. } => "active-not-down",
            Rejection::NotAutomatic { .. } => "not-automatic",
            Rejection::NothingToRelease { .. } => "nothing-to-release",
            Rejection::NotReleased { .. } => "not-released",
            Rejection::ReasonTooLong { .. } => "reason-too-long",
            Rejection::ReliedOn { .. } => "relied-on",
            Rejection::NothingToAcknowledge { .. } => "nothing-to-acknowledge",
            Rejection::NothingToFence { .. } => "nothing-to-fence",
            Rejection::FencingFirst { .. } => "fencing-first",
            Rejection::OperatorsOnly { .. } => "operators-only",
            Rejection::NotAwaited { .. } => "not-awaited",
            Rejection::NoPathProbes { .. } => "no-path-probes",
            Rejection::TrafficNotOpen { .. } => "traffic-not-open",
            Rejection::UnknownHeartbeat { .. } => "unknown-heartbeat",
            Rejection::AlreadySeeded => "already-seeded",
            Rejection::NothingAnnounced { .. } => "nothing-announced",
            Rejection::UnderNotice { .. } => "under-notice",
            Rejection::UnderWayUnfit { .. } => "under-way-unfit",
            Rejection::Pool(rejection) => rejection.word(),
        }
    }
}
