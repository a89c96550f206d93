//! Deliberate mistakes, each of which an invariant must find.

use std::fmt;

/// A mistake, made where the product meets what is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A batch of the log is acknowledged before it is synced.
    AckBeforeSync,
    /// A node that restarts has forgotten the newest part of its log, its vote included.
    ForgetVote,
    /// A node votes for everybody who asks.
    VoteTwice,
    /// One node applies two neighbouring commands the other way round.
    ApplyOutOfOrder,
    /// A read is answered by whoever believes that it leads.
    ReadWithoutQuorum,
    /// A heartbeat counts as acknowledged although it did not arrive.
    CountLostHeartbeats,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 6] = [
        Mutation::AckBeforeSync,
        Mutation::ForgetVote,
        Mutation::VoteTwice,
        Mutation::ApplyOutOfOrder,
        Mutation::ReadWithoutQuorum,
        Mutation::CountLostHeartbeats,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mutation::AckBeforeSync => "ack-before-sync",
            Mutation::ForgetVote => "forget-vote",
            Mutation::VoteTwice => "vote-twice",
            Mutation::ApplyOutOfOrder => "apply-out-of-order",
            Mutation::ReadWithoutQuorum => "read-without-quorum",
            Mutation::CountLostHeartbeats => "count-lost-heartbeats",
        }
    }

    /// The mistake of that name.
    pub fn named(name: &str) -> Option<Mutation> {
        Mutation::ALL.into_iter().find(|mutation| mutation.name() == name)
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
