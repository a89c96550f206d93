//! `GET /health` over TLS: how things stand, for people and monitoring systems. No secrets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use coordinator_api::agent::{PeerPath, SourceReport};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::clock;
use crate::probe_gate::GateHealth;
use crate::service::Handle;

/// Where and how the health endpoint is served.
#[derive(Debug, Clone)]
pub struct HealthOptions {
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The server's certificate; clients need none.
    pub tls: Arc<rustls::ServerConfig>,
}

/// The body of `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The appliance's name.
    pub appliance: String,
    /// The agent's version.
    pub version: String,
    /// The token of what is held.
    pub holding: Option<u64>,
    /// What is left of the lease.
    pub lease_left_ms: Option<u64>,
    /// The highest token accepted.
    pub highest: u64,
    /// The lease goes on by the promises of all peers; no coordinator renews it.
    #[serde(default)]
    pub relying: bool,
    /// For how long this appliance has promised its peers to accept no lease.
    #[serde(default)]
    pub promised_ms: Option<u64>,
    /// The VIPs of the group are on the interfaces, and its probe gates open, under the lease held.
    pub vips_up: bool,
    /// What to hold under the lease, as `address on interface`.
    pub vips: Vec<String>,
    /// The probe gates that are opened under the lease.
    #[serde(default)]
    pub gates: Vec<GateHealth>,
    /// By node id.
    pub coordinators: BTreeMap<u64, CoordinatorHealth>,
    /// The ways to the group's other appliances.
    #[serde(default)]
    pub peers: Vec<PeerPath>,
    /// What is announced to happen to this machine, by who announces it.
    #[serde(default)]
    pub notices: Vec<SourceReport>,
    /// What keeps this appliance from carrying traffic, and what to do about it.
    pub faults: Vec<String>,
    /// What does not keep it from carrying traffic, and ought to be put right all the same.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How a coordinator answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorHealth {
    /// Whether the newest report was answered.
    pub reachable: bool,
    /// How long ago one was answered last.
    pub answered_ms_ago: Option<u64>,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Why the newest report on the appliance's own way was not answered.
    pub error: Option<String>,
    /// The peer that relays to it.
    #[serde(default)]
    pub via: Option<String>,
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, options: HealthOptions, handle: Handle) {
    let routes = Router::new().route("/health", get(health)).with_state(handle);
    let tls = RustlsConfig::from_config(options.tls);
    let served = match axum_server::from_tcp_rustls(listener, tls) {
        Ok(server) => server.serve(routes.into_make_service()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        error!(%error, "the health endpoint ended");
    }
}

/// 200 without faults and with a coordinator that answers; otherwise 503 with the same body.
async fn health(State(handle): State<Handle>) -> (StatusCode, Json<Health>) {
    let health = Health::of(&handle);
    let fine = health.faults.is_empty() && health.coordinators.values().any(|c| c.reachable);
    (if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

impl Health {
    fn of(handle: &Handle) -> Self {
        let now = clock::now();
        let standing = handle.standing();
        let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let coordinators = handle.coordinators().into_iter().map(|(node, contact)| {
            let health = CoordinatorHealth {
                reachable: contact.reachable,
                answered_ms_ago: contact.answered_at.map(|at| millis(now.since(at))),
                leader: contact.leader.map(|leader| leader.0),
                error: contact.error,
                via: contact.via.map(|peer| peer.to_string()),
            };
            (node.0, health)
        });
        Health {
            appliance: handle.appliance().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            holding: standing.holding.map(|token| token.0),
            lease_left_ms: standing.deadline.map(|deadline| millis(deadline.since(now))),
            highest: standing.highest.0,
            relying: standing.relying,
            promised_ms: standing
                .promised_until
                .map(|until| until.since(now))
                .filter(|left| !left.is_zero())
                .map(millis),
            vips_up: standing.vips_up,
            vips: standing.vips.iter().map(|vip| format!("{} on {}", vip.address, vip.interface)).collect(),
            gates: handle.gates(),
            coordinators: coordinators.collect(),
            peers: handle.peers(),
            notices: handle.notices(),
            warnings: handle.warnings(&standing),
            faults: standing.faults,
        }
    }
}
