//! `pointsman init`: a new cluster's authority, certificates, configurations and first token.
//!
//! Everything is built in a directory beside the target, read back as the daemons will read it,
//! and then renamed into place: there is a whole cluster or none.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::coordinator::{Node, RaftTiming};
use config::{ClusterId, ConfigFaults};
use coordinator_api::tls::TlsError;
use coordinator_core::ids::{ApplianceName, NodeId};

mod authority;
mod layout;
mod secret;
#[cfg(test)]
mod tests;

/// Default port of the operators' listener.
pub const API_PORT: u16 = 7400;
/// Default port of the cluster listener.
pub const CLUSTER_PORT: u16 = 7401;

/// What a new cluster shall be.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Where everything is written. Must not exist, or be empty.
    pub dir: PathBuf,
    /// What people call the cluster.
    pub name: String,
    /// The coordinators' addresses. One to nine; three or five is what to use.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Appliances that run an agent.
    pub agents: Vec<AgentOptions>,
    /// Raft's clocks.
    pub raft: RaftTiming,
    /// Where each coordinator keeps its data. A relative path is relative to its configuration.
    pub data_dir: PathBuf,
    /// The first token's name: the actor in the history.
    pub token_name: String,
    /// Adapters and the first groups, as TOML, for every coordinator's file. May be empty.
    pub declarations: String,
}

impl InitOptions {
    /// Nothing but a directory: no nodes yet, and every other option at its default.
    pub fn new(dir: impl Into<PathBuf>) -> InitOptions {
        InitOptions {
            dir: dir.into(),
            name: "pointsman".to_owned(),
            nodes: BTreeMap::new(),
            agents: Vec::new(),
            raft: RaftTiming::default(),
            data_dir: PathBuf::from("/var/lib/pointsman"),
            token_name: "admin".to_owned(),
            declarations: String::new(),
        }
    }
}

/// An appliance that runs an agent.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Its name.
    pub appliance: ApplianceName,
    /// Its own address, for its certificate, which carries that of `health` as well.
    pub address: Option<std::net::IpAddr>,
    /// On which interfaces VIPs may be added.
    pub interfaces: Vec<String>,
    /// From one report to the next.
    pub report_interval: Duration,
    /// Where the health endpoint listens.
    pub health: Option<SocketAddr>,
    /// Where it listens for the group's other appliances.
    pub peer_listen: Vec<SocketAddr>,
    /// Where the highest token is kept. A relative path is relative to the configuration.
    pub state_dir: PathBuf,
}

impl AgentOptions {
    /// An agent with every option at its default, and no interface.
    pub fn new(appliance: ApplianceName) -> AgentOptions {
        AgentOptions {
            appliance,
            address: None,
            interfaces: Vec::new(),
            report_interval: Duration::from_millis(100),
            health: None,
            peer_listen: Vec::new(),
            state_dir: PathBuf::from("/var/lib/nva-agent"),
        }
    }
}

/// What was made.
#[derive(Debug, Clone)]
pub struct InitReport {
    /// The new cluster.
    pub cluster_id: ClusterId,
    /// The first token. This is the only place where it ever stands.
    pub token: FirstToken,
    /// Each coordinator's configuration.
    pub nodes: BTreeMap<NodeId, PathBuf>,
    /// Each agent's configuration.
    pub agents: BTreeMap<ApplianceName, PathBuf>,
    /// The command line's configuration.
    pub cli: PathBuf,
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The authority's key. Whoever has it can join the cluster: keep it off the machines.
    pub ca_key: PathBuf,
}

/// A token in the clear, to be shown once. Debug output does not show it.
#[derive(Clone)]
pub struct FirstToken(String);

impl FirstToken {
    /// The text to give to the operator.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FirstToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstToken(not shown)")
    }
}

/// Why no cluster was made. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The target has something in it.
    #[error(
        "{dir} exists and is not empty; choose another directory, or remove it if that cluster is not needed"
    )]
    Exists {
        /// The target.
        dir: PathBuf,
    },
    /// No coordinator was named.
    #[error("a cluster needs one coordinator or more, and three to survive the loss of one")]
    NoNodes,
    /// Two agents for one appliance.
    #[error("the appliance {0} was named twice")]
    AgentTwice(ApplianceName),
    /// A file could not be written.
    #[error("could not write {path}")]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate could not be issued.
    #[error("could not issue the certificate of {subject}")]
    Issue {
        /// For whom.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// The operating system gave no random bits.
    #[error("could not draw random bits from the operating system")]
    Random(#[source] rand::rngs::SysError),
    /// The options make a configuration that the daemons would refuse.
    #[error("the configuration would be refused:\n{0}")]
    Config(ConfigFaults),
    /// The certificates do not fit: a fault of this program.
    #[error("could not load the certificates just made")]
    Tls(#[source] TlsError),
}

/// Makes a new cluster. Blocks on the disk.
///
/// # Errors
/// [`InitError`]; nothing is left behind then.
pub fn run(options: &InitOptions) -> Result<InitReport, InitError> {
    if options.nodes.is_empty() {
        return Err(InitError::NoNodes);
    }
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = options.agents.iter().find(|a| !names.insert(&a.appliance)) {
        return Err(InitError::AgentTwice(twice.appliance.clone()));
    }
    refuse_occupied(&options.dir)?;
    let staging = layout::Staging::create(&options.dir)?;
    let cluster_id = ClusterId::from_bits(u128::from_ne_bytes(secret::random()?));
    let token = secret::token()?;
    layout::write(staging.path(), options, &cluster_id, &token)?;
    layout::read_back(staging.path(), options)?;
    staging.rename_to(&options.dir)?;
    Ok(report(options, cluster_id, token))
}

fn refuse_occupied(dir: &Path) -> Result<(), InitError> {
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(InitError::Exists { dir: dir.to_owned() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(InitError::Write { path: dir.to_owned(), source }),
    }
}

fn report(options: &InitOptions, cluster_id: ClusterId, token: FirstToken) -> InitReport {
    let dir = &options.dir;
    let node = |id: &NodeId| (*id, dir.join(layout::node_dir(*id)).join(layout::NODE_FILE));
    let agent = |a: &AgentOptions| {
        (a.appliance.clone(), dir.join(layout::agent_dir(&a.appliance)).join(layout::AGENT_FILE))
    };
    InitReport {
        cluster_id,
        token,
        nodes: options.nodes.keys().map(node).collect(),
        agents: options.agents.iter().map(agent).collect(),
        cli: dir.join(layout::CLI_FILE),
        ca: dir.join(layout::CA_CERTIFICATE),
        ca_key: dir.join(layout::CA_KEY),
    }
}
