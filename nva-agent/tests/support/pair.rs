//! Agents of one group in this process, each with a coordinator of its own that says what the
//! test wants it to hear.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use coordinator_api::agent::{AgentGroup, Instruction, Peer};
use coordinator_api::tls::{ClientOptions, TlsMaterial, node_url};
use coordinator_core::ids::{ApplianceName, GroupName, NodeId, Token};
use nva_agent::{Agent, Coordinator, Error, Handle, Options, PeerOptions, Stop};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::tls::{Authority, CLUSTER};
use super::{FakeCoordinator, PATIENCE, options};

pub(crate) const TTL: Duration = Duration::from_millis(2_000);

/// For a machine that is busy with other tests: nothing here is about how fast a client gives up.
pub(crate) const PATIENT: ClientOptions = ClientOptions {
    connect_timeout: Duration::from_secs(5),
    keep_alive_interval: Duration::from_secs(1),
    keep_alive_timeout: Duration::from_secs(5),
    user_timeout: Duration::from_secs(5),
};

/// Leases and clocks in them: one test at a time.
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// An agent that runs in this process, and the coordinator that it alone reports to.
pub(crate) struct Member {
    pub(crate) name: ApplianceName,
    pub(crate) tls: TlsMaterial,
    pub(crate) coordinator: FakeCoordinator,
    pub(crate) directory: TempDir,
    pub(crate) handle: Handle,
    stop: watch::Sender<Stop>,
    task: JoinHandle<Result<(), Error>>,
}

/// Where an agent believes its coordinator to be, and whom it relays to.
pub(crate) struct Dials {
    pub(crate) coordinator: SocketAddr,
    pub(crate) relays_to: BTreeMap<NodeId, SocketAddr>,
}

impl Member {
    pub(crate) fn start(authority: &Authority, name: &str, node: u64) -> Self {
        let coordinator = FakeCoordinator::start_tls(node, authority.node(node).mutual_server_config());
        let dials = Dials {
            coordinator: coordinator.address,
            relays_to: [(coordinator.node, coordinator.address)].into(),
        };
        Self::start_with(authority.agent(name), name, coordinator, dials)
    }

    pub(crate) fn start_with(
        tls: TlsMaterial,
        name: &str,
        coordinator: FakeCoordinator,
        dials: Dials,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        Self::start_in(directory, tls, name, coordinator, dials, any)
    }

    fn start_in(
        directory: TempDir,
        tls: TlsMaterial,
        name: &str,
        coordinator: FakeCoordinator,
        dials: Dials,
        listen: SocketAddr,
    ) -> Self {
        let node = coordinator.node;
        let client = tls.peer_client(&[(node, dials.coordinator)].into(), PATIENT).unwrap();
        let base_url = node_url(CLUSTER, node, coordinator.address.port());
        let options = Options {
            appliance: ApplianceName::new(name).unwrap(),
            client,
            peers: Some(PeerOptions {
                listen: vec![listen],
                tls: tls.clone(),
                coordinators: dials.relays_to,
            }),
            ..options(directory.path(), vec![Coordinator { node, base_url }])
        };
        let agent = Agent::new(options).unwrap();
        let handle = agent.handle();
        let (stop, stopped) = watch::channel(Stop::No);
        let task = tokio::spawn(agent.run(stopped));
        let name = ApplianceName::new(name).unwrap();
        Member { name, tls, coordinator, directory, handle, stop, task }
    }

    pub(crate) fn listens(&self) -> SocketAddr {
        self.handle.peer_addresses()[0]
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer { appliance: self.name.clone(), addresses: vec![self.listens()] }
    }

    /// Tells this agent of its group.
    pub(crate) fn declare(&self, failsafe: bool, revision: u64, peers: Vec<Peer>) {
        self.coordinator.declares_all(&AgentGroup {
            name: GroupName::new("dmz").unwrap(),
            revision,
            ttl_ms: u64::try_from(TTL.as_millis()).unwrap(),
            vips: Vec::new(),
            gates: Vec::new(),
            failsafe,
            drift_ppm: 10_000,
            peers,
        });
    }

    pub(crate) fn holding(&self) -> Option<Token> {
        self.handle.standing().holding
    }

    pub(crate) fn standby(&self, token: u64) {
        self.coordinator.says(Instruction::Standby { token: Token(token) });
    }

    /// No more leader: nothing is renewed.
    pub(crate) fn loses_the_quorum(&self) {
        self.coordinator.says(Instruction::NotLeader);
    }

    pub(crate) async fn stop(self) -> FakeCoordinator {
        self.stop.send_replace(Stop::Now);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        self.coordinator
    }

    /// Dies as by a power cut, and starts again with what is on disk.
    pub(crate) async fn crash_and_start(self) -> Self {
        let listen = self.listens();
        self.task.abort();
        let _ = self.task.await;
        // The thread of the lease ends with its agent, and releases the directory.
        let Member { name, tls, coordinator, directory, .. } = self;
        let lock = directory.path().join("agent.lock");
        super::eventually("the earlier life is over", || {
            std::fs::File::open(&lock).is_ok_and(|file| file.try_lock().is_ok())
        })
        .await;
        let dials = Dials {
            coordinator: coordinator.address,
            relays_to: [(coordinator.node, coordinator.address)].into(),
        };
        Self::start_in(directory, tls, name.as_str(), coordinator, dials, listen)
    }
}

/// `fw-a` holds token 5, `fw-b` knows; both are declared to each other.
pub(crate) async fn active_and_standby(authority: &Authority, failsafe: bool) -> (Member, Member) {
    let a = Member::start(authority, "fw-a", 1);
    let b = Member::start(authority, "fw-b", 2);
    a.declare(failsafe, 1, vec![b.peer()]);
    b.declare(failsafe, 1, vec![a.peer()]);
    b.standby(5);
    a.coordinator.grants(5, TTL);
    a.coordinator.hears("the lease", |report| report.holding == Some(Token(5))).await;
    b.coordinator.hears("the token", |report| report.highest == Token(5)).await;
    (a, b)
}
