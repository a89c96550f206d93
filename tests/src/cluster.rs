//! A cluster of real processes, made by the product's own `init`.

mod cli;
mod processes;

pub use processes::Watched;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use config::coordinator::{Node, RaftTiming};
use coordinator::init::{self, AgentOptions, InitOptions, InitReport};
use coordinator_core::ids::{ApplianceName, NodeId};

use crate::api::{self, Api};
use crate::groups;
use crate::loop_disk::MARK;
use crate::netns::{INTERFACE, Network};
use crate::process::{self, Process};

/// Loopback addresses that are looked at for one that nobody uses.
const ADDRESSES_TRIED: u32 = 100;

/// What the names of logs end with.
const LOG: &str = "log";

/// The host on which operators and clients are.
const CLIENT: &str = "client";

/// The clocks of a cluster's files.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// Raft's.
    pub raft: RaftTiming,
    /// From one report of an agent to the next; a short lease makes it shorter.
    pub report_interval: Duration,
}

impl Default for Clocks {
    fn default() -> Self {
        Clocks { raft: RaftTiming::default(), report_interval: Duration::from_millis(200) }
    }
}

/// Three coordinators and maybe agents; dropping it kills them all.
#[derive(Debug)]
pub struct Cluster {
    // First the processes end, then their network and their files go.
    coordinators: BTreeMap<NodeId, Process>,
    agents: BTreeMap<String, Process>,
    http: reqwest::Client,
    made: InitReport,
    nodes: BTreeMap<NodeId, Node>,
    network: Option<Network>,
    dir: tempfile::TempDir,
}

impl Cluster {
    /// Three coordinators on loopback with `groups`. Nothing is started yet.
    ///
    /// # Errors
    /// When `init` refuses.
    pub fn on_loopback(groups: &str) -> Result<Cluster> {
        Cluster::make(loopback_nodes()?, &[], groups, None, Clocks::default())
    }

    /// The same with an agent of each of these appliances, on loopback as well. They hold no VIPs.
    ///
    /// # Errors
    /// When `init` refuses.
    pub fn on_loopback_with(groups: &str, agents: &[&str]) -> Result<Cluster> {
        Cluster::make(loopback_nodes()?, agents, groups, None, Clocks::default())
    }

    /// Coordinators on the hosts `c1` to `c3`, an agent on each of `fw-a` and `fw-b`, and an
    /// operator on `client`. Nothing is started yet.
    ///
    /// # Errors
    /// When `init` refuses.
    pub fn on_network(network: Network, groups: &str) -> Result<Cluster> {
        Cluster::on_network_with(network, groups, Clocks::default())
    }

    /// Like [`on_network`](Self::on_network), with other clocks.
    ///
    /// # Errors
    /// When `init` refuses.
    pub fn on_network_with(network: Network, groups: &str, clocks: Clocks) -> Result<Cluster> {
        let mut nodes = BTreeMap::new();
        for id in 1..=3 {
            let ip = IpAddr::V4(network.address(&host_of(NodeId(id)))?);
            let at = |port| SocketAddr::new(ip, port);
            nodes.insert(NodeId(id), Node { cluster: at(init::CLUSTER_PORT), api: at(init::API_PORT) });
        }
        Cluster::make(nodes, &["fw-a", "fw-b"], groups, Some(network), clocks)
    }

    fn make(
        nodes: BTreeMap<NodeId, Node>,
        agents: &[&str],
        groups: &str,
        network: Option<Network>,
        clocks: Clocks,
    ) -> Result<Cluster> {
        coordinator_api::tls::install_provider();
        let dir = tempfile::Builder::new().prefix(&format!("{MARK}{}-", std::process::id())).tempdir()?;
        let mut options = InitOptions::new(dir.path().join("cluster"));
        options.nodes = nodes.clone();
        options.data_dir = PathBuf::from("data");
        options.raft = clocks.raft;
        options.declarations = groups.to_owned();
        for name in agents {
            let mut agent = AgentOptions::new(ApplianceName::new(*name)?);
            agent.interfaces = vec![INTERFACE.to_owned()];
            agent.report_interval = clocks.report_interval;
            agent.state_dir = PathBuf::from("state");
            if let Some(network) = &network {
                agent.peer_listen = vec![SocketAddr::new(network.address(name)?.into(), groups::PEER)];
            }
            options.agents.push(agent);
        }
        let made = init::run(&options)?;
        let http = api::client(&made.ca)?;
        let (coordinators, agents) = (BTreeMap::new(), BTreeMap::new());
        Ok(Cluster { coordinators, agents, http, made, nodes, network, dir })
    }

    /// Where logs and everything else is.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What `init` made.
    pub fn made(&self) -> &InitReport {
        &self.made
    }

    /// The network, for a cluster on one.
    ///
    /// # Errors
    /// On loopback.
    pub fn network(&self) -> Result<&Network> {
        self.network.as_ref().context("this cluster is on loopback")
    }

