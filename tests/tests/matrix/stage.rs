//! One cluster, its pair of appliances and its client in namespaces of their own, and whatever is
//! needed to strike it, to heal it and to ask it how it is.
//!
//! The thread that makes a [`Stage`] is on the client's host from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use coordinator_api::v1::{ClusterStatus, GroupStatus, OperationView};
use coordinator_core::ids::{NodeId, OperationId};
use tests::api::{Api, Failure};
use tests::clock::now_us;
use tests::cluster::{Cluster, host_of};
use tests::groups::{self, PAIR, SERVICE};
use tests::loop_disk::LoopDisk;
use tests::netns::{INTERFACE, Link, Network, PREFIX_LEN};
use tests::privileged::go_first;
use tests::process::Process;
use tests::records::Records;
use tests::timeline::{ArpSeen, Attempt};
use tests::wait::{self, Look, is};
use tokio::runtime::Runtime;

/// The VIP's lease.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

const VIP: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);

const HOSTS: [(&str, Ipv4Addr); 6] = [
    ("c1", Ipv4Addr::new(10, 88, 0, 11)),
    ("c2", Ipv4Addr::new(10, 88, 0, 12)),
    ("c3", Ipv4Addr::new(10, 88, 0, 13)),
    ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
    ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    ("client", Ipv4Addr::new(10, 88, 0, 50)),
];

/// How long a coordinator may take to answer before another is asked.
const ANSWER: Duration = Duration::from_secs(2);

/// Two segments of the log, the state store, and the reserve below which a disk counts as full.
const DISK_MIB: u64 = 256;

/// Which hosts get a disk of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disks {
    /// None: this machine has no such disks.
    None,
    /// The appliances.
    Agents,
    /// The coordinators.
    Coordinators,
}

/// A cluster with everything running, and the client's watchers.
pub(crate) struct Stage {
    // First the disks go on, or nothing that waits for them could be killed.
    disks: BTreeMap<String, LoopDisk>,
    services: Vec<Process>,
    pub(crate) traffic: Records<Attempt>,
    pub(crate) arp: Records<ArpSeen>,
    unplugged: Vec<String>,
    apis: BTreeMap<NodeId, Api>,
    /// Coordinators that are not asked: an answer would come late or be out of date.
    struck: BTreeSet<NodeId>,
    runtime: Runtime,
    pub(crate) cluster: Cluster,
}

impl Stage {
    /// Starts everything. Nothing is waited for.
    pub(crate) fn set(disks: Disks) -> Result<Stage> {
        go_first()?;
        let network = Network::create(&HOSTS)?;
        let pair = [("fw-a", network.address("fw-a")?), ("fw-b", network.address("fw-b")?)];
        let groups = groups::leased_pair(pair, VIP, PREFIX_LEN, INTERFACE, LEASE);
        let mut cluster = Cluster::on_network(network, &groups)?;
        // Before anything starts: a process sees the mounts that were there when it began.
        let disks = mount(&cluster, disks)?;
        cluster.start_missing()?;
        let program = Path::new(env!("CARGO_BIN_EXE_name-server"));
        let serve = |host| cluster.spawn(host, "name-server", program, &[host, &SERVICE.to_string()]);
        let services = vec![serve("fw-a")?, serve("fw-b")?];
        let program = Path::new(env!("CARGO_BIN_EXE_arp-watch"));
        let arp = cluster.watch("client", "arp-watch", program, &[INTERFACE, &VIP.to_string()])?;
        let program = Path::new(env!("CARGO_BIN_EXE_traffic-client"));
        let traffic = cluster.watch("client", "traffic-client", program, &[&format!("{VIP}:{SERVICE}")])?;
        cluster.network()?.enter("client")?;
        let apis = cluster.node_ids().into_iter().map(|id| Ok((id, cluster.api(id)?.with_deadline(ANSWER))));
        let apis = apis.collect::<Result<_>>()?;
        Ok(Stage {
            disks,
            services,
            traffic: Records::new(traffic),
            arp: Records::new(arp),
            unplugged: Vec::new(),
            apis,
            struck: BTreeSet::new(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            cluster,
        })
    }

    /// Whether the hosts have disks that can be struck.
    pub(crate) fn has_disks(&self) -> bool {
        !self.disks.is_empty()
    }

    pub(crate) fn disk(&mut self, host: &str) -> Result<&mut LoopDisk> {
        self.disks.get_mut(host).with_context(|| format!("{host} has no disk of its own"))
    }

    pub(crate) fn all_disks(&mut self) -> impl Iterator<Item = &mut LoopDisk> {
        self.disks.values_mut()
    }

    pub(crate) fn unplug(&mut self, host: &str) -> Result<()> {
        self.unplugged.push(host.to_owned());
        self.cluster.network()?.set_link(host, Link::Down)
    }

    /// This coordinator is not asked until everything is healed.
    pub(crate) fn spare(&mut self, node: NodeId) {
        self.struck.insert(node);
    }

    /// Undoes whatever a fault has done.
    pub(crate) fn heal(&mut self) -> Result<()> {
        self.disks.values_mut().try_for_each(LoopDisk::heal)?;
        for host in self.unplugged.drain(..) {
            self.cluster.network()?.set_link(&host, Link::Up)?;
        }
        self.cluster.network()?.mend()?;
        self.cluster.wake_all()?;
        self.cluster.start_missing()?;
        self.struck.clear();
        Ok(())
    }

    /// Waits until all is well: one leader that all coordinators follow, both appliances ready,
    /// and the client served by the active one. Returns that one.
    pub(crate) fn whole(&mut self) -> Result<String> {
        wait::until("all coordinators follow one leader", || {
            let seen = self.each_status();
            let terms: BTreeSet<_> = known(&seen).map(|status| (status.leader, status.term)).collect();
            let led = known(&seen).filter(|status| status.leader.is_some() && status.quorum_ok).count();
            let so = terms.len() == 1 && led == self.apis.len();
            Ok(is(so, || format!("{seen:?}")))
        })?;
        let (asked, began) = (&*self, now_us());
        let active = wait::until("both appliances are ready", || {
            let group = match asked.group() {
                Ok(group) => group,
                Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
            };
            Ok(match (groups::ready(&group), &group.summary.active) {
                (true, Some(active)) => Look::Yes(active.to_string()),
                _ => Look::NotYet(format!("{:?}, why: {:?}", group.members, group.why)),
            })
        })?;
        self.served_by(&active, began)?;
        Ok(active)
    }

    /// Waits until the client's new connections are answered by `appliance`.
    pub(crate) fn served_by(&mut self, appliance: &str, since_us: u64) -> Result<()> {
        wait::until(&format!("the client is served by {appliance}"), || {
            let last = self.traffic.seen()?.last().filter(|attempt| attempt.asked_us > since_us);
            let so = last.is_some_and(|attempt| attempt.by.as_deref() == Some(appliance));
            Ok(is(so, || format!("{last:?}")))
        })
    }

    /// Who leads, in the newest term that a coordinator knows of.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let statuses = self.each_status();
        known(&statuses).filter(|status| status.leader.is_some()).max_by_key(|status| status.term)?.leader
    }

