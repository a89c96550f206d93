//! An exhaustive model of the lease and token protocol alone: every order of events that small
//! bounds allow, tried once.
//!
//! The leader's side is the product's own code behind a change of units ([`rules`]); the agent's
//! lease is mirrored in ticks ([`agent`]) so that its states can be compared, and driven against
//! the original by [`conformance`]. [`steps`] says what may happen next, [`explore`] tries all of
//! it. `docs/model.md` says what is left out.

pub mod agent;
pub mod conformance;
pub mod explore;
pub mod rules;
pub mod state;
pub mod steps;

/// How large the model is, and whether one of its rules is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The group's lease, in ticks. At least 2.
    pub ttl: u8,
    /// Moves of the active role: the first is the one that the model starts with.
    pub moves: u8,
    /// Leaders at once that do not know that they are deposed. At most [`state::MOST_DEPOSED`].
    pub deposed: usize,
    /// Replies to each agent that are under way for longer than an instant. At most
    /// [`state::MOST_LATE`].
    pub late: usize,
    /// Whether clocks lag: in every `ttl + 1` ticks, one in which any of them may stand still.
    pub drift: bool,
    /// How many of the agents, from the first, crash and start again.
    pub crashes: usize,
    /// Whether requests are under way for longer than an instant, beside replies.
    pub slow_requests: bool,
    /// Whether a leader may go on for a while before it applies what it has committed.
    pub slow_apply: bool,
    /// The rule that is broken.
    pub mutation: Option<Mutation>,
}

/// A rule of the protocol, broken: the model has to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A leader takes an earlier lease for expired at once.
    NoWait,
    /// A leader waits for what it granted itself, but not for what earlier leaders did.
    ForgetsEarlierLeaders,
    /// An agent counts its deadline from when the reply arrived.
    DeadlineFromArrival,
    /// An agent takes a grant whatever its token.
    LowerTokenAccepted,
    /// An agent that starts again says that it holds nothing while its VIPs are still there.
    LeftoverDenied,
    /// An agent holds, and tells, a token before it is on disk.
    ActsBeforeDisk,
    /// A leader counts its quorum from the acknowledgement, not from the sending, of a round.
    QuorumFromAcknowledgement,
    /// A leader answers before it has applied what was committed before its election.
    AnswersFromOldState,
    /// A leader waits for as long as the lease is, as if all clocks ran alike.
    NoDriftInWait,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 9] = [
        Mutation::NoWait,
        Mutation::ForgetsEarlierLeaders,
        Mutation::DeadlineFromArrival,
        Mutation::LowerTokenAccepted,
        Mutation::LeftoverDenied,
        Mutation::ActsBeforeDisk,
        Mutation::QuorumFromAcknowledgement,
        Mutation::AnswersFromOldState,
        Mutation::NoDriftInWait,
    ];
}
