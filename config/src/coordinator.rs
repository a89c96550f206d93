//! The configuration of a coordinator: `pointsman.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordinator_core::ids::{AdapterName, HookName, NodeId};
use coordinator_core::model::GroupSpec;
use coordinator_core::pool::PoolSpec;

use crate::cluster_id::ClusterId;
use crate::decode::{Report, Secret, Table};
use crate::duration::Span;
use crate::fault::ConfigFaults;
use crate::groups;
use crate::pools;
use crate::tls::TlsPaths;

mod azure;
mod check;
mod hooks;

pub use hooks::{HOOK_TIMEOUT, Hook, MAX_HOOK_ARGUMENTS};

pub use azure::{AzureApplication, AzureCloud, AzureConfig, AzureIdentity, SecretPlace};

/// Most coordinators of a cluster. Each one more makes a commit slower; seven survive three losses.
pub const MAX_NODES: usize = 9;

/// A coordinator's configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// The cluster that this coordinator is a member of.
    pub cluster_id: ClusterId,
    /// This coordinator: a key of `nodes`.
    pub node: NodeId,
    /// Where it keeps its log, its state and its history. Absolute or relative to the file.
    pub data_dir: PathBuf,
    /// Its certificate.
    pub tls: TlsPaths,
    /// Where it listens.
    pub listen: Listen,
    /// All coordinators, this one included.
    pub nodes: BTreeMap<NodeId, Node>,
    /// How fast a dead leader is noticed.
    pub raft: RaftTiming,
    /// Who may use the operators' API.
    pub tokens: Vec<ApiToken>,
    /// Connections to clouds, by name.
    pub adapters: BTreeMap<AdapterName, AdapterKind>,
    /// Programs that switch appliances off, by name.
    pub hooks: BTreeMap<HookName, Hook>,
    /// The first groups. They go into the log when the cluster is formed, and never again:
    /// afterwards `pointsman apply` changes groups.
    pub groups: Vec<GroupSpec>,
    /// The first pools, likewise.
    pub pools: Vec<PoolSpec>,
}

/// Where a coordinator listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// For coordinators and agents, with mutual TLS. Default: the node's own address.
    pub cluster: SocketAddr,
    /// For operators. Default: the node's own address.
    pub api: SocketAddr,
}

/// Where the others reach a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// For coordinators and agents.
    pub cluster: SocketAddr,
    /// For operators, and for requests that a follower forwards.
    pub api: SocketAddr,
}

/// Raft's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftTiming {
    /// From one heartbeat of the leader to the next. Default 50 ms, 10 ms to 10 s.
    pub heartbeat: Duration,
    /// The shortest election timeout. Default 150 ms; at least two heartbeats.
    pub election_min: Duration,
    /// The longest election timeout. Default 300 ms; longer than the shortest.
    pub election_max: Duration,
}

impl Default for RaftTiming {
    fn default() -> Self {
        RaftTiming {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
        }
    }
}

impl RaftTiming {
    /// The shortest lease with which a healthy active keeps its VIPs while the leader changes:
    /// the old leader's grants count from its last quorum, a new one is elected within two of
    /// the longest election timeouts, and 100 ms are for the vote and the agent's next renewal.
    pub fn shortest_lease(&self) -> Duration {
        self.election_max * 2 + Duration::from_millis(100)
    }
}

/// A token that an operator shows. Only its hash is known here.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Whose it is: stands in the history as the actor.
    pub name: String,
    /// SHA-256 of the token's text.
    pub sha256: [u8; 32],
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A kind of cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdapterKind {
    /// The simulated cloud of the demo and the tests.
    Simulated {
        /// Its base URL, `http://` on a loopback address.
        url: String,
    },
    /// Azure.
    Azure(Box<AzureConfig>),
}

impl AdapterKind {
    /// Whether it fills backend pools of load balancers.
    pub fn fills_backend_pools(&self) -> bool {
        matches!(self, AdapterKind::Azure(_))
    }

    /// Whether it can power machines off, so that an appliance may be fenced by it.
    pub fn powers_off(&self) -> bool {
        match self {
            AdapterKind::Simulated { .. } | AdapterKind::Azure(_) => true,
        }
    }
}

/// Reads and checks a coordinator's configuration.
///
/// # Errors
/// [`ConfigFaults`] with everything that is wrong.
pub fn load(path: &Path) -> Result<CoordinatorConfig, ConfigFaults> {
    let report = Report::open(path)?;
    read(&report)
}

pub(crate) fn read(report: &Report) -> Result<CoordinatorConfig, ConfigFaults> {
    let document = report.document()?;
    let config = Table::read_file(report, &document, |file| config(report, file));
    report.finish(config)
}

