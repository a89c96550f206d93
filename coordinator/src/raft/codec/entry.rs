//! Log entries: one kind per command body.

use coordinator_core::command::{Command, CommandBody};
use coordinator_core::pool::PoolCommand;
use openraft::EntryPayload;
use serde::{Deserialize, Serialize};

use super::frozen::{LogIdV1, MembershipV1};
use super::{CodecError, HEADER_LEN, Kind, Stored, expect, pack, unpack};
use crate::raft::types::{Entry, Proposal};

const SCHEMA: u16 = 1;

#[derive(Serialize, Deserialize)]
struct BlankV1 {
    id: LogIdV1,
}

#[derive(Serialize, Deserialize)]
struct MembershipEntryV1 {
    id: LogIdV1,
    membership: MembershipV1,
}

/// Field by field the layout of [`CommandV1`], borrowed.
#[derive(Serialize)]
struct CommandRefV1<'a> {
    id: LogIdV1,
    command: &'a Command,
}

#[derive(Deserialize)]
struct CommandV1 {
    id: LogIdV1,
    command: Command,
}

/// The kind of a command. A new body needs a new number in [`Kind`].
pub(super) fn kind_of(body: &CommandBody) -> Kind {
    match body {
        CommandBody::PutGroup(_) => Kind::PutGroup,
        CommandBody::RemoveGroup(_) => Kind::RemoveGroup,
        CommandBody::RecordVerdict { .. } => Kind::RecordVerdict,
        CommandBody::StartOperation(_) => Kind::StartOperation,
        CommandBody::RecordRelease { .. } => Kind::RecordRelease,
        CommandBody::RecordStep(_) => Kind::RecordStep,
        CommandBody::SetMode { .. } => Kind::SetMode,
        CommandBody::SetMaintenance { .. } => Kind::SetMaintenance,
        CommandBody::Freeze { .. } => Kind::Freeze,
        CommandBody::Unfreeze { .. } => Kind::Unfreeze,
        CommandBody::RecordHold { .. } => Kind::RecordHold,
        CommandBody::RecordDrift { .. } => Kind::RecordDrift,
        CommandBody::Seed { .. } => Kind::Seed,
        CommandBody::RecordAcknowledged { .. } => Kind::RecordAcknowledged,
        CommandBody::RequestFence { .. } => Kind::RequestFence,
        CommandBody::RecordFence(_) => Kind::RecordFence,
        CommandBody::ConfirmOff { .. } => Kind::ConfirmOff,
        CommandBody::RecordPath { .. } => Kind::RecordPath,
        CommandBody::RecordTraffic { .. } => Kind::RecordTraffic,
        CommandBody::RecordHeartbeat { .. } => Kind::RecordHeartbeat,
        CommandBody::RecordNotices { .. } => Kind::RecordNotices,
        CommandBody::RecordUnderWay { .. } => Kind::RecordUnderWay,
        CommandBody::Pool(command) => kind_of_pool(command),
    }
}

fn kind_of_pool(command: &PoolCommand) -> Kind {
    match command {
        PoolCommand::Put(_) => Kind::PutPool,
        PoolCommand::Remove(_) => Kind::RemovePool,
        PoolCommand::RecordVerdict { .. } => Kind::RecordMemberVerdict,
        PoolCommand::TakeOut(_) => Kind::TakeOut,
        PoolCommand::PutIn(_) => Kind::PutIn,
        PoolCommand::RecordPlacement(_) => Kind::RecordPlacement,
        PoolCommand::RecordHold { .. } => Kind::RecordPoolHold,
        PoolCommand::RecordDrift { .. } => Kind::RecordMemberDrift,
    }
}

/// The size of an entry with `command`, envelope included, whatever its log id.
///
/// # Errors
/// [`CodecError::TooLarge`]
pub fn encoded_command_len(command: &Command) -> Result<usize, CodecError> {
    let widest = LogIdV1::from(&crate::raft::types::log_id(u64::MAX, u64::MAX));
    Ok(HEADER_LEN + pack(&CommandRefV1 { id: widest, command })?.len())
}

impl Stored for Entry {
    fn seal(&self) -> Result<(Kind, u16, Vec<u8>), CodecError> {
        let id = LogIdV1::from(&self.log_id);
        Ok(match &self.payload {
            EntryPayload::Blank => (Kind::Blank, SCHEMA, pack(&BlankV1 { id })?),
            EntryPayload::Membership(membership) => {
                (Kind::Membership, SCHEMA, pack(&MembershipEntryV1 { id, membership: membership.into() })?)
            }
            EntryPayload::Normal(Proposal(command)) => {
                (kind_of(&command.body), SCHEMA, pack(&CommandRefV1 { id, command })?)
            }
        })
    }

    fn open(kind: Kind, schema: u16, payload: &[u8]) -> Result<Self, CodecError> {
        let (id, payload) = match kind {
            Kind::Blank => {
                expect(Kind::Blank, SCHEMA, kind, schema)?;
                (unpack::<BlankV1>(payload)?.id, EntryPayload::Blank)
            }
            Kind::Membership => {
                expect(Kind::Membership, SCHEMA, kind, schema)?;
                let entry: MembershipEntryV1 = unpack(payload)?;
                (entry.id, EntryPayload::Membership(entry.membership.try_into()?))
            }
            _ => {
                if !is_command(kind) {
                    return Err(CodecError::OtherKind { wanted: Kind::Blank, found: kind });
                }
                expect(kind, SCHEMA, kind, schema)?;
                let entry: CommandV1 = unpack(payload)?;
                let decoded = kind_of(&entry.command.body);
                if decoded != kind {
                    return Err(CodecError::OtherKind { wanted: kind, found: decoded });
                }
                (entry.id, EntryPayload::Normal(Proposal(entry.command)))
            }
        };
        Ok(Entry { log_id: id.into(), payload })
    }
}

pub(super) fn is_entry(kind: Kind) -> bool {
    matches!(kind, Kind::Blank | Kind::Membership) || is_command(kind)
}

fn is_command(kind: Kind) -> bool {
    // Up to the kinds that are no entries.
    (Kind::PutGroup.number()..Kind::Vote.number()).contains(&kind.number())
}