    pub(crate) fn group(&self) -> Result<GroupStatus> {
        self.ask(async |api| api.group(PAIR).await)
    }

    pub(crate) fn newest_operation(&self) -> Result<Option<OperationView>> {
        Ok(self.ask(async |api| api.operations().await)?.operations.into_iter().next())
    }

    pub(crate) fn newest_id(&self) -> Result<Option<OperationId>> {
        Ok(self.newest_operation()?.map(|operation| operation.id))
    }

    /// Fails if a process has ended that nobody killed.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.services.iter_mut().try_for_each(Process::check)?;
        self.cluster.check()
    }

    /// What each coordinator that is not struck says of itself.
    fn each_status(&self) -> Vec<(NodeId, Result<ClusterStatus, Failure>)> {
        let asked = self.apis.iter().filter(|(id, _)| !self.struck.contains(id));
        asked.map(|(id, api)| (*id, self.runtime.block_on(api.status()))).collect()
    }

    /// Asks one coordinator after the other until one has an answer.
    fn ask<T, F: Future<Output = Result<T, Failure>>>(&self, question: impl Fn(Api) -> F) -> Result<T> {
        let mut refused = Vec::new();
        for (id, api) in self.apis.iter().filter(|(id, _)| !self.struck.contains(id)) {
            match self.runtime.block_on(question(api.clone())) {
                Ok(answer) => return Ok(answer),
                Err(failure) => refused.push(format!("{}: {failure}", host_of(*id))),
            }
        }
        anyhow::bail!("no coordinator has an answer: {}", refused.join(", "))
    }
}

/// What the coordinators say that did answer.
fn known(statuses: &[(NodeId, Result<ClusterStatus, Failure>)]) -> impl Iterator<Item = &ClusterStatus> {
    statuses.iter().filter_map(|(_, status)| status.as_ref().ok())
}

fn mount(cluster: &Cluster, disks: Disks) -> Result<BTreeMap<String, LoopDisk>> {
    let mount = |(host, dir): (String, std::path::PathBuf)| Ok((host, LoopDisk::mount(&dir, DISK_MIB)?));
    let agents = || ["fw-a", "fw-b"].map(|host| Ok((host.to_owned(), cluster.state_dir_of(host)?)));
    let coordinators =
        || cluster.node_ids().into_iter().map(|id| Ok((host_of(id), cluster.data_dir_of(id)?)));
    let at: Result<Vec<_>> = match disks {
        Disks::None => Ok(Vec::new()),
        Disks::Agents => agents().into_iter().collect(),
        Disks::Coordinators => coordinators().collect(),
    };
    at?.into_iter().map(mount).collect()
}
