//! The demo's processes, and what the acts do to them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use cloud_adapters::simulated::faults::{FaultPlan, Spread};
use cloud_adapters::simulated::model::Topology;
use cloud_adapters::simulated::{self, SimulatedCloud};
use coordinator_api::client::Client;
use coordinator_api::v1::{Consistency, GroupStatus};
use coordinator_core::ids::NodeId;
use coordinator_core::observe::Verdict;

use super::client::TrafficMeter;
use super::cluster;
use super::groups::{self, APPLIANCES, GROUP, PUBLIC_IP, ROUTE};
use super::process::{self, Process};
use super::timeline::Timeline;
use super::wait::until;

/// How long the cluster may take to form and the first appliance to become active.
const START: Duration = Duration::from_secs(60);

/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the processes are looked after while the demo stays up.
const WATCH: Duration = Duration::from_millis(500);

/// Everything that runs.
pub(super) struct World {
    directory: Directory,
    program: PathBuf,
    cloud: simulated::Running,
    api: Client,
    meter: TrafficMeter,
    services: [SocketAddr; 2],
    coordinators: BTreeMap<NodeId, Process>,
    appliances: BTreeMap<&'static str, Process>,
    agents: BTreeMap<&'static str, Process>,
    outages: Mutex<Vec<Duration>>,
}

/// Where everything is kept; removed at the end if it is the demo's own.
struct Directory {
    path: PathBuf,
    own: bool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.own {
            // What cannot be removed from a temporary directory is the system's to clear away.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl World {
    /// Creates a cluster, starts everything, and waits until traffic flows.
    pub(super) async fn build(directory: Option<PathBuf>, timeline: &Timeline) -> anyhow::Result<World> {
        coordinator_api::tls::install_provider();
        let directory = Directory::make(directory)?;
        let program = std::env::current_exe().context("could not find this program's own file")?;
        timeline.say(format_args!("Setting up in {} …", directory.path.display()));
        let [service_a, service_b] = cluster::free_addresses()?;
        let services = [service_a, service_b];
        let cloud = start_cloud(services).await?;
        let made = cluster::create(&directory.path, &cloud.url(), services)?;
        let address = cloud.public_ip_addr(PUBLIC_IP).context("the simulated cloud has no public IP")?;
        let mut world = World {
            program,
            api: made.client,
            meter: TrafficMeter::start(address),
            cloud,
            services,
            coordinators: BTreeMap::new(),
            appliances: BTreeMap::new(),
            agents: BTreeMap::new(),
            outages: Mutex::default(),
            directory,
        };
        for name in APPLIANCES {
            world.start_appliance(name)?;
        }
        for id in made.nodes {
            world.start_coordinator(id).await?;
        }
        world.ready(timeline).await?;
        Ok(world)
    }

    async fn ready(&mut self, timeline: &Timeline) -> anyhow::Result<()> {
        let waited = until("the first appliance to carry traffic", START, async || {
            let group = self.group().await.ok()?;
            let up = group.members.iter().all(|m| m.verdict == Verdict::Up);
            let rest = group.summary.active.is_some() && group.summary.operation.is_none();
            (up && rest && self.meter.answered_by(timeline.began()).is_some()).then_some(())
        })
        .await;
        if let Err(error) = waited {
            self.check()?;
            return Err(error);
        }
        let (active, standby) = self.roles().await?;
        let leader = self.leader().await?;
        timeline.note(format_args!("coordinators 1, 2 and 3 are up; {leader} leads"));
        timeline.note(format_args!("{active} is active, {standby} is its standby; traffic flows"));
        Ok(())
    }

    pub(super) fn api(&self) -> &Client {
        &self.api
    }

    pub(super) fn cloud(&self) -> &simulated::Running {
        &self.cloud
    }

    pub(super) fn meter(&self) -> &TrafficMeter {
        &self.meter
    }

    pub(super) fn record(&self, outage: Duration) {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner).push(outage);
    }

    pub(super) fn outages(&self) -> Vec<Duration> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn group(&self) -> anyhow::Result<GroupStatus> {
        Ok(self.api.group(&GROUP.parse()?, Consistency::Linearizable).await?)
    }

    /// The active appliance and its standby.
    pub(super) async fn roles(&self) -> anyhow::Result<(&'static str, &'static str)> {
        let group = self.group().await?;
        let active = group.summary.active.context("no appliance is active")?;
        let [a, b] = APPLIANCES;
        Ok(if active.as_str() == a { (a, b) } else { (b, a) })
    }

    pub(super) async fn leader(&self) -> anyhow::Result<NodeId> {
        let status = self.api.status(Consistency::Linearizable).await?;
        status.leader.context("no coordinator leads")
    }

    /// The appliance and its agent, as a power cut would end them.
    pub(super) async fn kill_appliance(&mut self, name: &str) -> anyhow::Result<()> {
        let appliance = self.appliances.get_mut(name).ok_or_else(|| anyhow!("no appliance {name}"))?;
        let agent = self.agents.get_mut(name).ok_or_else(|| anyhow!("no agent of {name}"))?;
        let (first, second) = tokio::join!(appliance.kill(), agent.kill());
        self.appliances.remove(name);
        self.agents.remove(name);
        Ok(first.and(second)?)
    }

    pub(super) async fn kill_agent(&mut self, name: &str) -> anyhow::Result<()> {
        let mut agent = self.agents.remove(name).ok_or_else(|| anyhow!("no agent of {name}"))?;
        Ok(agent.kill().await?)
    }

