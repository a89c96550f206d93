//! Requests from the peers.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use coordinator_api::tls::PeerIdentity;
use coordinator_core::ids::NodeId;
use openraft::Snapshot;

use super::clock;
use super::codec::{
    self, AppendHead, AppendReply, BallotReply, BallotRequest, Hello, SnapshotHead, SnapshotReply,
};
use super::codec::{MAX_PAYLOAD, Stored, TransferReply, TransferRequest};
use super::network::{CLUSTER_HEADER, FROM_HEADER, TO_HEADER};
use super::snapshot::MAX_SNAPSHOT;
use super::status::StorageHealth;
use super::{Replica, types};

/// Two megabytes of entries, or one entry of any size, and the head.
const MAX_APPEND: usize = 4 << 20;
const MAX_SMALL: usize = 64 << 10;

/// The routes of the cluster listener that carry Raft. The listener must put the peer's
/// [`PeerIdentity`] into each request as an extension; without one every request is refused.
pub fn router(replica: Replica) -> Router {
    let small = Router::new()
        .route("/raft/vote", post(vote))
        .route("/raft/pre-vote", post(pre_vote))
        .route("/raft/transfer-leader", post(transfer_leader))
        .route("/raft/hello", post(hello))
        .layer(DefaultBodyLimit::max(MAX_SMALL));
    let append = Router::new().route("/raft/append", post(append)).layer(DefaultBodyLimit::max(MAX_APPEND));
    let snapshot = Router::new()
        .route("/raft/snapshot", post(snapshot))
        .layer(DefaultBodyLimit::max(MAX_SNAPSHOT + MAX_PAYLOAD));
    small.merge(append).merge(snapshot).with_state(replica)
}

/// Why a request was refused.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<codec::CodecError> for Refusal {
    fn from(error: codec::CodecError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Refusal(StatusCode::BAD_REQUEST, format!("the message is not valid: {error}{cause}"))
    }
}

fn fatal(error: impl std::fmt::Display) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("raft has stopped on this node: {error}"))
}

type Answer = Result<Vec<u8>, Refusal>;
type Identity = Option<Extension<PeerIdentity>>;

async fn append(State(replica): State<Replica>, peer: Identity, headers: HeaderMap, body: Bytes) -> Answer {
    admit(&replica, peer, &headers)?;
    let request = AppendHead::decode(&body)?;
    let health = replica.storage_health();
    let storage = replica.storage_report(&health);
    if !request.entries.is_empty()
        && let StorageHealth::Full { detail } = health
    {
        return Err(Refusal(StatusCode::INSUFFICIENT_STORAGE, detail));
    }
    let response = replica.raft().append_entries(request).await.map_err(fatal)?;
    answer(&AppendReply { outcome: response.into(), storage })
}

async fn vote(State(replica): State<Replica>, peer: Identity, headers: HeaderMap, body: Bytes) -> Answer {
    admit(&replica, peer, &headers)?;
    let request: BallotRequest = codec::decode(&body)?;
    may_vote(&replica)?;
    let response = replica.raft().vote(request.into()).await.map_err(fatal)?;
    answer(&BallotReply::from(&response))
}

async fn pre_vote(State(replica): State<Replica>, peer: Identity, headers: HeaderMap, body: Bytes) -> Answer {
    admit(&replica, peer, &headers)?;
    let request: BallotRequest = codec::decode(&body)?;
    may_vote(&replica)?;
    let response = replica.raft().pre_vote(request.into()).await.map_err(fatal)?;
    answer(&BallotReply::from(&response))
}

async fn snapshot(State(replica): State<Replica>, peer: Identity, headers: HeaderMap, body: Bytes) -> Answer {
    admit(&replica, peer, &headers)?;
    let (vote, meta, start) = SnapshotHead::decode(&body)?;
    if let StorageHealth::Full { detail } = replica.storage_health() {
        return Err(Refusal(StatusCode::INSUFFICIENT_STORAGE, detail));
    }
    let snapshot = Snapshot { meta, snapshot: body.slice(start..) };
    let response = replica.raft().install_full_snapshot(vote, snapshot).await.map_err(fatal)?;
    answer(&SnapshotReply::from(&response))
}

async fn transfer_leader(
    State(replica): State<Replica>,
    peer: Identity,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    admit(&replica, peer, &headers)?;
    let request: TransferRequest = codec::decode(&body)?;
    may_vote(&replica)?;
    let response = replica.raft().handle_transfer_leader(request.into()).await.map_err(fatal)?;
    answer(&TransferReply::from(&response))
}

async fn hello(State(replica): State<Replica>, peer: Identity, headers: HeaderMap) -> Answer {
    admit(&replica, peer, &headers)?;
    // Index 0 is the first membership, which every founding member writes by itself.
    answer(&Hello { has_history: replica.last_log().is_some_and(|last: types::LogId| last.index() > 0) })
}

fn answer<T: Stored>(value: &T) -> Answer {
    Ok(codec::encode(value)?)
}

fn may_vote(replica: &Replica) -> Result<(), Refusal> {
    match replica.gate().closed(clock::now()) {
        Some(reason) => {
            Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("this node does not vote: {reason}")))
        }
        None => Ok(()),
    }
}

/// Lets a request in: from the coordinator it claims to be from, of this cluster, for this node.
fn admit(replica: &Replica, peer: Identity, headers: &HeaderMap) -> Result<(), Refusal> {
    let from = node_of(peer)?;
    if header(headers, FROM_HEADER) != Some(from.to_string().as_str()) {
        return Err(Refusal(StatusCode::FORBIDDEN, format!("the certificate is that of node {from}")));
    }
    let cluster = header(headers, CLUSTER_HEADER);
    if cluster != Some(replica.cluster_id()) {
        let detail =
            format!("this is cluster {:?}, not {:?}", replica.cluster_id(), cluster.unwrap_or_default());
        return Err(Refusal(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    if header(headers, TO_HEADER) != Some(replica.node_id().to_string().as_str()) {
        return Err(Refusal(StatusCode::MISDIRECTED_REQUEST, format!("this is node {}", replica.node_id())));
    }
    if from == replica.node_id() || !replica.has_member(from) {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            format!("node {from} is not another member of this cluster"),
        ));
    }
    Ok(())
}

fn node_of(peer: Identity) -> Result<NodeId, Refusal> {
    match peer {
        Some(Extension(PeerIdentity::Node(id))) => Ok(id),
        _ => Err(Refusal(StatusCode::FORBIDDEN, "only coordinators take part in Raft".to_owned())),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
