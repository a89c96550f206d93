//! The register of kind numbers. Numbers are given out once and never reused.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What an envelope holds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// Its number in the envelope.
            pub fn number(self) -> u16 {
                match self { $(Kind::$name => $number,)* }
            }

            /// The kind with this number, if this version knows it.
            pub fn from_number(number: u16) -> Option<Kind> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// Entry: a new leader's first.
    Blank = 0x0100,
    /// Entry: the members change.
    Membership = 0x0101,
    /// Entry: a command of this body, and so on.
    PutGroup = 0x0110,
    /// See `CommandBody`.
    RemoveGroup = 0x0111,
    /// See `CommandBody`.
    RecordVerdict = 0x0112,
    /// See `CommandBody`.
    StartOperation = 0x0113,
    /// See `CommandBody`.
    RecordRelease = 0x0114,
    /// See `CommandBody`.
    RecordStep = 0x0115,
    /// See `CommandBody`.
    SetMode = 0x0116,
    /// See `CommandBody`.
    SetMaintenance = 0x0117,
    /// See `CommandBody`.
    Freeze = 0x0118,
    /// See `CommandBody`.
    Unfreeze = 0x0119,
    /// See `CommandBody`.
    RecordHold = 0x011a,
    /// See `CommandBody`.
    RecordDrift = 0x011b,
    /// See `CommandBody`.
    Seed = 0x011c,
    /// See `CommandBody`.
    RecordAcknowledged = 0x011d,
    /// See `CommandBody`.
    RequestFence = 0x011e,
    /// See `CommandBody`.
    RecordFence = 0x011f,
    /// See `CommandBody`.
    ConfirmOff = 0x0120,
    /// See `CommandBody`.
    RecordPath = 0x0121,
    /// See `CommandBody`.
    RecordTraffic = 0x0122,
    /// See `CommandBody`.
    RecordHeartbeat = 0x0123,
    /// See `CommandBody`.
    RecordNotices = 0x0124,
    /// See `CommandBody`.
    RecordUnderWay = 0x0130,
    /// See `PoolCommand`.
    PutPool = 0x0138,
    /// See `PoolCommand`.
    RemovePool = 0x0139,
    /// See `PoolCommand`.
    RecordMemberVerdict = 0x013a,
    /// See `PoolCommand`.
    TakeOut = 0x013b,
    /// See `PoolCommand`.
    PutIn = 0x013c,
    /// See `PoolCommand`.
    RecordPlacement = 0x013d,
    /// See `PoolCommand`.
    RecordPoolHold = 0x013e,
    /// See `PoolCommand`.
    RecordMemberDrift = 0x013f,

    /// Log: the vote.
    Vote = 0x0200,
    /// Log: the newest entry known to be committed.
    Committed = 0x0201,
    /// Log: everything after an entry is void.
    Truncate = 0x0202,
    /// Log: everything up to an entry is in a snapshot.
    Purge = 0x0203,

    /// Store: what was applied last, the members, the state outside groups.
    StateMeta = 0x0300,
    /// Store and snapshot: a group.
    Group = 0x0301,
    /// Store and snapshot: an event.
    Event = 0x0302,
    /// Store and snapshot: a pool.
    Pool = 0x0303,

    /// Snapshot: the first record.
    SnapshotHeader = 0x0400,
    /// Snapshot: the last record.
    SnapshotEnd = 0x0401,

    /// Peers: append entries; the entries follow.
    AppendHead = 0x0500,
    /// Peers: the answer.
    AppendReply = 0x0501,
    /// Peers: vote or pre-vote.
    BallotRequest = 0x0502,
    /// Peers: the answer.
    BallotReply = 0x0503,
    /// Peers: install a snapshot; the snapshot follows.
    SnapshotHead = 0x0504,
    /// Peers: the answer.
    SnapshotReply = 0x0505,
    /// Peers: take over.
    TransferRequest = 0x0506,
    /// Peers: the answer.
    TransferReply = 0x0507,
    /// Peers: what a starting node wants to know.
    Hello = 0x0508,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_reversible() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::from_number(kind.number()), Some(*kind));
            assert!(Kind::ALL[i + 1..].iter().all(|other| other.number() != kind.number()), "{kind:?}");
        }
    }
}