    pub(super) async fn kill_coordinator(&mut self, id: NodeId) -> anyhow::Result<()> {
        let mut node = self.coordinators.remove(&id).ok_or_else(|| anyhow!("no coordinator {id}"))?;
        Ok(node.kill().await?)
    }

    /// Starts what is not running of an appliance and its agent.
    pub(super) fn start_appliance(&mut self, name: &str) -> anyhow::Result<()> {
        let index = APPLIANCES.iter().position(|known| *known == name);
        let index = index.ok_or_else(|| anyhow!("no appliance {name}"))?;
        let name = APPLIANCES[index];
        if !self.appliances.contains_key(name) {
            let listen = self.services[index].to_string();
            let args = ["demo-appliance", "--name", name, "--listen", &listen];
            let started = self.spawn(name, &args)?;
            self.appliances.insert(name, started);
        }
        if !self.agents.contains_key(name) {
            let config = self.path(&format!("agent-{name}/nva-agent.toml"));
            let started = self.spawn(&format!("agent-{name}"), &["agent", "--config", &config])?;
            self.agents.insert(name, started);
        }
        Ok(())
    }

    pub(super) async fn start_coordinator(&mut self, id: NodeId) -> anyhow::Result<()> {
        let config = self.path(&format!("node-{id}/pointsman.toml"));
        let started = self.spawn(&format!("coordinator-{id}"), &["serve", "--config", &config])?;
        self.coordinators.insert(id, started);
        Ok(())
    }

    fn spawn(&self, name: &str, args: &[&str]) -> io::Result<Process> {
        let mut args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.push(process::FLAG.to_owned());
        let log = self.directory.path.join(format!("{name}.log"));
        Process::start(name, &self.program, &args, &log)
    }

    /// Below the cluster's directory, as text for a command line.
    fn path(&self, below: &str) -> String {
        cluster::directory(&self.directory.path).join(below).display().to_string()
    }

    /// Fails if any process has ended unasked.
    fn check(&mut self) -> anyhow::Result<()> {
        let all = self.coordinators.values_mut();
        for process in all.chain(self.appliances.values_mut()).chain(self.agents.values_mut()) {
            process.check()?;
        }
        Ok(())
    }

    /// Stays up until a process ends unasked.
    pub(super) async fn stay(&mut self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(WATCH).await;
            self.check()?;
        }
    }

    /// What an onlooker may do next.
    pub(super) fn what_to_try(&self) -> String {
        let program = self.program.display();
        let context = self.path("cli.toml");
        let token = cluster::token_file(&self.directory.path);
        let token = token.display();
        let address = self.cloud.public_ip_addr(PUBLIC_IP).map(|a| a.to_string()).unwrap_or_default();
        format!(
            "\nEverything is still up. In another terminal:\n\n  \
             export POINTSMAN_CONTEXT={context}\n  \
             export POINTSMAN_TOKEN=$(cat {token})\n  \
             {program} status\n  \
             {program} status {GROUP} --watch\n  \
             {program} switchover {GROUP} --reason \"trying it out\"\n  \
             {program} history --limit 20\n  \
             curl -s telnet://{address} </dev/null    # who answers at the public IP\n\n\
             Logs: {}/*.log. Ctrl-C ends everything.",
            self.directory.path.display(),
        )
    }

    /// Ends every process.
    pub(super) async fn tear_down(mut self) -> anyhow::Result<()> {
        let all = std::mem::take(&mut self.agents).into_values();
        let all = all.chain(std::mem::take(&mut self.coordinators).into_values());
        let all = all.chain(std::mem::take(&mut self.appliances).into_values());
        let stops = all.map(|mut process| async move { process.stop(PATIENCE).await });
        let stopped = futures::future::join_all(stops).await;
        self.cloud.shutdown().await;
        for result in stopped {
            result.context("a process could not be ended")?;
        }
        Ok(())
    }
}

impl Directory {
    fn make(wanted: Option<PathBuf>) -> anyhow::Result<Directory> {
        if let Some(path) = wanted {
            refuse_unless_empty(&path)?;
            std::fs::create_dir_all(&path)
                .with_context(|| format!("could not create the directory {}", path.display()))?;
            let path = path.canonicalize()?;
            return Ok(Directory { path, own: false });
        }
        let path = std::env::temp_dir().join(format!("pointsman-demo-{}", std::process::id()));
        std::fs::create_dir(&path)
            .with_context(|| format!("could not create the directory {}", path.display()))?;
        Ok(Directory { path, own: true })
    }
}

fn refuse_unless_empty(path: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
        Ok(true) => bail!("the directory {} is not empty; name a new one", path.display()),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("could not read the directory {}", path.display())),
    }
}

async fn start_cloud(services: [SocketAddr; 2]) -> anyhow::Result<simulated::Running> {
    let (table, route) = ROUTE;
    let mut topology = Topology::default().public_ip(PUBLIC_IP, Ipv4Addr::new(203, 0, 113, 10).into()).route(
        table,
        route,
        "0.0.0.0/0",
        groups::private_address(0),
    );
    for (index, (name, service)) in APPLIANCES.iter().zip(services).enumerate() {
        topology = topology.nic(&format!("nic-{name}"), groups::private_address(index), service);
    }
    let faults = FaultPlan { latency: Spread::millis(20, 60), ..FaultPlan::default() };
    let options = simulated::Options { topology, faults, ..simulated::Options::default() };
    SimulatedCloud::start(options).await.context("the simulated cloud did not start")
}
