//! The probe gates of a real agent process, in a network namespace of its own. Needs root.
//!
//! `probes_in_a_namespace` starts `appliance` in the namespace; that one plays the coordinator and the
//! load balancer, and starts `agent`, the process that is killed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use coordinator_api::agent::Instruction;
use coordinator_core::ids::Token;
use coordinator_core::model::{GateProtocol, GateSpec};
use nix::sys::signal::Signal;
use support::child::{AgentProcess, be_the_agent, run};
use support::{FakeCoordinator, PATIENCE, eventually};

const TTL: Duration = Duration::from_millis(600);
const TCP: u16 = 8_686;
const HTTP: u16 = 8_687;
/// Answers nobody who is on this machine.
const ELSEWHERE: u16 = 8_688;
/// Enough for an answer on a busy machine, and less than a lease.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);
/// From one probe to the next. A process that hangs accepts a few connections and no more: with fewer
/// probes than that in a lease, it is the gate that ends it.
const BETWEEN: Duration = Duration::from_millis(40);
const V4: &str = "127.0.0.1";
const V6: &str = "::1";
const INSIDE: &str = "NVA_AGENT_TEST_INSIDE";
const TABLE: &str = "nft list table inet pointsman_probe-fw-a";

/// What a load balancer's probe finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Healthy,
    /// Refused, or cut off: known at once.
    Reset,
    /// Nothing came back in time.
    Silence,
    /// An answer, and not the one that counts.
    Other,
}

fn found(error: &std::io::Error) -> Found {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Found::Silence,
        _ => Found::Reset,
    }
}

fn connect(host: &str, port: u16) -> Result<TcpStream, Found> {
    let address = SocketAddr::new(host.parse::<IpAddr>().unwrap(), port);
    let stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT).map_err(|error| found(&error))?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT)).unwrap();
    Ok(stream)
}

fn get(mut stream: TcpStream) -> Found {
    let mut answer = [0; 512];
    let request = stream.write_all(b"GET /ready HTTP/1.1\r\nhost: fw-a\r\n\r\n");
    match request.and_then(|()| stream.read(&mut answer)) {
        Ok(length) if answer[..length].starts_with(b"HTTP/1.1 200") => Found::Healthy,
        Ok(0) => Found::Reset,
        Ok(_) => Found::Other,
        Err(error) => found(&error),
    }
}

fn probe(host: &str, port: u16) -> Found {
    match connect(host, port) {
        Ok(_) if port != HTTP => Found::Healthy,
        Ok(stream) => get(stream),
        Err(found) => found,
    }
}

/// What all four probes find, when it is the same.
fn all_find(wanted: Found) -> bool {
    [TCP, HTTP].iter().all(|port| [V4, V6].iter().all(|host| probe(host, *port) == wanted))
}

