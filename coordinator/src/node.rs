//! A coordinator, put together and taken down in order.
//!
//! Up: certificates → listeners (an occupied port fails before anything else is touched) → the
//! replica → the control loop → serving. Down: leadership is handed over first, while this node
//! still answers, and the data directory is left closed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::Adapters;
use config::CoordinatorConfig;
use coordinator_api::tls::{self, ClientOptions, Identity, PeerIdentity, TlsFiles, TlsMaterial};
use coordinator_core::ids::NodeId;
use coordinator_core::model::Trust;
use tokio::sync::watch;
use tracing::{error, info};

use crate::adapters;
use crate::control_loop;
use crate::http::{self, ApiState, GroupLimits, Node, Tokens};
use crate::peers::Peers;
use crate::preflight::{self, Preflights};
use crate::raft::transport::HttpTransport;
use crate::raft::{self, RaftTimings, Replica, ReplicaOptions};

/// How long the tasks may take to end after leadership was handed over.
const GRACE: Duration = Duration::from_secs(5);

/// Why a coordinator did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A certificate or key cannot be used.
    #[error("this node's certificate cannot be used")]
    Tls(#[from] tls::TlsError),
    /// A listener could not be opened.
    #[error("could not open a listener")]
    Listen(#[from] http::ListenError),
    /// An adapter of the configuration cannot be used.
    #[error("an adapter of the configuration cannot be used")]
    Adapter(#[from] cloud_adapters::RegistryError),
    /// An adapter of the configuration names a URL that is none.
    #[error("an adapter of the configuration cannot be used")]
    AdapterUrl(#[from] adapters::UrlError),
    /// The replicated log did not start.
    #[error("the replicated log did not start")]
    Replica(#[from] raft::StartError),
    /// A listener failed while serving.
    #[error("the {0} failed")]
    Serving(&'static str, #[source] std::io::Error),
    /// The replicated log stopped by itself, most likely over its storage.
    #[error("the replicated log stopped by itself; the log above says why")]
    ReplicaStopped,
}

/// Runs a coordinator until `shutdown` resolves.
///
/// # Errors
/// [`NodeError`]; nothing is left half-started.
pub async fn run(config: CoordinatorConfig, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
    tls::install_provider();
    let node = config.node;
    let cluster_id = config.cluster_id.as_str().to_owned();
    let material = TlsMaterial::load(&TlsFiles {
        ca: config.tls.ca.clone(),
        certificate: config.tls.certificate.clone(),
        key: config.tls.key.clone(),
    })?;
    material.require(&Identity { cluster_id: cluster_id.clone(), peer: PeerIdentity::Node(node) })?;
    let tokens = Tokens::new(config.tokens.iter().map(|t| (t.name.clone(), t.sha256)));
    let adapters = Arc::new(Adapters::from_specs(adapters::specs(&config.adapters)?)?);
    let cluster_listener = http::bind("cluster listener", config.listen.cluster)?;
    let api_listener = http::bind("operators' listener", config.listen.api)?;

    let nodes: BTreeMap<NodeId, SocketAddr> =
        config.nodes.iter().map(|(id, node)| (*id, node.cluster)).collect();
    let peer_client = material.peer_client(&nodes, ClientOptions::default())?;
    let peers = Peers::new(peer_client.clone(), &cluster_id, nodes.clone());
    let members = nodes.iter().map(|(id, address)| (*id, address.to_string())).collect();
    let data_dir = &config.data_dir;
    let ports: BTreeMap<NodeId, u16> = nodes.iter().map(|(id, address)| (*id, address.port())).collect();
    let named = cluster_id.clone();
    let transport = HttpTransport::new(peer_client)
        .with_urls(move |id, _| tls::node_url(&named, id, ports.get(&id).copied().unwrap_or_default()));
    let mut options = ReplicaOptions::new(node, cluster_id.clone(), data_dir, members, transport);
    options.timings = RaftTimings {
        heartbeat: config.raft.heartbeat,
        election_min: config.raft.election_min,
        election_max: config.raft.election_max,
    };
    let replica = Replica::start(options).await?;

    let limits = GroupLimits {
        adapters: config.adapters.keys().cloned().collect(),
        power: adapters.with_power().cloned().collect(),
        balancers: adapters.with_backend_pools().cloned().collect(),
        hooks: config.hooks.keys().cloned().collect(),
        shortest_lease: config.raft.shortest_lease(),
    };
    let known = replica.state();
    if known.groups.is_empty() {
        // They are about to be declared.
        config.groups.iter().for_each(|group| limits.warn(group));
    }
    known.groups.values().for_each(|group| limits.warn(&group.spec));

    let (control, mut control_tasks) = control_loop::start(control_loop::Options {
        replica: replica.clone(),
        peers: peers.clone(),
        vantages: nodes.keys().copied().collect::<BTreeSet<_>>(),
        adapters: adapters.clone(),
        hooks: config.hooks.clone(),
        probe_cluster: material.probe_client(Trust::Cluster)?,
        probe_any: material.probe_client(Trust::Any)?,
        seed: control_loop::Seed { groups: config.groups, pools: config.pools },
    });

    let preflights = Preflights::new(preflight::Options {
        nodes,
        replica: replica.clone(),
        control: control.clone(),
        peers: peers.clone(),
        adapters: adapters.clone(),
        hooks: config.hooks,
        limits: limits.clone(),
        nics: adapters::nics(&config.adapters),
    });
    let api = ApiState::new(
        Node { replica: replica.clone(), control, limits, adapters, preflights },
        tokens,
        peers,
    );
    let (stop, stopping) = watch::channel(false);
    let raft_routes = raft::server::router(replica.clone());
    let cluster = http::serve_cluster(
        api.clone(),
        raft_routes,
        cluster_listener,
        material.mutual_server_config(),
        stopped(stopping.clone()),
    );
    let operators = http::serve_api(api, api_listener, material.server_config(), stopped(stopping));
    let mut cluster = tokio::spawn(cluster);
    let mut operators = tokio::spawn(operators);
    info!(
        %node,
        cluster = %config.listen.cluster,
        operators = %config.listen.api,
        version = env!("CARGO_PKG_VERSION"),
        "coordinator started"
    );

    let ended = tokio::select! {
        () = shutdown => Ok(()),
        ended = &mut cluster => Err(serving_ended("cluster listener", ended)),
        ended = &mut operators => Err(serving_ended("operators' listener", ended)),
        () = replica.stopped() => Err(NodeError::ReplicaStopped),
    };
    match &ended {
        Ok(()) => info!(%node, "stopping"),
        Err(cause) => error!(%node, %cause, "stopping"),
    }
    replica.shutdown().await;
    control_tasks.shutdown().await;
    // Nobody listening any more is as good as stopped.
    let _ = stop.send(true);
    let _ = tokio::time::timeout(GRACE, async {
        if !cluster.is_finished() {
            let _ = (&mut cluster).await;
        }
        if !operators.is_finished() {
            let _ = (&mut operators).await;
        }
    })
    .await;
    info!(%node, "stopped");
    ended
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the node.
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn serving_ended(
    what: &'static str,
    ended: Result<std::io::Result<()>, tokio::task::JoinError>,
) -> NodeError {
    let cause = match ended {
        Ok(Ok(())) => std::io::Error::other("it ended unasked"),
        Ok(Err(error)) => error,
        Err(error) => std::io::Error::other(error),
    };
    NodeError::Serving(what, cause)
}
