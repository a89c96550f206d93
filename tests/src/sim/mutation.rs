//! Deliberate mistakes in the protocol, to see that the simulator finds them.

pub(crate) mod rules;

use std::fmt;

/// One mistake. Each is made in the modelled shell around the product's code, where a mistake of
/// the same kind could be made in the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The end of an earlier lease is recorded at once, without a proof.
    SkipWait,
    /// An agent accepts a token lower than the highest that it has stored.
    AcceptLowerToken,
    /// Moves begin when their operation is proposed.
    ActBeforeCommit,
    /// A vantage's last report counts for ever.
    IgnoreFreshness,
    /// A leader grants as if a quorum had confirmed it this instant.
    RenewWithoutQuorum,
    /// A new leader goes on from where the cloud points, not from the log.
    ResumeFromCloud,
    /// An agent counts its lease from the arrival of the reply.
    DeadlineFromArrival,
    /// A leader that was deposed in between goes on with its lease table of before.
    OldTermTable,
    /// Moves write without claiming the resources first.
    NoClaim,
    /// Resources are claimed without moving their ETags.
    ClaimKeepsEtag,
    /// Moves write without asking a quorum whether this node still leads.
    SkipGate,
    /// An agent holds the lease before its token is on disk.
    PersistLater,
    /// The leader's own word counts as that of a majority.
    OneVantage,
    /// A group moves by itself as often as it likes.
    IgnoreFlapBudget,
    /// An appliance in maintenance is promoted.
    IgnoreMaintenance,
    /// The proof that an earlier lease is over counts for later ones too.
    AcceptOldRelease,
    /// Leases are waited for as if clocks drifted half as much as they may.
    HalfDriftAllowance,
    /// A leader waits for earlier leaders' leases from the `t_q` of a term of its own before.
    OlderTermsQuorum,
    /// Only the agent takes the VIPs away; the kernel does not by itself.
    GateNeedsAgent,
    /// A coordinator that starts goes on one entry too late in the log.
    SkipEntry,
    /// An appliance that has promised accepts grants all the same.
    PromiseBlocksNothing,
    /// An agent that starts does not know what it had promised.
    ForgetsPromise,
    /// An agent counts what promises give it from the last answer.
    ExtensionFromReply,
    /// One peer's promise is enough, whatever the others say.
    OnePromiseSuffices,
    /// Promises give a lease back that is over.
    ReacquireAfterLapse,
    /// The end of a lease counts although fencing is required.
    RequireIgnored,
    /// That a machine is off counts at once, whatever an earlier leader may still grant it.
    OffCountsAtOnce,
    /// Leases are waited for as if all clocks ran at one rate.
    NoDriftAllowance,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 28] = [
        Mutation::SkipWait,
        Mutation::AcceptLowerToken,
        Mutation::ActBeforeCommit,
        Mutation::IgnoreFreshness,
        Mutation::RenewWithoutQuorum,
        Mutation::ResumeFromCloud,
        Mutation::DeadlineFromArrival,
        Mutation::OldTermTable,
        Mutation::NoClaim,
        Mutation::ClaimKeepsEtag,
        Mutation::SkipGate,
        Mutation::PersistLater,
        Mutation::OneVantage,
        Mutation::IgnoreFlapBudget,
        Mutation::IgnoreMaintenance,
        Mutation::AcceptOldRelease,
        Mutation::HalfDriftAllowance,
        Mutation::OlderTermsQuorum,
        Mutation::GateNeedsAgent,
        Mutation::SkipEntry,
        Mutation::PromiseBlocksNothing,
        Mutation::ForgetsPromise,
        Mutation::ExtensionFromReply,
        Mutation::OnePromiseSuffices,
        Mutation::ReacquireAfterLapse,
        Mutation::RequireIgnored,
        Mutation::OffCountsAtOnce,
        Mutation::NoDriftAllowance,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mutation::SkipWait => "skip-wait",
            Mutation::AcceptLowerToken => "accept-lower-token",
            Mutation::ActBeforeCommit => "act-before-commit",
            Mutation::IgnoreFreshness => "ignore-freshness",
            Mutation::RenewWithoutQuorum => "renew-without-quorum",
            Mutation::ResumeFromCloud => "resume-from-cloud",
            Mutation::DeadlineFromArrival => "deadline-from-arrival",
            Mutation::OldTermTable => "old-term-table",
            Mutation::NoClaim => "no-claim",
            Mutation::ClaimKeepsEtag => "claim-keeps-etag",
            Mutation::SkipGate => "skip-gate",
            Mutation::PersistLater => "persist-later",
            Mutation::OneVantage => "one-vantage",
            Mutation::IgnoreFlapBudget => "ignore-flap-budget",
            Mutation::IgnoreMaintenance => "ignore-maintenance",
            Mutation::AcceptOldRelease => "accept-old-release",
            Mutation::HalfDriftAllowance => "half-drift-allowance",
            Mutation::OlderTermsQuorum => "older-terms-quorum",
            Mutation::GateNeedsAgent => "gate-needs-agent",
            Mutation::SkipEntry => "skip-entry",
            Mutation::PromiseBlocksNothing => "promise-blocks-nothing",
            Mutation::ForgetsPromise => "forgets-promise",
            Mutation::ExtensionFromReply => "extension-from-reply",
            Mutation::OnePromiseSuffices => "one-promise-suffices",
            Mutation::ReacquireAfterLapse => "reacquire-after-lapse",
            Mutation::RequireIgnored => "require-ignored",
            Mutation::OffCountsAtOnce => "off-counts-at-once",
            Mutation::NoDriftAllowance => "no-drift-allowance",
        }
    }

    /// The mutation of that name.
    pub fn named(name: &str) -> Option<Mutation> {
        Mutation::ALL.into_iter().find(|mutation| mutation.name() == name)
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
