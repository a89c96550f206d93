//! Replicas of one process, over loopback.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use coordinator::raft::network::{FROM_HEADER, tuned};
use coordinator::raft::transport::HttpTransport;
use coordinator::raft::{RaftTimings, Replica, ReplicaOptions, server};
use coordinator_api::tls::PeerIdentity;
use coordinator_core::ids::NodeId;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// So patient that a busy machine does not change the leader; a commit does not wait for either.
const TIMINGS: RaftTimings = RaftTimings {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(1000),
    election_max: Duration::from_millis(2000),
};
/// How long an election may take, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Three replicas, each with its own log and state in one directory, and HTTP/2 without TLS
/// between them.
pub struct Cluster {
    replicas: Vec<Replica>,
    servers: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// Starts them on ports of the system's choice, with their data below `root`.
    ///
    /// # Errors
    /// A port, a directory or a replica is not to be had.
    pub async fn start(root: &Path) -> anyhow::Result<Self> {
        // reqwest wants one even for plain HTTP; a second installation is refused and does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = tuned(reqwest::Client::builder()).http2_prior_knowledge().build()?;
        let mut listeners = BTreeMap::new();
        let mut members = BTreeMap::new();
        for id in [1, 2, 3].map(NodeId) {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("could not listen on loopback")?;
            members.insert(id, listener.local_addr()?.to_string());
            listeners.insert(id, listener);
        }
        let mut cluster = Self { replicas: Vec::new(), servers: Vec::new() };
        for (id, listener) in listeners {
            let dir = root.join(id.to_string());
            let transport =
                HttpTransport::new(client.clone()).with_urls(|_, address| format!("http://{address}"));
            let mut options = ReplicaOptions::new(id, "bench", dir, members.clone(), transport);
            options.timings = TIMINGS;
            let replica = Replica::start(options).await?;
            let app = server::router(replica.clone()).layer(from_fn(identify));
            cluster.servers.push(tokio::spawn(async move {
                if let Err(error) = axum::serve(listener, app).await {
                    eprintln!("replica {id} serves no more: {error}");
                }
            }));
            cluster.replicas.push(replica);
        }
        Ok(cluster)
    }

    /// The replica that a quorum confirms as the leader.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn leader(&self) -> anyhow::Result<Replica> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for replica in &self.replicas {
                let leads = replica.leadership().borrow().is_self;
                if leads && replica.confirm_leadership(TIMINGS.election_min).await.is_ok() {
                    return Ok(replica.clone());
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("no leader within {} s: is the machine too busy?", PATIENCE.as_secs())
    }

    /// Ends all of them.
    pub async fn stop(self) {
        for server in &self.servers {
            server.abort();
        }
        for replica in self.replicas {
            replica.shutdown().await;
        }
    }
}

/// Stands in for the TLS listener: believes the header.
async fn identify(mut request: Request, next: Next) -> Response {
    let from = request.headers().get(FROM_HEADER).and_then(|from| from.to_str().ok()?.parse().ok());
    if let Some(from) = from {
        request.extensions_mut().insert(PeerIdentity::Node(NodeId(from)));
    }
    next.run(request).await
}
