//! The `nva-agent` binary as an operator meets it: exit codes, messages, TLS, the health endpoint.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use coordinator_api::agent::{AgentReport, Handover};
use coordinator_api::tls::{Identity, PeerIdentity, TlsFiles, TlsMaterial, operator_client};
use coordinator_core::ids::{ApplianceName, NodeId, Token};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nva_agent::health::Health;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use support::{FakeCoordinator, eventually};
use tempfile::TempDir;

const CLUSTER: &str = "0123456789abcdef0123456789abcdef";
const TTL: Duration = Duration::from_secs(3);

fn nva_agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nva-agent"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn usage_errors_exit_with_2() {
    assert_eq!(nva_agent(&["run", "--nonsense"]).output().unwrap().status.code(), Some(2));
    let output = nva_agent(&["run", "--config", "/nonexistent/agent.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nonexistent/agent.toml"), "{}", stderr(&output));
    assert!(nva_agent(&["--version"]).output().unwrap().status.success());
}

#[tokio::test]
async fn a_configured_agent_reports_over_tls_and_says_how_it_is() {
    let bench = Bench::new();
    let leader =
        FakeCoordinator::start_tls(1, bench.member(PeerIdentity::Node(NodeId(1))).mutual_server_config());
    leader.declares(TTL, &[]);
    leader.grants(7, TTL);
    let health = free_address();
    let agent = bench.start(&leader, &health);
    leader.hears("the lease", |report| report.holding == Some(Token(7)) && report.vips_up).await;

    let client = operator_client(&std::fs::read(bench.files("fw-a").ca).unwrap()).unwrap();
    let response = client.get(format!("https://{health}/health")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let body: Health = response.json().await.unwrap();
    assert_eq!((body.appliance.as_str(), body.holding, body.highest), ("fw-a", Some(7), 7));
    assert!(body.coordinators[&1].reachable && body.lease_left_ms.is_some_and(|left| left <= 3_000));

    leader.says(coordinator_api::agent::Instruction::Standby { token: Token(8) });
    leader.hears("released", |report| report.holding.is_none() && report.highest == Token(8)).await;
    assert!(agent.stop().await.status.success());
}

#[tokio::test]
async fn sigterm_is_announced_and_the_lease_held_until_the_group_has_left() {
    let bench = Bench::new();
    let leader =
        FakeCoordinator::start_tls(1, bench.member(PeerIdentity::Node(NodeId(1))).mutual_server_config());
    leader.declares(TTL, &[]);
    leader.grants(7, TTL);
    leader.hands_over(Handover::Pending);
    let agent = bench.start(&leader, &free_address());
    leader.hears("the lease", |report| report.holding == Some(Token(7))).await;
    agent.signal(Signal::SIGTERM);
    let stopping = |report: &AgentReport| report.notices.iter().any(|source| !source.notices.is_empty());
    leader.hears("the announcement", stopping).await;
    // It goes on for longer than its lease was granted for: it renews.
    let announced = Instant::now();
    while announced.elapsed() < TTL + Duration::from_millis(500) {
        let (_, newest) = leader.newest().unwrap();
        assert!(stopping(&newest) && newest.holding == Some(Token(7)) && newest.vips_up, "{newest:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    leader.says(coordinator_api::agent::Instruction::Standby { token: Token(8) });
    let released = |report: &AgentReport| report.holding.is_none() && report.highest == Token(8);
    leader
        .hears("the release, and that it is still there", |report| released(report) && stopping(report))
        .await;
    leader.hands_over(Handover::Done);
    let output = agent.ended().await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the group has left this appliance"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_second_sigterm_releases_at_once_and_so_does_a_refusal() {
    for again in [true, false] {
        let bench = Bench::new();
        let leader =
            FakeCoordinator::start_tls(1, bench.member(PeerIdentity::Node(NodeId(1))).mutual_server_config());
        leader.declares(TTL, &[]);
        leader.grants(7, TTL);
        leader.hands_over(Handover::Pending);
        let agent = bench.start(&leader, &free_address());
        leader.hears("the lease", |report| report.holding == Some(Token(7))).await;
        agent.signal(Signal::SIGTERM);
        leader.hears("the announcement", |report| report.notices.iter().any(|s| !s.notices.is_empty())).await;
        if again {
            agent.signal(Signal::SIGTERM);
        } else {
            leader.hands_over(Handover::Refused { why: "no standby is ready".to_owned() });
        }
        let output = agent.ended().await;
        assert!(output.status.success(), "{}", stderr(&output));
        let said = if again { "asked once more" } else { "no standby is ready" };
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
        let (_, last) = leader.newest().unwrap();
        assert_eq!((last.holding, last.highest), (None, Token(7)), "its last words confirm the release");
    }
}

#[tokio::test]
async fn an_occupied_health_address_and_a_state_directory_in_use_are_refused() {
    let bench = Bench::new();
    let leader =
        FakeCoordinator::start_tls(1, bench.member(PeerIdentity::Node(NodeId(1))).mutual_server_config());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = bench.start(&leader, &taken.local_addr().unwrap().to_string()).output();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("choose another `health` address"), "{}", stderr(&refused));

    let first = bench.start(&leader, &free_address());
    leader.hears("a report", |_| true).await;
    let refused = bench.start(&leader, &free_address()).output();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("in use by another nva-agent"), "{}", stderr(&refused));
    assert!(first.stop().await.status.success());
}

#[tokio::test]
async fn a_damaged_state_file_is_named_and_nothing_starts() {
    let bench = Bench::new();
    let leader =
        FakeCoordinator::start_tls(1, bench.member(PeerIdentity::Node(NodeId(1))).mutual_server_config());
    let state = bench.directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("agent.state"), "pointsman-agent-state-1 00000000\n{}").unwrap();
    let refused = bench.start(&leader, &free_address()).output();
    assert_eq!(refused.status.code(), Some(1));
    let message = stderr(&refused);
    assert!(message.contains("agent.state is damaged (checksum mismatch)"), "{message}");
    assert!(leader.newest().is_none(), "it has not reported");
}

