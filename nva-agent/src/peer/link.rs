//! The ways to each peer: kept as the group declares them, and pinged on and on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coordinator_api::agent::{AgentGroup, MAX_PATHS, PeerPath};
use coordinator_api::peer::{PING_PATH, PingReply, PingRequest};
use coordinator_api::tls::{ClientOptions, TlsError, TlsMaterial, agent_url};
use coordinator_core::ids::{ApplianceName, GroupName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::path_health::PathHealth;
use crate::reporter::{ReportError, answer};
use crate::service::{LONGEST_INTERVAL, SHORTEST_INTERVAL};
use crate::standing::Standing;

/// A ping that is not answered by then is a miss.
const PING_LIMIT: Duration = Duration::from_millis(500);
/// More patient than the clients of coordinators: each request has a limit of its own, and what a
/// machine that is busy for a moment must not lose is the connection that is there. A connection
/// through a peer is two handshakes, one inside the other.
const CLIENT: ClientOptions = ClientOptions {
    connect_timeout: Duration::from_millis(1_000),
    keep_alive_interval: Duration::from_millis(250),
    keep_alive_timeout: Duration::from_millis(500),
    user_timeout: Duration::from_millis(750),
};
/// Addresses of one peer that are used; a group declares no more.
const PATHS_PER_PEER: usize = 2;

/// One way to one peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: ApplianceName,
    path: u8,
    address: SocketAddr,
    base_url: String,
    client: reqwest::Client,
    /// Reaches coordinators through the peer.
    pub(crate) relay: reqwest::Client,
    health: Mutex<PathHealth>,
}

impl Link {
    fn new(
        tls: &TlsMaterial,
        peer: &ApplianceName,
        path: usize,
        address: SocketAddr,
    ) -> Result<Link, TlsError> {
        Ok(Link {
            peer: peer.clone(),
            path: u8::try_from(path).unwrap_or(u8::MAX),
            address,
            base_url: agent_url(&tls.identity().cluster_id, peer, address.port()),
            client: tls.agent_client(peer, address, CLIENT)?,
            relay: tls.relayed_client(peer, address, CLIENT)?,
            health: Mutex::default(),
        })
    }

    /// A request to the peer on this way.
    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.base_url))
    }

    pub(crate) fn health(&self) -> PathHealth {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut PathHealth) -> bool) -> bool {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ping(&self, appliance: &ApplianceName, group: &GroupName) -> Result<(), ReportError> {
        let request = PingRequest { appliance: appliance.clone(), group: group.clone() };
        let reply: PingReply = answer(self.post(PING_PATH).timeout(PING_LIMIT).json(&request)).await?;
        // The certificate says the same; this is about who answers behind it.
        if reply.appliance == self.peer { Ok(()) } else { Err(ReportError::OtherPeer(reply.appliance)) }
    }

    /// Pings at every interval, and says when the way turns up or down.
    async fn ping_on(self: Arc<Self>, appliance: ApplianceName, group: GroupName, interval: Duration) {
        loop {
            let started = Instant::now();
            let (peer, path) = (&self.peer, self.path);
            match self.ping(&appliance, &group).await {
                Ok(()) => {
                    if self.note(|health| health.answered(started.elapsed())) {
                        info!(%peer, path, address = %self.address, "the peer answers");
                    }
                }
                Err(error) => {
                    if self.note(PathHealth::missed) {
                        warn!(%peer, path, address = %self.address, %error, "the peer does not answer");
                    }
                }
            }
            tokio::time::sleep_until(started + interval).await;
        }
    }
}

/// All ways to all peers, as they are now.
#[derive(Debug, Clone)]
pub(crate) struct Links(watch::Receiver<Arc<Vec<Arc<Link>>>>);

impl Links {
    /// None, for an agent that speaks with no peers.
    pub(crate) fn none() -> Links {
        Links(watch::channel(Arc::default()).1)
    }

    /// In the declared order.
    pub(crate) fn all(&self) -> Arc<Vec<Arc<Link>>> {
        self.0.borrow().clone()
    }

    /// For the report.
    pub(crate) fn paths(&self) -> Vec<PeerPath> {
        let path = |link: &Arc<Link>| {
            let (health, path) = (link.health(), link.path);
            PeerPath { appliance: link.peer.clone(), path, up: health.is_up(), rtt_us: health.rtt_us() }
        };
        self.all().iter().take(MAX_PATHS).map(path).collect()
    }

    /// The ways that are up, the quickest first.
    pub(crate) fn up(&self) -> Vec<Arc<Link>> {
        let mut up: Vec<_> = self.all().iter().filter(|link| link.health().is_up()).cloned().collect();
        up.sort_by_key(|link| link.health().rtt_us());
        up
    }
}

/// Keeps the ways as the group declares them.
#[derive(Debug)]
pub(crate) struct Keeper {
    appliance: ApplianceName,
    tls: TlsMaterial,
    interval: Duration,
    standing: watch::Receiver<Standing>,
    links: watch::Sender<Arc<Vec<Arc<Link>>>>,
}

impl Keeper {
    pub(crate) fn new(
        appliance: ApplianceName,
        tls: TlsMaterial,
        interval: Duration,
        standing: watch::Receiver<Standing>,
    ) -> (Keeper, Links) {
        let (links, receiver) = watch::channel(Arc::default());
        (Keeper { appliance, tls, interval, standing, links }, Links(receiver))
    }

    /// Runs until the lease's owner is gone.
    pub(crate) async fn run(mut self) {
        let mut known: Option<Arc<AgentGroup>> = None;
        let mut pingers = JoinSet::new();
        loop {
            let group = self.standing.borrow_and_update().group.clone();
            if group != known {
                pingers.abort_all();
                let links: Arc<Vec<_>> =
                    Arc::new(group.as_deref().map_or_else(Vec::new, |g| self.links_of(g)));
                if let Some(group) = &group {
                    let interval = (self.interval.min(Duration::from_millis(group.ttl_ms) / 8))
                        .clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
                    for link in links.iter() {
                        let (appliance, name) = (self.appliance.clone(), group.name.clone());
                        pingers.spawn(link.clone().ping_on(appliance, name, interval));
                    }
                }
                self.links.send_replace(links);
                known = group;
            }
            if self.standing.changed().await.is_err() {
                return;
            }
        }
    }

    /// A way that stays the same keeps its connections and what is known of it.
    fn links_of(&self, group: &AgentGroup) -> Vec<Arc<Link>> {
        let before = self.links.borrow().clone();
        let mut links = Vec::new();
        for peer in &group.peers {
            for (path, &address) in peer.addresses.iter().take(PATHS_PER_PEER).enumerate() {
                let same = |link: &&Arc<Link>| {
                    link.peer == peer.appliance && usize::from(link.path) == path && link.address == address
                };
                if let Some(link) = before.iter().find(same) {
                    links.push(link.clone());
                    continue;
                }
                match Link::new(&self.tls, &peer.appliance, path, address) {
                    Ok(link) => links.push(Arc::new(link)),
                    Err(error) => warn!(peer = %peer.appliance, %address, %error, "no way to the peer"),
                }
            }
        }
        links
    }
}