#[test]
fn probes_in_a_namespace() {
    if !nix::unistd::geteuid().is_root()
        || !run("unshare --net ip link")
        || !run("unshare --net nft list ruleset")
    {
        let required = std::env::var("POINTSMAN_REQUIRE_PRIVILEGED").is_ok_and(|value| value == "1");
        assert!(!required, "must run here, and needs root, unshare, iproute2 and nftables");
        println!("skipped: needs root, unshare, iproute2 and nftables");
        return;
    }
    let status = Command::new("unshare")
        .args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && exec \"$0\" --exact appliance --ignored --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "run by probes_in_a_namespace"]
fn agent() {
    be_the_agent();
}

fn gates() -> Vec<GateSpec> {
    let gate = |port, protocol, from: &str| GateSpec { port, protocol, from: vec![from.parse().unwrap()] };
    let http = GateProtocol::Http { path: "/ready".to_owned() };
    let open = |port, protocol| GateSpec { port, protocol, from: Vec::new() };
    vec![open(TCP, GateProtocol::Tcp), open(HTTP, http), gate(ELSEWHERE, GateProtocol::Tcp, "192.0.2.0/24")]
}

/// Probes again and again until the newest lease is over, and once more afterwards: nothing may answer
/// then. Says how long before its end the last answer came.
async fn shut_when_the_lease_is_over(leader: &FakeCoordinator, what: &str) {
    // The lease counts from before the report left, so this is later than its true end.
    let until = leader.newest().unwrap().0 + TTL;
    let mut last = None;
    while Instant::now() < until {
        if probe(V4, TCP) == Found::Healthy {
            last = Some(Instant::now());
        }
        tokio::time::sleep(BETWEEN).await;
    }
    assert!(all_find(Found::Reset), "{what}: answered after the lease");
    let before = last.map(|last| until.saturating_duration_since(last).as_millis());
    println!("{what}: the last answer {before:?} ms before the end of a lease of {} ms", TTL.as_millis());
}

#[test]
#[ignore = "run by probes_in_a_namespace"]
fn appliance() {
    if std::env::var(INSIDE).is_err() {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let leader = FakeCoordinator::start(1).await;
        let state = tempfile::tempdir().unwrap();
        leader.declares_gates(1, TTL, &gates());
        leader.says(Instruction::Standby { token: Token(3) });
        let agent = AgentProcess::start(&leader, state.path());
        leader.hears("a standby without faults", |r| r.highest == Token(3) && r.faults.is_empty()).await;
        eventually("guarded while it is a standby", || run(TABLE)).await;
        assert!(all_find(Found::Reset), "a standby answered");

        leader.grants(4, TTL);
        leader.hears("open", |report| report.vips_up && report.holding == Some(Token(4))).await;
        assert!(all_find(Found::Healthy));
        assert_eq!(probe(V4, ELSEWHERE), Found::Silence, "whoever is not in the list is not answered");
        assert_eq!(probe(V6, ELSEWHERE), Found::Silence);
        stays_open_for(TTL * 3).await;

        // A connection from before the end of the lease is of no use after it.
        let early = connect(V4, HTTP).unwrap();
        agent.signal(Signal::SIGSTOP);
        shut_when_the_lease_is_over(&leader, "an agent that hangs").await;
        assert_eq!(get(early), Found::Reset);
        leader.says(Instruction::NotLeader);
        agent.signal(Signal::SIGCONT);
        leader.hears("it noticed", |report| report.holding.is_none()).await;
        assert!(all_find(Found::Reset), "an agent that woke up answered");

        leader.grants(4, TTL);
        leader.hears("open again", |report| report.vips_up).await;
        drop(agent);
        shut_when_the_lease_is_over(&leader, "kill -9").await;

        leader.says(Instruction::NotLeader);
        let agent = AgentProcess::start(&leader, state.path());
        leader
            .hears("the next life", |r| r.holding.is_none() && r.highest == Token(4) && r.faults.is_empty())
            .await;
        assert!(all_find(Found::Reset), "the next life answers without a lease");
        leader.grants(5, TTL);
        leader.hears("open again", |report| report.vips_up).await;
        leader.says(Instruction::Standby { token: Token(6) });
        leader.hears("released", |report| report.holding.is_none() && report.highest == Token(6)).await;
        assert!(all_find(Found::Reset), "confirmed before it was true");

        // Somebody reloads the firewall.
        leader.grants(7, TTL);
        leader.hears("open again", |report| report.vips_up).await;
        assert!(run("nft flush ruleset"));
        eventually("the gate is back", || run(TABLE)).await;
        eventually("and open", || all_find(Found::Healthy)).await;
        stays_open_for(TTL).await;
        agent.signal(Signal::SIGSTOP);
        shut_when_the_lease_is_over(&leader, "an agent that hangs after the firewall was reloaded").await;
        agent.signal(Signal::SIGCONT);

        leader.hears("open again", |report| report.vips_up && report.holding == Some(Token(7))).await;
        agent.signal(Signal::SIGTERM);
        leader.hears("the last report", |report| report.holding.is_none()).await;
        eventually("the gate is removed", || !run(TABLE)).await;
        drop(agent);

        without_nftables(&leader, state.path()).await;
        nftables_goes_away(&leader, state.path()).await;
    });
}

/// TCP gates are refused. HTTP gates are answered by the process, which is enough: an agent that hangs
/// answers nothing.
async fn without_nftables(leader: &FakeCoordinator, state: &Path) {
    leader.says(Instruction::NotLeader);
    let agent = AgentProcess::start_without_nftables(leader, state);
    leader.grants(8, TTL);
    let refused =
        leader.hears("a fault", |report| !report.faults.is_empty() && report.highest == Token(8)).await;
    assert!(refused.faults.iter().any(|fault| fault.contains("needs nftables")), "{refused:?}");
    assert!(refused.holding.is_none() && all_find(Found::Reset), "{refused:?}");

    let http: Vec<GateSpec> = gates().into_iter().filter(|gate| gate.port == HTTP).collect();
    leader.declares_gates(2, TTL, &http);
    leader.hears("open", |report| report.vips_up && report.faults.is_empty()).await;
    assert_eq!(probe(V4, HTTP), Found::Healthy);
    agent.signal(Signal::SIGSTOP);
    assert_eq!(probe(V4, HTTP), Found::Silence, "an agent that hangs answered");
    leader.says(Instruction::NotLeader);
    agent.signal(Signal::SIGCONT);
    leader.hears("it noticed", |report| report.holding.is_none()).await;
    assert_eq!(probe(V4, HTTP), Found::Reset);
}

/// Somebody removes the rules, and `nft` too, while the gates are open.
async fn nftables_goes_away(leader: &FakeCoordinator, state: &Path) {
    let programs = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let nft = std::env::split_paths(&path).map(|dir| dir.join("nft")).find(|nft| nft.exists()).unwrap();
    std::os::unix::fs::symlink(nft, programs.path().join("nft")).unwrap();
    leader.declares_gates(3, TTL, &gates());
    leader.grants(9, TTL);
    let _agent = AgentProcess::start_on_path(programs.path(), leader, state);
    leader.hears("open", |report| report.vips_up && report.holding == Some(Token(9))).await;
    assert!(all_find(Found::Healthy));

    std::fs::remove_file(programs.path().join("nft")).unwrap();
    assert!(run("nft flush ruleset"));
    let given_up =
        leader.hears("given up", |report| report.holding.is_none() && !report.faults.is_empty()).await;
    assert!(given_up.faults.iter().any(|fault| fault.contains("needs nftables")), "{given_up:?}");
    assert!(all_find(Found::Reset), "open, and nobody guards it");
}

async fn stays_open_for(span: Duration) {
    assert!(span < PATIENCE);
    let started = Instant::now();
    while started.elapsed() < span {
        assert!(all_find(Found::Healthy), "after {} ms", started.elapsed().as_millis());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
