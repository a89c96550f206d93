//! Requests to the peers: HTTP/2 over mutual TLS, each with a deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use coordinator_core::ids::NodeId;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::codec::{
    self, AppendHead, AppendReply, BallotReply, BallotRequest, Hello, SnapshotHead, SnapshotReply,
};
use super::codec::{Stored, TransferReply, TransferRequest};
use super::heard::Heard;
use super::transport::{PeerRequest, Transport, TransportError};
use super::types::{Peer, TypeConfig, Vote};

/// Header: the cluster that the request is meant for.
pub const CLUSTER_HEADER: &str = "x-pointsman-cluster";
/// Header: the node that sends the request.
pub const FROM_HEADER: &str = "x-pointsman-from";
/// Header: the node that the request is meant for.
pub const TO_HEADER: &str = "x-pointsman-to";

/// Sets on `builder` what peer connections need so that a black hole costs milliseconds: HTTP/2
/// keep-alive, a bound on unacknowledged data and on connecting.
pub fn tuned(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    builder
        .connect_timeout(Duration::from_millis(300))
        .tcp_nodelay(true)
        .tcp_user_timeout(Duration::from_millis(300))
        .http2_keep_alive_interval(Duration::from_millis(100))
        .http2_keep_alive_timeout(Duration::from_millis(200))
        .http2_keep_alive_while_idle(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
}

/// Why a peer gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the peer could not be asked")]
    Transport(#[from] TransportError),
    #[error("the peer refused with status {status}: {detail}")]
    Refused { status: u16, detail: String },
    #[error("the message is not valid")]
    Codec(#[from] codec::CodecError),
}

impl CallError {
    fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// Makes a [`PeerNetwork`] per peer.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) cluster: Arc<str>,
    pub(super) from: NodeId,
    /// As configured: newer than what the log says of an address.
    pub(super) members: Arc<BTreeMap<NodeId, String>>,
    /// How long a peer may take to write entries.
    pub(super) append_deadline: Duration,
    /// A peer that has not answered for so long is asked before entries or heartbeats go to it.
    pub(super) quiet: Duration,
    /// What the peers' answers say besides.
    pub(super) heard: Heard,
}

impl Network {
    fn to(&self, target: NodeId, logged: &str) -> PeerNetwork {
        let address = self.members.get(&target).map_or(logged, String::as_str).to_owned();
        PeerNetwork { address, target, network: self.clone() }
    }

    /// Asks a peer whether the cluster has a history.
    pub(super) async fn hello(&self, target: NodeId, deadline: Duration) -> Result<Hello, CallError> {
        self.to(target, "").call("hello", Vec::new(), deadline).await
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, node: &Peer) -> PeerNetwork {
        self.to(NodeId(target), &node.address)
    }
}

/// The way to one peer.
pub struct PeerNetwork {
    network: Network,
    target: NodeId,
    address: String,
}

impl PeerNetwork {
    async fn call<T: Stored>(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let headers = [
            (CLUSTER_HEADER, self.network.cluster.to_string()),
            (FROM_HEADER, self.network.from.to_string()),
            (TO_HEADER, self.target.to_string()),
        ];
        let request = PeerRequest {
            target: self.target,
            address: self.address.clone(),
            path: format!("/raft/{path}"),
            headers,
            body: body.into(),
            deadline,
        };
        let reply = self.network.transport.post(request).await?;
        if reply.status != 200 {
            let detail = String::from_utf8_lossy(&reply.body[..reply.body.len().min(512)]).into_owned();
            return Err(CallError::Refused { status: reply.status, detail });
        }
        self.network.heard.answered(self.target);
        Ok(codec::decode(&reply.body)?)
    }

    /// Asks a peer whether it is there, unless it has answered lately.
    ///
    /// On a way that loses all answers, what this node sends still arrives. It must not keep the
    /// peer from electing a leader that can hear it.
    async fn greet(&self, deadline: Duration) -> Result<(), CallError> {
        if !self.network.heard.is_there(self.target, self.network.quiet) {
            self.call::<Hello>("hello", Vec::new(), deadline).await?;
        }
        Ok(())
    }

    fn error(&self, action: RPCTypes, timeout: Duration, error: CallError) -> RPCError<TypeConfig> {
        let (id, target) = (self.network.from.0, self.target.0);
        if matches!(error, CallError::Transport(TransportError::TimedOut)) {
            return RPCError::Timeout(Timeout { action, id, target, timeout });
        }
        if let CallError::Refused { status: 400 | 403 | 421, detail } = &error {
            tracing::warn!(peer = target, %detail, "a peer refuses this node's requests");
        }
        RPCError::Unreachable(Unreachable::from_string(error.sentence()))
    }

    async fn ballot(
        &self,
        path: &str,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let deadline = option.soft_ttl();
        let fail = |error| self.error(RPCTypes::Vote, deadline, error);
        let body = codec::encode(&BallotRequest::from(&rpc)).map_err(|e| fail(e.into()))?;
        let reply: BallotReply = self.call(path, body, deadline).await.map_err(fail)?;
        Ok(reply.into())
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        // Entries need a disk, and waiting for an answer holds up nothing but this stream. Not all
        // that has no entries is a heartbeat: the word of what is committed travels in the stream
        // as well. A heartbeat is given up after its interval by openraft itself.
        let deadline = option.soft_ttl().max(self.network.append_deadline);
        let fail = |error| self.error(RPCTypes::AppendEntries, deadline, error);
        let body = AppendHead::encode(&rpc).map_err(|e| fail(e.into()))?;
        self.greet(option.soft_ttl()).await.map_err(fail)?;
        let reply: AppendReply = self.call("append", body, deadline).await.map_err(fail)?;
        self.network.heard.storage(self.target, reply.storage);
        Ok(reply.outcome.into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ballot("vote", rpc, option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ballot("pre-vote", rpc, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<TypeConfig, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let deadline = option.soft_ttl();
        let fail = |error| StreamingError::from(self.error(RPCTypes::InstallSnapshot, deadline, error));
        let head = SnapshotHead::encode(&vote, &snapshot.meta).map_err(|e| fail(e.into()))?;
        // HTTP/2 cuts it into frames, so that heartbeats on the same connection find room between.
        let body = [head.as_slice(), &snapshot.snapshot].concat();
        let sent = self.call::<SnapshotReply>("snapshot", body, deadline);
        tokio::select! {
            biased;
            reply = sent => Ok(reply.map_err(fail)?.into()),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let deadline = option.soft_ttl();
        let fail = |error| self.error(RPCTypes::TransferLeader, deadline, error);
        let body = codec::encode(&TransferRequest::from(&req)).map_err(|e| fail(e.into()))?;
        let reply: TransferReply = self.call("transfer-leader", body, deadline).await.map_err(fail)?;
        reply.into_response()
    }

    fn backoff(&self) -> Option<Backoff> {
        let waits = [20, 50, 100].into_iter().chain(std::iter::repeat(200));
        Some(Backoff::new(waits.map(Duration::from_millis)))
    }
}