    /// All coordinators, running or not.
    pub fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Where a coordinator listens.
    ///
    /// # Errors
    /// When there is no such coordinator.
    pub fn node(&self, id: NodeId) -> Result<Node> {
        self.nodes.get(&id).copied().with_context(|| format!("no node {id}"))
    }

    /// A coordinator's configuration.
    ///
    /// # Errors
    /// When there is no such coordinator.
    pub fn config_of(&self, id: NodeId) -> Result<&Path> {
        self.made.nodes.get(&id).map(PathBuf::as_path).with_context(|| format!("no node {id}"))
    }

    /// Where a coordinator keeps its data.
    ///
    /// # Errors
    /// When there is no such coordinator.
    pub fn data_dir_of(&self, id: NodeId) -> Result<PathBuf> {
        Ok(self.config_of(id)?.with_file_name("data"))
    }

    /// Where an agent keeps its state.
    ///
    /// # Errors
    /// When there is no such agent.
    pub fn state_dir_of(&self, appliance: &str) -> Result<PathBuf> {
        Ok(self.agent_config_of(appliance)?.with_file_name("state"))
    }

    /// An agent's configuration.
    ///
    /// # Errors
    /// When there is no such agent.
    pub fn agent_config_of(&self, appliance: &str) -> Result<&Path> {
        let config = self.made.agents.get(&ApplianceName::new(appliance)?);
        config.map(PathBuf::as_path).with_context(|| format!("no agent of {appliance}"))
    }

    /// Changes the text of an agent's configuration, for its next start.
    ///
    /// # Errors
    /// When there is no such agent, or its file cannot be read or written.
    pub fn configure_agent(&self, appliance: &str, change: impl FnOnce(String) -> String) -> Result<()> {
        let file = self.agent_config_of(appliance)?;
        let text = std::fs::read_to_string(file)?;
        Ok(std::fs::write(file, change(text))?)
    }

    /// A client of one coordinator, for whoever can reach it: for a cluster on a network, a thread
    /// [on a host](Network::enter).
    ///
    /// # Errors
    /// When there is no such coordinator.
    pub fn api(&self, id: NodeId) -> Result<Api> {
        let base = format!("https://{}", self.node(id)?.api);
        Ok(Api::new(self.http.clone(), base, self.made.token.expose().to_owned()))
    }

    /// Adds the ends of all logs to an error, those of killed processes included.
    ///
    /// # Errors
    /// The outcome's.
    pub fn explain<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let files = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
            let mut logs: Vec<_> = files.map(|file| file.path()).collect();
            logs.retain(|path| path.extension().is_some_and(|extension| extension == LOG));
            logs.sort();
            let tails: String = logs.iter().map(|log| process::tail(log)).collect();
            anyhow::anyhow!("{error:#}\n{tails}")
        })
    }

    /// The binary under test, on a host if there are any.
    fn pointsman(&self, host: &str) -> Command {
        let mut command = match &self.network {
            Some(network) => network.command(host, &program()),
            None => Command::new(program()),
        };
        // A line for each request of each agent would leave nothing else in the ends of the logs.
        command.env("POINTSMAN_LOG", "info,openraft=warn,coordinator::http::edge=warn");
        command.env_remove(config::cli::TOKEN_VARIABLE).env("NO_COLOR", "1");
        command
    }
}

/// The binary under test. Cargo names it to test targets only. To this library it is the sibling
/// of the program that runs, or of the directory that test targets are in.
pub fn program() -> PathBuf {
    const NAME: &str = "pointsman-under-test";
    let own = std::env::current_exe().unwrap_or_default();
    let sibling = own.with_file_name(NAME);
    if sibling.exists() {
        return sibling;
    }
    own.parent().and_then(Path::parent).unwrap_or(Path::new("")).join(NAME)
}

/// Three coordinators on loopback addresses of their own.
///
/// Not on 127.0.0.1: connections are made *from* there, and so could take the port of a
/// coordinator while it is down.
fn loopback_nodes() -> Result<BTreeMap<NodeId, Node>> {
    static CLUSTERS: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(31).wrapping_add(CLUSTERS.fetch_add(1, Ordering::Relaxed));
    for candidate in 0..ADDRESSES_TRIED {
        let [_, _, high, low] = first.wrapping_add(candidate).to_be_bytes();
        let at = |host, port| SocketAddr::from(([127, high.max(1), low, host], port));
        let node = |host| Node { cluster: at(host, init::CLUSTER_PORT), api: at(host, init::API_PORT) };
        let nodes: BTreeMap<_, _> = (1..=3).map(|host| (NodeId(u64::from(host)), node(host))).collect();
        let free = |node: &Node| [node.cluster, node.api].iter().all(|at| TcpListener::bind(at).is_ok());
        if nodes.values().all(free) {
            return Ok(nodes);
        }
    }
    bail!("found no loopback addresses to listen on")
}

/// Ports that were free a moment ago, all different.
///
/// # Errors
/// When there are none.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until the last one is known, so none comes twice.
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// The host of a coordinator, on a network.
pub fn host_of(id: NodeId) -> String {
    format!("c{id}")
}
