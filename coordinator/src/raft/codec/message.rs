//! What peers say to each other.

use openraft::errors::RPCError;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use super::frozen::{LogIdV1, StoredMembershipV1, VoteV1, pack_id, unpack_id};
use super::{CodecError, Kind, Reader, Stored, encode_into, expect, pack, unpack};
use crate::raft::StorageReport;
use crate::raft::types::{Entry, SnapshotMeta, TypeConfig, Vote};

const SCHEMA: u16 = 1;
/// The most entries that one append request carries.
pub(in crate::raft) const MAX_ENTRIES: u32 = 4096;

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

/// The head of an append request; the entries follow, each in its envelope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppendHead {
    vote: VoteV1,
    previous: Option<LogIdV1>,
    committed: Option<LogIdV1>,
    entries: u32,
}

impl AppendHead {
    /// A whole request body.
    ///
    /// # Errors
    /// [`CodecError`] when an entry is too large.
    pub fn encode(request: &AppendEntriesRequest<TypeConfig>) -> Result<Vec<u8>, CodecError> {
        let mut body = Vec::new();
        let head = AppendHead {
            vote: (&request.vote).into(),
            previous: pack_id(&request.prev_log_id),
            committed: pack_id(&request.leader_commit),
            entries: u32::try_from(request.entries.len()).unwrap_or(u32::MAX),
        };
        encode_into(&head, &mut body)?;
        for entry in &request.entries {
            encode_into(entry, &mut body)?;
        }
        Ok(body)
    }

    /// The request of a whole body.
    ///
    /// # Errors
    /// [`CodecError`]
    pub fn decode(body: &[u8]) -> Result<AppendEntriesRequest<TypeConfig>, CodecError> {
        let mut reader = Reader::new(body);
        let head: AppendHead = reader.read()?;
        if head.entries > MAX_ENTRIES {
            return Err(CodecError::Invalid {
                detail: format!("{} entries; the limit is {MAX_ENTRIES}", head.entries),
            });
        }
        let entries = (0..head.entries).map(|_| reader.read::<Entry>()).collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        Ok(AppendEntriesRequest {
            vote: head.vote.into(),
            prev_log_id: unpack_id(head.previous),
            leader_commit: unpack_id(head.committed),
            entries,
        })
    }
}

/// The answer to an append request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppendReply {
    /// What became of the entries.
    pub outcome: AppendOutcome,
    /// How the answering node's storage is.
    pub storage: StorageReport,
}

/// What became of the entries of an append request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AppendOutcome {
    /// All entries are on disk.
    #[doc(hidden)]
    Success,
    /// Entries up to this one are on disk.
    #[doc(hidden)]
    Partial(Option<FrozenLogId>),
    /// The entry before the first is not the leader's.
    #[doc(hidden)]
    Conflict,
    /// A newer vote was seen.
    #[doc(hidden)]
    HigherVote(FrozenVote),
}

/// A log id as it travels.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrozenLogId(LogIdV1);
/// A vote as it travels.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrozenVote(VoteV1);

impl From<AppendEntriesResponse<TypeConfig>> for AppendOutcome {
    fn from(response: AppendEntriesResponse<TypeConfig>) -> Self {
        match response {
            AppendEntriesResponse::Success => Self::Success,
            AppendEntriesResponse::PartialSuccess(id) => Self::Partial(pack_id(&id).map(FrozenLogId)),
            AppendEntriesResponse::Conflict => Self::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Self::HigherVote(FrozenVote((&vote).into())),
        }
    }
}

impl From<AppendOutcome> for AppendEntriesResponse<TypeConfig> {
    fn from(outcome: AppendOutcome) -> Self {
        match outcome {
            AppendOutcome::Success => Self::Success,
            AppendOutcome::Partial(id) => Self::PartialSuccess(id.map(|id| id.0.into())),
            AppendOutcome::Conflict => Self::Conflict,
            AppendOutcome::HigherVote(vote) => Self::HigherVote(vote.0.into()),
        }
    }
}

/// A vote or pre-vote request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BallotRequest {
    vote: VoteV1,
    last_log: Option<LogIdV1>,
    transfer: bool,
}

impl From<&VoteRequest<TypeConfig>> for BallotRequest {
    fn from(request: &VoteRequest<TypeConfig>) -> Self {
        Self {
            vote: (&request.vote).into(),
            last_log: pack_id(&request.last_log_id),
            transfer: request.leadership_transfer,
        }
    }
}

impl From<BallotRequest> for VoteRequest<TypeConfig> {
    fn from(request: BallotRequest) -> Self {
        let mut inner = VoteRequest::new(request.vote.into(), unpack_id(request.last_log));
        inner.leadership_transfer = request.transfer;
        inner
    }
}

