//! A cluster of real processes, made by the product's own `init`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use config::coordinator::Node;
use coordinator::init::{self, AgentOptions, InitOptions, InitReport};
use coordinator_api::v1::ClusterStatus;
use coordinator_core::ids::{ApplianceName, NodeId};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;

use crate::api::{self, Api};
use crate::command::{self, Finished};
use crate::netns::{INTERFACE, Network};
use crate::process::{self, Process};
use crate::wait::{self, Look};

/// How long one call of the command line may take: it waits for what it started.
const CLI_DEADLINE: Duration = Duration::from_secs(60);

/// From one report of an agent to the next.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// No process outlives a test, even one that is killed.
const END_WITH_STDIN: &str = coordinator::demo::process::FLAG;

/// What the names of logs end with.
const LOG: &str = "log";

/// The host on which operators and clients are.
const CLIENT: &str = "client";

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

/// A helper that writes records.
#[derive(Debug)]
pub struct Watched {
    records: PathBuf,
    _process: Process,
}

impl Watched {
    /// The file with the records written so far.
    pub fn records(&self) -> &Path {
        &self.records
    }
}

impl Cluster {
    /// Three coordinators on loopback with `groups`. Nothing is started yet.
    ///
    /// # Errors
    /// When `init` refuses.
    pub fn on_loopback(groups: &str) -> Result<Cluster> {
        let ports = free_ports(6)?;
        let at = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        let pairs = ports.chunks_exact(2).map(|pair| Node { cluster: at(&pair[0]), api: at(&pair[1]) });
        Cluster::make((1..).map(NodeId).zip(pairs).collect(), &[], groups, None)
    }

    /// Coordinators on the hosts `c1` to `c3`, an agent on each of `fw-a` and `fw-b`, and an
    /// operator on `client`. Nothing is started yet.
    ///
    /// # Errors
    /// When `init` refuses.
    pub fn on_network(network: Network, groups: &str) -> Result<Cluster> {
        let mut nodes = BTreeMap::new();
        for id in 1..=3 {
            let ip = IpAddr::V4(network.address(&host_of(NodeId(id)))?);
            let at = |port| SocketAddr::new(ip, port);
            nodes.insert(NodeId(id), Node { cluster: at(init::CLUSTER_PORT), api: at(init::API_PORT) });
        }
        Cluster::make(nodes, &["fw-a", "fw-b"], groups, Some(network))
    }

    fn make(
        nodes: BTreeMap<NodeId, Node>,
        agents: &[&str],
        groups: &str,
        network: Option<Network>,
    ) -> Result<Cluster> {
        coordinator_api::tls::install_provider();
        let dir = tempfile::Builder::new().prefix("pointsman-test-").tempdir()?;
        let mut options = InitOptions::new(dir.path().join("cluster"));
        options.nodes = nodes.clone();
        options.data_dir = PathBuf::from("data");
        options.declarations = groups.to_owned();
        for name in agents {
            let mut agent = AgentOptions::new(ApplianceName::new(*name)?);
            agent.interfaces = vec![INTERFACE.to_owned()];
            agent.report_interval = REPORT_INTERVAL;
            agent.state_dir = PathBuf::from("state");
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

    /// A client of one coordinator, for a cluster on loopback.
    ///
    /// # Errors
    /// When there is no such coordinator.
    pub fn api(&self, id: NodeId) -> Result<Api> {
        let base = format!("https://{}", self.node(id)?.api);
        Ok(Api::new(self.http.clone(), base, self.made.token.expose().to_owned()))
    }

    /// Starts all coordinators.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start_coordinators(&mut self) -> Result<()> {
        self.node_ids().into_iter().try_for_each(|id| self.start_coordinator(id))
    }

    /// Starts a coordinator, and does not wait for anything.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_coordinator(&mut self, id: NodeId) -> Result<()> {
        let mut command = self.pointsman(&host_of(id));
        command.args(["serve", END_WITH_STDIN, "--config"]).arg(self.config_of(id)?);
        let process = self.start(&format!("coordinator-{id}"), &mut command)?;
        self.coordinators.insert(id, process);
        Ok(())
    }