fn config(report: &Report, file: &mut Table<'_>) -> Option<CoordinatorConfig> {
    let cluster = file.required_table("cluster", |t| {
        let (id, node) = (t.required("id"), t.required("node"));
        let data_dir = t.required::<PathBuf>("data_dir");
        Some((id?, node?, report.directory().join(data_dir?)))
    });
    let node_id = cluster.as_ref().and_then(|c| c.as_ref()).map(|c| c.1);
    let tls = file.required_table("tls", |t| TlsPaths::read(report, t));
    let nodes = check::nodes(file, node_id);
    let own = nodes.as_ref().and_then(|all| all.get(&node_id?)).copied();
    let listen = listen(file, own);
    let raft = file.table("raft", raft).unwrap_or_else(|| Some(RaftTiming::default()));
    let tokens = check::tokens(file);
    let adapters = check::adapters(report, file);
    let hooks = hooks::hooks(file);
    let known_adapters = adapters.as_ref().map(|all| all.keys().cloned().collect());
    let known_hooks = hooks.as_ref().map(|all| all.keys().cloned().collect());
    let able = |can: fn(&AdapterKind) -> bool| {
        let all = adapters.as_ref()?;
        Some(all.iter().filter(|(_, kind)| can(kind)).map(|(name, _)| name.clone()).collect())
    };
    let power = able(AdapterKind::powers_off);
    let balancers = able(AdapterKind::fills_backend_pools);
    let known = groups::Known {
        adapters: known_adapters.as_ref(),
        power: power.as_ref(),
        hooks: known_hooks.as_ref(),
        balancers: balancers.as_ref(),
    };
    let groups = groups::read(report, file, known);
    let pools = pools::read(report, file, known, groups.as_deref().unwrap_or_default());
    if let (Some(groups), Some(raft)) = (&groups, &raft) {
        check::leases(report, file, groups, raft);
    }
    let (cluster_id, node, data_dir) = cluster??;
    Some(CoordinatorConfig {
        file: report.file().to_owned(),
        cluster_id,
        node,
        data_dir,
        tls: tls??,
        listen: listen?,
        nodes: nodes?,
        raft: raft?,
        tokens: tokens?,
        adapters: adapters?,
        hooks: hooks?,
        groups: groups?,
        pools: pools?,
    })
}

fn listen(file: &mut Table<'_>, own: Option<Node>) -> Option<Listen> {
    let (cluster, api) = file
        .table("listen", |t| {
            let (cluster, api) = (t.optional::<SocketAddr>("cluster"), t.optional::<SocketAddr>("api"));
            if cluster.is_some() && cluster == api {
                t.fault(
                    "api",
                    &format!("{:?}", api.map(|a| a.to_string()).unwrap_or_default()),
                    "must differ from listen.cluster",
                );
            }
            (cluster, api)
        })
        .unwrap_or_default();
    Some(Listen { cluster: cluster.or(own.map(|n| n.cluster))?, api: api.or(own.map(|n| n.api))? })
}

/// `None` when one of them cannot be read: comparing the others with a default would only confuse.
fn raft(t: &mut Table<'_>) -> Option<RaftTiming> {
    let default = RaftTiming::default();
    let heartbeat = t.defaulted("heartbeat", default.heartbeat);
    let election_min = t.defaulted("election_min", default.election_min);
    let election_max = t.defaulted("election_max", default.election_max);
    let (heartbeat, election_min, election_max) = (heartbeat?, election_min?, election_max?);
    let (low, high) = (Duration::from_millis(10), Duration::from_secs(10));
    if !(low..=high).contains(&heartbeat) {
        t.fault("heartbeat", &Span(heartbeat).to_string(), "must be from 10ms to 10s");
    }
    if election_min < heartbeat * 2 {
        let rule = format!(
            "must be at least twice raft.heartbeat ({}), \
             so that one late heartbeat does not cost a leader its office",
            Span(heartbeat)
        );
        t.fault("election_min", &Span(election_min).to_string(), &rule);
    }
    if election_max <= election_min {
        let rule = format!(
            "must be longer than raft.election_min ({}), or candidates vote in step",
            Span(election_min)
        );
        t.fault("election_max", &Span(election_max).to_string(), &rule);
    }
    Some(RaftTiming { heartbeat, election_min, election_max })
}

/// The hash behind a token.
fn token(t: &mut Table<'_>) -> Option<ApiToken> {
    let (name, sha256) = (t.required("name"), t.required::<Secret>("sha256"));
    Some(ApiToken { name: name?, sha256: sha256?.0 })
}