/// A cluster's authority, and what it issued.
struct Bench {
    directory: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Bench {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Bench { directory: tempfile::tempdir().unwrap(), authority }
    }

    fn files(&self, name: &str) -> TlsFiles {
        let file = |end: &str| self.directory.path().join(format!("{name}{end}"));
        TlsFiles { ca: file(".ca.pem"), certificate: file(".pem"), key: file(".key") }
    }

    fn issue(&self, name: &str, peer: PeerIdentity) -> TlsFiles {
        let identity = Identity { cluster_id: CLUSTER.to_owned(), peer };
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::URI(identity.uri().try_into().unwrap()),
            SanType::DnsName(identity.dns_name().try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let key = KeyPair::generate().unwrap();
        let files = self.files(name);
        std::fs::write(&files.ca, self.authority.pem()).unwrap();
        std::fs::write(&files.certificate, params.signed_by(&key, &self.authority).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).unwrap();
        files
    }

    fn member(&self, peer: PeerIdentity) -> TlsMaterial {
        TlsMaterial::load(&self.issue("node", peer)).unwrap()
    }

    fn start(&self, leader: &FakeCoordinator, health: &str) -> Running {
        let peer = PeerIdentity::Agent(ApplianceName::new("fw-a").unwrap());
        let files = self.issue("fw-a", peer);
        let path = self.directory.path().join("nva-agent.toml");
        std::fs::write(&path, configuration(&files, &self.directory.path().join("state"), leader, health))
            .unwrap();
        Running(Some(nva_agent(&["run", "--config", path.to_str().unwrap()]).spawn().unwrap()))
    }
}

fn configuration(files: &TlsFiles, state: &Path, leader: &FakeCoordinator, health: &str) -> String {
    format!(
        r#"
        [cluster]
        id = "{CLUSTER}"
        [agent]
        appliance = "fw-a"
        state_dir = {state:?}
        report_interval = "100ms"
        health = "{health}"
        [tls]
        ca = {ca:?}
        certificate = {certificate:?}
        key = {key:?}
        [[coordinator]]
        id = {node}
        address = "{address}"
        "#,
        ca = files.ca,
        certificate = files.certificate,
        key = files.key,
        node = leader.node,
        address = leader.address,
    )
}

/// Free a moment ago: the agent's own binding decides.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A process, killed and reaped with this value.
struct Running(Option<Child>);

impl Running {
    fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.0.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    async fn stop(self) -> Output {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    async fn ended(mut self) -> Output {
        let mut child = self.0.take().unwrap();
        eventually("the process ends", || child.try_wait().unwrap().is_some()).await;
        child.wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