/// The answer to a vote or pre-vote request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BallotReply {
    vote: VoteV1,
    granted: bool,
    last_log: Option<LogIdV1>,
}

impl From<&VoteResponse<TypeConfig>> for BallotReply {
    fn from(response: &VoteResponse<TypeConfig>) -> Self {
        Self {
            vote: (&response.vote).into(),
            granted: response.vote_granted,
            last_log: pack_id(&response.last_log_id),
        }
    }
}

impl From<BallotReply> for VoteResponse<TypeConfig> {
    fn from(reply: BallotReply) -> Self {
        VoteResponse::new(Vote::from(reply.vote), unpack_id(reply.last_log), reply.granted)
    }
}

/// The head of a snapshot request; the snapshot's own bytes follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotHead {
    vote: VoteV1,
    last_log: Option<LogIdV1>,
    membership: StoredMembershipV1,
}

impl SnapshotHead {
    /// The bytes that go before the snapshot.
    ///
    /// # Errors
    /// [`CodecError`]
    pub fn encode(vote: &Vote, meta: &SnapshotMeta) -> Result<Vec<u8>, CodecError> {
        super::encode(&SnapshotHead {
            vote: vote.into(),
            last_log: pack_id(&meta.last_log_id),
            membership: (&meta.last_membership).into(),
        })
    }

    /// Vote, meta and where the snapshot's own bytes start.
    ///
    /// # Errors
    /// [`CodecError`]
    pub fn decode(body: &[u8]) -> Result<(Vote, SnapshotMeta, usize), CodecError> {
        let mut reader = Reader::new(body);
        let head: SnapshotHead = reader.read()?;
        let meta = SnapshotMeta {
            last_log_id: unpack_id(head.last_log),
            last_membership: head.membership.try_into()?,
        };
        Ok((head.vote.into(), meta, body.len() - reader.rest().len()))
    }
}

/// The answer to a snapshot request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotReply {
    vote: VoteV1,
}

impl From<&SnapshotResponse<TypeConfig>> for SnapshotReply {
    fn from(response: &SnapshotResponse<TypeConfig>) -> Self {
        Self { vote: (&response.vote).into() }
    }
}

impl From<SnapshotReply> for SnapshotResponse<TypeConfig> {
    fn from(reply: SnapshotReply) -> Self {
        SnapshotResponse::new(reply.vote.into())
    }
}

/// A request to take over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransferRequest {
    from: VoteV1,
    to: u64,
    last_log: Option<LogIdV1>,
}

impl From<&TransferLeaderRequest<TypeConfig>> for TransferRequest {
    fn from(request: &TransferLeaderRequest<TypeConfig>) -> Self {
        Self {
            from: request.from_leader().into(),
            to: *request.to_node_id(),
            last_log: request.last_log_id().map(LogIdV1::from),
        }
    }
}

impl From<TransferRequest> for TransferLeaderRequest<TypeConfig> {
    fn from(request: TransferRequest) -> Self {
        TransferLeaderRequest::new(request.from.into(), request.to, unpack_id(request.last_log))
    }
}

/// The answer to a request to take over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum TransferReply {
    /// It stands for election.
    #[doc(hidden)]
    Accepted,
    /// It has seen another vote.
    #[doc(hidden)]
    VoteChanged(FrozenVote, FrozenVote),
    /// Its log is behind.
    #[doc(hidden)]
    LogNotFlushed(Option<FrozenLogId>, Option<FrozenLogId>),
}

impl From<&TransferLeaderResponse<TypeConfig>> for TransferReply {
    fn from(response: &TransferLeaderResponse<TypeConfig>) -> Self {
        match response {
            Ok(()) => Self::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                Self::VoteChanged(FrozenVote(expected.into()), FrozenVote(actual.into()))
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                Self::LogNotFlushed(pack_id(expected).map(FrozenLogId), pack_id(actual).map(FrozenLogId))
            }
        }
    }
}

impl TransferReply {
    /// What openraft expects.
    pub fn into_response(self) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        Ok(match self {
            Self::Accepted => Ok(()),
            Self::VoteChanged(expected, actual) => {
                Err(TransferLeaderError::VoteChanged { expected: expected.0.into(), actual: actual.0.into() })
            }
            Self::LogNotFlushed(expected, actual) => Err(TransferLeaderError::LogNotFlushed {
                expected: expected.map(|id| id.0.into()),
                actual: actual.map(|id| id.0.into()),
            }),
        })
    }
}

/// What a node with an empty data directory asks its peers before it dares to form a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Whether the peer's log holds more than the first membership: the cluster has had a leader.
    pub has_history: bool,
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

stored_as_is!(
    AppendHead,
    AppendReply,
    BallotRequest,
    BallotReply,
    SnapshotHead,
    SnapshotReply,
    TransferRequest,
    TransferReply,
    Hello
);
