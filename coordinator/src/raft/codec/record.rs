//! What the log, the store and the snapshot hold beside entries.

use coordinator_core::chain::Chain;
use coordinator_core::event::Event;
use coordinator_core::pool::Pool;
use coordinator_core::state::{Group, Withdrawn};
use coordinator_core::time::WallTime;
use serde::{Deserialize, Serialize};

use super::entry::is_entry;
use super::frozen::{LogIdV1, StoredMembershipV1, VoteV1, pack_id, unpack_id};
use super::{CodecError, Kind, Stored, expect, pack, unpack};
use crate::raft::types::{Entry, LogId, StoredMembership, Vote};

const SCHEMA: u16 = 1;

/// A record of the write-ahead log.
#[derive(Debug, Clone)]
pub enum WalRecord {
    /// An entry.
    Entry(Box<Entry>),
    /// The vote.
    Vote(Vote),
    /// The newest entry known to be committed.
    Committed(Option<LogId>),
    /// Every entry after this one is void; `None` voids all.
    Truncate(Option<LogId>),
    /// Every entry up to this one is in a snapshot.
    Purge(LogId),
}

impl Stored for WalRecord {
    fn seal(&self) -> Result<(Kind, u16, Vec<u8>), CodecError> {
        Ok(match self {
            WalRecord::Entry(entry) => entry.seal()?,
            WalRecord::Vote(vote) => (Kind::Vote, SCHEMA, pack(&VoteV1::from(vote))?),
            WalRecord::Committed(id) => (Kind::Committed, SCHEMA, pack(&pack_id(id))?),
            WalRecord::Truncate(id) => (Kind::Truncate, SCHEMA, pack(&pack_id(id))?),
            WalRecord::Purge(id) => (Kind::Purge, SCHEMA, pack(&LogIdV1::from(id))?),
        })
    }

    fn open(kind: Kind, schema: u16, payload: &[u8]) -> Result<Self, CodecError> {
        if is_entry(kind) {
            return Entry::open(kind, schema, payload).map(|entry| WalRecord::Entry(Box::new(entry)));
        }
        match kind {
            Kind::Vote | Kind::Committed | Kind::Truncate | Kind::Purge => {
                expect(kind, SCHEMA, kind, schema)?
            }
            _ => return Err(CodecError::OtherKind { wanted: Kind::Vote, found: kind }),
        }
        Ok(match kind {
            Kind::Vote => WalRecord::Vote(unpack::<VoteV1>(payload)?.into()),
            Kind::Committed => WalRecord::Committed(unpack_id(unpack(payload)?)),
            Kind::Truncate => WalRecord::Truncate(unpack_id(unpack(payload)?)),
            _ => WalRecord::Purge(unpack::<LogIdV1>(payload)?.into()),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StateMetaV1 {
    applied: Option<LogIdV1>,
    membership: StoredMembershipV1,
    time: WallTime,
    events: u64,
    withdrawn: Withdrawn,
    history: Chain,
}

/// What the store keeps beside groups, pools and events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateMeta {
    /// The newest entry applied.
    pub applied: Option<LogId>,
    /// The newest members applied.
    pub membership: StoredMembership,
    /// `State::time`.
    pub time: WallTime,
    /// How many events the history holds.
    pub events: u64,
    /// `State::withdrawn`.
    pub withdrawn: Withdrawn,
    /// `State::history`.
    pub history: Chain,
}

impl StateMeta {
    fn frozen(&self) -> StateMetaV1 {
        StateMetaV1 {
            applied: pack_id(&self.applied),
            membership: (&self.membership).into(),
            time: self.time,
            events: self.events,
            withdrawn: self.withdrawn.clone(),
            history: self.history,
        }
    }

    fn thawed(frozen: StateMetaV1) -> Result<Self, CodecError> {
        Ok(Self {
            applied: unpack_id(frozen.applied),
            membership: frozen.membership.try_into()?,
            time: frozen.time,
            events: frozen.events,
            withdrawn: frozen.withdrawn,
            history: frozen.history,
        })
    }
}

impl Stored for StateMeta {
    fn seal(&self) -> Result<(Kind, u16, Vec<u8>), CodecError> {
        Ok((Kind::StateMeta, SCHEMA, pack(&self.frozen())?))
    }

    fn open(kind: Kind, schema: u16, payload: &[u8]) -> Result<Self, CodecError> {
        expect(Kind::StateMeta, SCHEMA, kind, schema)?;
        Self::thawed(unpack(payload)?)
    }
}

/// The first record of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// What the snapshot covers; `events` counts the events in it.
    pub meta: StateMeta,
    /// How many groups follow.
    pub groups: u64,
    /// How many pools follow them.
    pub pools: u64,
}

impl Stored for SnapshotHeader {
    fn seal(&self) -> Result<(Kind, u16, Vec<u8>), CodecError> {
        Ok((Kind::SnapshotHeader, SCHEMA, pack(&(self.meta.frozen(), self.groups, self.pools))?))
    }

    fn open(kind: Kind, schema: u16, payload: &[u8]) -> Result<Self, CodecError> {
        expect(Kind::SnapshotHeader, SCHEMA, kind, schema)?;
        let (meta, groups, pools) = unpack(payload)?;
        Ok(Self { meta: StateMeta::thawed(meta)?, groups, pools })
    }
}

/// The last record of a snapshot: without it the snapshot is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// CRC32C of everything before this record.
    pub checksum: u32,
}

macro_rules! stored_as_is {
    ($($type:ident),*) => { $(
        impl Stored for $type {
            fn seal(&self) -> Result<(Kind, u16, Vec<u8>), CodecError> {
                Ok((Kind::$type, SCHEMA, pack(self)?))
            }

            fn open(kind: Kind, schema: u16, payload: &[u8]) -> Result<Self, CodecError> {
                expect(Kind::$type, SCHEMA, kind, schema)?;
                unpack(payload)
            }
        }
    )* };
}

stored_as_is!(SnapshotEnd, Group, Event, Pool);
