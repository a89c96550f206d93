//! A coordinator in the test's hands, and patience.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod child;
pub(crate) mod pair;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use coordinator_api::agent::{
    AgentGroup, AgentReply, AgentReport, GateAssignment, Handover, Instruction, REPORT_PATH, VipAssignment,
};
use coordinator_core::ids::{ApplianceName, BindingName, GroupName, NodeId, Token};
use coordinator_core::model::GateSpec;
use nva_agent::{AllowedInterfaces, Coordinator, DEFAULT_INTERVAL, Options};
use tokio::task::JoinHandle;

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Script {
    /// `NotLeader` until the test says something.
    instruction: Option<Instruction>,
    leader: Option<NodeId>,
    group: Option<AgentGroup>,
    reports: Vec<(Instant, AgentReport)>,
    handover: Option<Handover>,
}

/// Answers every report with what the test says, and remembers the reports.
pub(crate) struct FakeCoordinator {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) base_url: String,
    script: Arc<Mutex<Script>>,
    server: JoinHandle<()>,
}

impl Drop for FakeCoordinator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Shared = (NodeId, Arc<Mutex<Script>>);

async fn report(State((node, script)): State<Shared>, Json(report): Json<AgentReport>) -> Json<AgentReply> {
    let mut script = script.lock().unwrap();
    script.reports.push((Instant::now(), report));
    let Script { instruction, leader, group, handover, .. } = &*script;
    let instruction = instruction.unwrap_or(Instruction::NotLeader);
    Json(AgentReply { node, leader: *leader, instruction, group: group.clone(), handover: handover.clone() })
}

fn routes(node: NodeId, script: &Arc<Mutex<Script>>) -> Router {
    Router::new().route(REPORT_PATH, post(report)).with_state((node, script.clone()))
}

impl FakeCoordinator {
    /// A follower, until told otherwise, over plain HTTP.
    pub(crate) async fn start(node: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let routes = routes(NodeId(node), &script);
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });
        FakeCoordinator { node: NodeId(node), address, base_url: format!("http://{address}"), script, server }
    }

    /// The same over TLS, as a real one listens.
    pub(crate) fn start_tls(node: u64, tls: Arc<rustls::ServerConfig>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let routes = routes(NodeId(node), &script);
        let tls = axum_server::tls_rustls::RustlsConfig::from_config(tls);
        let server = tokio::spawn(async move {
            let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
            server.serve(routes.into_make_service()).await.unwrap();
        });
        FakeCoordinator { node: NodeId(node), address, base_url: String::new(), script, server }
    }

    /// From now on it answers with this. Anything but `NotLeader` makes it the leader.
    pub(crate) fn says(&self, instruction: Instruction) {
        let mut script = self.script.lock().unwrap();
        script.instruction = Some(instruction);
        script.leader = (instruction != Instruction::NotLeader).then_some(self.node);
    }

    /// From now on it grants.
    pub(crate) fn grants(&self, token: u64, ttl: Duration) {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap();
        self.says(Instruction::Grant { token: Token(token), ttl_ms });
    }

    /// The group that it tells of.
    pub(crate) fn declares(&self, ttl: Duration, vips: &[VipAssignment]) {
        self.script.lock().unwrap().group = Some(AgentGroup {
            name: GroupName::new("dmz").unwrap(),
            revision: 1,
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap(),
            vips: vips.to_vec(),
            gates: Vec::new(),
            failsafe: false,
            drift_ppm: 0,
            peers: Vec::new(),
        });
    }

    /// A group without VIPs that it tells of.
    pub(crate) fn declares_gates(&self, revision: u64, ttl: Duration, gates: &[GateSpec]) {
        let binding = |port: u16| BindingName::new(format!("gate-{port}")).unwrap();
        let gates =
            gates.iter().map(|gate| GateAssignment { binding: binding(gate.port), gate: gate.clone() });
        self.script.lock().unwrap().group = Some(AgentGroup {
            name: GroupName::new("dmz").unwrap(),
            revision,
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap(),
            vips: Vec::new(),
            gates: gates.collect(),
            failsafe: false,
            drift_ppm: 0,
            peers: Vec::new(),
        });
    }

    /// The group that it tells of, all of it.
    pub(crate) fn declares_all(&self, group: &AgentGroup) {
        self.script.lock().unwrap().group = Some(group.clone());
    }

    /// From now on it answers this to those that announce something.
    pub(crate) fn hands_over(&self, handover: Handover) {
        self.script.lock().unwrap().handover = Some(handover);
    }

    /// When the newest report came, and what it said.
    pub(crate) fn newest(&self) -> Option<(Instant, AgentReport)> {
        self.script.lock().unwrap().reports.last().cloned()
    }

    /// All reports so far.
    pub(crate) fn reports(&self) -> Vec<AgentReport> {
        self.script.lock().unwrap().reports.iter().map(|(_, report)| report.clone()).collect()
    }

    /// Waits for a report that is as wanted.
    pub(crate) async fn hears(&self, what: &str, wanted: impl Fn(&AgentReport) -> bool) -> AgentReport {
        let mut found = None;
        eventually(what, || {
            found = self.newest().map(|(_, report)| report).filter(&wanted);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An agent of `fw-a` that reports to these.
pub(crate) fn options(state_dir: &std::path::Path, coordinators: Vec<Coordinator>) -> Options {
    coordinator_api::tls::install_provider();
    Options {
        cluster: "test".to_owned(),
        appliance: ApplianceName::new("fw-a").unwrap(),
        coordinators,
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        state_dir: state_dir.to_owned(),
        interfaces: AllowedInterfaces::Any,
        report_interval: DEFAULT_INTERVAL,
        health: None,
        peers: None,
        shutdown_grace: PATIENCE,
        notices: Default::default(),
    }
}

pub(crate) fn vip(address: &str, prefix_len: u8, interface: &str) -> VipAssignment {
    VipAssignment {
        binding: BindingName::new("front").unwrap(),
        address: address.parse().unwrap(),
        prefix_len,
        interface: interface.to_owned(),
    }
}
