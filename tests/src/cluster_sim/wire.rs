//! The network between the replicas: the peers' real requests, carried to the peers' real router.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use coordinator::raft::codec::{self, AppendHead, AppendReply, BallotReply, BallotRequest, Hello};
use coordinator::raft::transport::{PeerReply, PeerRequest, Transport, TransportError};
use coordinator::raft::types::{TypeConfig, log_id};
use coordinator::raft::{StorageLevel, StorageReport};
use coordinator_api::tls::PeerIdentity;
use coordinator_core::ids::NodeId;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use openraft::EntryPayload;
use openraft::raft::{AppendEntriesResponse, VoteRequest, VoteResponse};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use super::Mutation;
use super::world::World;

/// By then the cluster is formed, and has a history.
const FORMED: Duration = Duration::from_secs(1);

/// Within a heartbeat's interval.
const SOON: Duration = Duration::from_millis(15);

/// One life of a node's way to the others.
pub(super) struct Wire {
    pub(super) world: Arc<World>,
    pub(super) from: u64,
    pub(super) life: u64,
}

/// What becomes of one message.
struct Fate {
    lost: bool,
    delay: Duration,
    again: Option<Duration>,
}

impl World {
    fn fate(&self, from: u64, to: u64) -> Fate {
        let mut core = self.core();
        let link = core.link(from, to);
        let lost = link.cut || core.percent(link.lost);
        let delay = core.span(100, link.slow);
        let again = core.percent(link.doubled).then(|| core.span(100, 200_000));
        Fate { lost, delay, again }
    }

    /// Waits while a node stands still.
    async fn running(&self, id: u64) {
        loop {
            let until = self.core().nodes.get(&id).and_then(|node| node.still_until);
            match until.filter(|until| *until > tokio::time::Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }

    fn lives(&self, id: u64, life: u64) -> bool {
        self.core().nodes.get(&id).is_some_and(|node| node.life == life)
    }

    fn router(&self, id: u64) -> Option<Router> {
        self.core().nodes.get(&id).and_then(|node| node.router.clone())
    }
}

impl Transport for Wire {
    fn post(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerReply, TransportError>> {
        async move {
            let (deadline, heartbeat) = (request.deadline, is_heartbeat(&request));
            // A peer that is silent is asked whether it is there before a heartbeat is sent.
            let asked = request.path == "/raft/hello" && self.world.now() > FORMED;
            let counts_lost = self.world.mutated(Mutation::CountLostHeartbeats);
            // openraft gives a heartbeat up after its interval.
            let deadline = if counts_lost && (heartbeat || asked) { deadline.min(SOON) } else { deadline };
            let reply = tokio::time::timeout(deadline, self.carry(request)).await;
            let reply = reply.unwrap_or(Err(TransportError::TimedOut));
            if reply.is_err() && counts_lost {
                match (heartbeat, asked) {
                    (true, _) => return success(),
                    (_, true) => return here(),
                    _ => {}
                }
            }
            reply
        }
        .boxed()
    }
}

impl Wire {
    async fn carry(&self, mut request: PeerRequest) -> Result<PeerReply, TransportError> {
        let (from, to) = (self.from, request.target.0);
        let world = &self.world;
        world.running(from).await;
        if !world.lives(from, self.life) {
            return Err(refused("this process is gone"));
        }
        if to == 3 && world.mutated(Mutation::ApplyOutOfOrder) {
            swap_two(&mut request);
        }
        let Fate { lost, delay, again } = world.fate(from, to);
        if lost {
            return std::future::pending().await;
        }
        if let Some(delay) = again {
            let (world, request) = (world.clone(), request.clone());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                drop(arrive(&world, from, request).await);
            });
        }
        tokio::time::sleep(delay).await;
        let reply = arrive(world, from, request).await?;
        let Fate { lost, delay, .. } = world.fate(to, from);
        if lost {
            return std::future::pending().await;
        }
        tokio::time::sleep(delay).await;
        world.running(from).await;
        Ok(reply)
    }
}

/// Hands a request to the node it is for. It is carried out even if nobody waits any more.
async fn arrive(world: &Arc<World>, from: u64, request: PeerRequest) -> Result<PeerReply, TransportError> {
    let to = request.target.0;
    world.running(to).await;
    let router = world.router(to).ok_or_else(|| refused("nobody listens there"))?;
    if request.path == "/raft/vote" && world.mutated(Mutation::VoteTwice) {
        return granted(&request);
    }
    let (told, reply) = oneshot::channel();
    tokio::spawn(async move {
        let _ = told.send(answer(router, from, request).await);
    });
    reply.await.map_err(|_| refused("the peer ended"))?
}

async fn answer(router: Router, from: u64, request: PeerRequest) -> Result<PeerReply, TransportError> {
    let mut built = Request::post(request.path);
    for (name, value) in request.headers {
        built = built.header(name, value);
    }
    let mut built = built.body(Body::from(request.body)).map_err(failed)?;
    // As the TLS listener would, from the certificate.
    built.extensions_mut().insert(PeerIdentity::Node(NodeId(from)));
    let response = router.oneshot(built).await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.map_err(failed)?;
    Ok(PeerReply { status, body: body.to_vec() })
}

fn refused(why: &'static str) -> TransportError {
    TransportError::Failed(why.into())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> TransportError {
    TransportError::Failed(Box::new(error))
}

fn is_heartbeat(request: &PeerRequest) -> bool {
    request.path == "/raft/append" && AppendHead::decode(&request.body).is_ok_and(|it| it.entries.is_empty())
}

fn success() -> Result<PeerReply, TransportError> {
    let storage = StorageReport { level: StorageLevel::Ok, wrote_ms_ago: 0 };
    let outcome = AppendEntriesResponse::<TypeConfig>::Success.into();
    let body = codec::encode(&AppendReply { outcome, storage }).map_err(failed)?;
    Ok(PeerReply { status: 200, body })
}

/// What a peer says that is asked whether it is there.
fn here() -> Result<PeerReply, TransportError> {
    let body = codec::encode(&Hello { has_history: true }).map_err(failed)?;
    Ok(PeerReply { status: 200, body })
}

/// A vote for whoever asks.
fn granted(request: &PeerRequest) -> Result<PeerReply, TransportError> {
    let asked: BallotRequest = codec::decode(&request.body).map_err(failed)?;
    let asked: VoteRequest<TypeConfig> = asked.into();
    let reply = VoteResponse::<TypeConfig>::new(asked.vote, Some(log_id(0, 0)), true);
    let body = codec::encode(&BallotReply::from(&reply)).map_err(failed)?;
    Ok(PeerReply { status: 200, body })
}

/// Exchanges two neighbouring commands on their way.
fn swap_two(request: &mut PeerRequest) {
    if request.path != "/raft/append" {
        return;
    }
    let Ok(mut append) = AppendHead::decode(&request.body) else { return };
    let normal = |payload: &EntryPayload<_, _, _>| matches!(payload, EntryPayload::Normal(_));
    let pair = append.entries.windows(2).position(|two| two.iter().all(|entry| normal(&entry.payload)));
    if let Some(at) = pair {
        let (first, second) = append.entries.split_at_mut(at + 1);
        std::mem::swap(&mut first[at].payload, &mut second[0].payload);
        if let Ok(body) = AppendHead::encode(&append) {
            request.body = body.into();
        }
    }
}