    /// Kills a coordinator as a power cut would.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill_coordinator(&mut self, id: NodeId) -> Result<()> {
        self.coordinators.remove(&id).with_context(|| format!("coordinator {id} is not running"))?.kill()
    }

    /// Takes a coordinator's process out of the cluster's hands: it ends with what is returned.
    ///
    /// # Errors
    /// When it is not running.
    pub fn take_coordinator(&mut self, id: NodeId) -> Result<Process> {
        self.coordinators.remove(&id).with_context(|| format!("coordinator {id} is not running"))
    }

    /// Asks a coordinator to stop and waits until it has.
    ///
    /// # Errors
    /// When it is not running, or ends otherwise than as asked.
    pub fn stop_coordinator(&mut self, id: NodeId) -> Result<()> {
        let mut process = self.take_coordinator(id)?;
        process.signal(Signal::SIGTERM)?;
        let status = process.ended()?;
        if !status.success() {
            bail!("coordinator {id} ended with {status}\n{}", process.log_tail());
        }
        Ok(())
    }

    /// Starts all agents.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start_agents(&mut self) -> Result<()> {
        let names: Vec<_> = self.made.agents.keys().map(ToString::to_string).collect();
        names.iter().try_for_each(|name| self.start_agent(name))
    }

    /// Starts the agent of an appliance.
    ///
    /// # Errors
    /// When there is none, or the process cannot be started.
    pub fn start_agent(&mut self, appliance: &str) -> Result<()> {
        let name = ApplianceName::new(appliance)?;
        let config = self.made.agents.get(&name).with_context(|| format!("no agent of {name}"))?;
        let mut command = self.pointsman(appliance);
        command.args(["agent", END_WITH_STDIN, "--config"]).arg(config);
        let process = self.start(&format!("agent-{appliance}"), &mut command)?;
        self.agents.insert(appliance.to_owned(), process);
        Ok(())
    }

    /// Kills an agent as a power cut would.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill_agent(&mut self, appliance: &str) -> Result<()> {
        self.agents.remove(appliance).with_context(|| format!("no agent on {appliance}"))?.kill()
    }

    /// The agent's process, for signals.
    ///
    /// # Errors
    /// When it is not running.
    pub fn agent(&self, appliance: &str) -> Result<&Process> {
        self.agents.get(appliance).with_context(|| format!("no agent on {appliance}"))
    }

    /// A coordinator's process, for signals.
    ///
    /// # Errors
    /// When it is not running.
    pub fn coordinator(&self, id: NodeId) -> Result<&Process> {
        self.coordinators.get(&id).with_context(|| format!("coordinator {id} is not running"))
    }

    /// Starts every coordinator and agent that was killed.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start_missing(&mut self) -> Result<()> {
        for id in self.node_ids() {
            if !self.coordinators.contains_key(&id) {
                self.start_coordinator(id)?;
            }
        }
        let agents: Vec<_> = self.made.agents.keys().map(ToString::to_string).collect();
        for name in agents {
            if !self.agents.contains_key(&name) {
                self.start_agent(&name)?;
            }
        }
        Ok(())
    }

    /// Lets every process go on that was stopped by a signal.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn wake_all(&self) -> Result<()> {
        self.coordinators.values().chain(self.agents.values()).try_for_each(|p| p.signal(Signal::SIGCONT))
    }

    /// Fails if a process has ended that nobody killed.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.coordinators.values_mut().chain(self.agents.values_mut()).try_for_each(Process::check)
    }

    /// Runs the operator's command line to its end.
    ///
    /// # Errors
    /// When it takes too long. A refusal is in the result.
    pub fn cli(&self, args: &[&str]) -> Result<Finished> {
        command::run(self.cli_command().args(args), CLI_DEADLINE)
    }

    /// Runs the operator's command line with `--output json`, and reads what it prints.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn cli_json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let done = self.cli(&[args, &["--output", "json"]].concat())?;
        if !done.status.success() {
            bail!("pointsman {} failed ({}): {}", args.join(" "), done.status, done.output().trim());
        }
        serde_json::from_str(&done.stdout).with_context(|| format!("not what was expected: {}", done.stdout))
    }

    /// The operator's command line, with the cluster and the token set.
    pub fn cli_command(&self) -> Command {
        let mut command = self.pointsman(CLIENT);
        command
            .arg("--context")
            .arg(&self.made.cli)
            .env(config::cli::TOKEN_VARIABLE, self.made.token.expose());
        command
    }

    /// Waits until somebody leads, and says who.
    ///
    /// # Errors
    /// When nobody leads for too long.
    pub fn leader(&self) -> Result<NodeId> {
        wait::until("somebody leads", || {
            let status: Result<ClusterStatus> = self.cli_json(&["status"]);
            Ok(match status.map(|status| status.leader) {
                Ok(Some(leader)) => Look::Yes(leader),
                Ok(None) => Look::NotYet("nobody leads".to_owned()),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })
    }

    /// Starts a helper on a host of the network.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, host: &str, name: &str, program: &Path, args: &[&str]) -> Result<Process> {
        self.start(&format!("{name}-{host}"), self.network()?.command(host, program).args(args))
    }

    /// Starts a helper that writes records.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn watch(&self, host: &str, name: &str, program: &Path, args: &[&str]) -> Result<Watched> {
        let mut command = self.network()?.command(host, program);
        let process = self.start_into("records", name, command.args(args))?;
        Ok(Watched { records: process.log_file().to_owned(), _process: process })
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

    fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        self.start_into(LOG, name, command)
    }

    fn start_into(&self, extension: &str, name: &str, command: &mut Command) -> Result<Process> {
        Process::start(name, command, &self.dir.path().join(name).with_extension(extension))
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

/// The binary under test. Cargo names it to test targets only; to this library it is the sibling
/// of the directory that test targets are in.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let directory = test.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    directory.join("pointsman-under-test")
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
