//! A real agent process on real interfaces, in network namespaces of its own. Needs root.
//!
//! `appliance_in_a_namespace` builds two namespaces joined by a cable and starts `appliance` in
//! the first; that one plays the coordinator and starts `agent`, the process that is killed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coordinator_api::agent::Instruction;
use coordinator_core::ids::Token;
use nix::sys::signal::Signal;
use support::child::{AgentProcess, be_the_agent, run};
use support::{FakeCoordinator, eventually, vip};

const TTL: Duration = Duration::from_secs(3);
/// Far below what the lifetimes of addresses can do.
const SHORT_TTL: Duration = Duration::from_millis(600);
const V4: &str = "10.9.0.99";
const V6: &str = "fd00:9::99";
const NEIGHBOUR: &str = "NVA_AGENT_TEST_NEIGHBOUR";

fn must(command: &str) {
    assert!(run(command), "{command}");
}

/// Two namespaces and the cable between them; gone with this value.
struct Namespaces {
    appliance: String,
    neighbour: String,
}

impl Namespaces {
    fn new() -> Self {
        let id = std::process::id();
        let made = Namespaces { appliance: format!("nva{id}a"), neighbour: format!("nva{id}b") };
        let Namespaces { appliance, neighbour } = &made;
        must(&format!("ip netns add {appliance}"));
        must(&format!("ip netns add {neighbour}"));
        must(&format!("ip -n {appliance} link add v0 type veth peer name v1 netns {neighbour}"));
        must(&format!("ip -n {appliance} link set lo up"));
        must(&format!("ip -n {appliance} addr add 10.9.0.1/24 dev v0"));
        must(&format!("ip -n {neighbour} addr add 10.9.0.2/24 dev v1"));
        must(&format!("ip -n {appliance} addr add fd00:9::1/64 dev v0 nodad"));
        must(&format!("ip -n {neighbour} addr add fd00:9::2/64 dev v1 nodad"));
        must(&format!("ip -n {appliance} link set v0 up"));
        must(&format!("ip -n {neighbour} link set v1 up"));
        made
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.appliance));
        run(&format!("ip netns del {}", self.neighbour));
    }
}

#[test]
fn appliance_in_a_namespace() {
    if !nix::unistd::geteuid().is_root() || !run("ip netns list") || !run("tcpdump --version") {
        let required = std::env::var("POINTSMAN_REQUIRE_PRIVILEGED").is_ok_and(|value| value == "1");
        assert!(!required, "must run here, and needs root, iproute2 and tcpdump");
        println!("skipped: needs root, iproute2 and tcpdump");
        return;
    }
    let namespaces = Namespaces::new();
    let status = Command::new("ip")
        .args(["netns", "exec", &namespaces.appliance])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "appliance", "--ignored", "--nocapture"])
        .env(NEIGHBOUR, &namespaces.neighbour)
        .status()
        .unwrap();
    assert!(status.success());
}

fn addresses() -> String {
    let output = Command::new("ip").args(["-o", "addr", "show", "dev", "v0"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn is_up(vip: &str) -> bool {
    addresses().contains(&format!(" {vip}/"))
}

fn both_up() -> bool {
    is_up(V4) && is_up(V6)
}

fn none_up() -> bool {
    !is_up(V4) && !is_up(V6)
}

/// Waits until no VIP is up, and checks that it was within the lease of the newest report.
async fn gone_within_the_lease(leader: &FakeCoordinator, what: &str) {
    // The lease counts from before the report left, so this is later than its true end.
    let (newest, _) = leader.newest().unwrap();
    if run("nft list table inet pointsman-fw-a") {
        let until = newest + TTL;
        tokio::time::sleep_until(until.into()).await;
        assert!(!answers(V4) && !answers(V6), "{what}: {}", addresses());
        println!("{what}: silent at the end of the lease, {} left", addresses().matches("/32").count());
        return eventually(what, none_up).await;
    }
    eventually(what, none_up).await;
    println!("{what}: gone {} ms into a lease of {} ms", newest.elapsed().as_millis(), TTL.as_millis());
    assert!(newest.elapsed() < TTL, "{what}: {:?}", newest.elapsed());
}

/// Whether the VIP answers a neighbour that has to ask for its MAC anew.
fn answers(vip: &str) -> bool {
    let neighbour = std::env::var(NEIGHBOUR).unwrap();
    run(&format!("ip -n {neighbour} neigh flush dev v1"));
    run(&format!("ip netns exec {neighbour} ping -c1 -W0.2 {vip}"))
}

/// One frame that a neighbour sees.
fn watch_for(filter: &str) -> Child {
    let neighbour = std::env::var(NEIGHBOUR).unwrap();
    let mut tcpdump = Command::new("ip");
    tcpdump.args([
        "netns", "exec", &neighbour, "timeout", "10", "tcpdump", "-lnn", "-i", "v1", "-c", "1", filter,
    ]);
    let mut child = tcpdump.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // It says so once it listens.
    let mut line = String::new();
    let mut heard = std::io::BufReader::new(child.stderr.as_mut().unwrap());
    while !line.contains("listening on") {
        assert!(std::io::BufRead::read_line(&mut heard, &mut line).unwrap() > 0, "tcpdump: {line}");
    }
    child
}

#[test]
#[ignore = "run by appliance_in_a_namespace"]
fn agent() {
    be_the_agent();
}

#[test]
#[ignore = "run by appliance_in_a_namespace"]
fn appliance() {
    if std::env::var(NEIGHBOUR).is_err() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let leader = FakeCoordinator::start(1).await;
        leader.declares(TTL, &[vip(V4, 24, "v0"), vip(V6, 64, "v0")]);
        let state = tempfile::tempdir().unwrap();
        let agent = AgentProcess::start_without_nftables(&leader, state.path());
        leader.grants(4, TTL);
        leader.hears("held by lifetimes alone", |report| report.vips_up).await;
        assert!(answers(V4) && answers(V6));
        stays_up_for(TTL).await;
        agent.kill_9();
        gone_within_the_lease(&leader, "kill -9 without nftables").await;

        leader.says(Instruction::NotLeader);
        let agent = AgentProcess::start(&leader, state.path());
        leader.hears("a report", |report| report.holding.is_none()).await;
        let mut arp = watch_for("arp and ether broadcast and arp host 10.9.0.99");
        let mut na = watch_for("icmp6 and ip6[40] == 136 and src host fd00:9::99 and dst host ff02::1");
        leader.grants(5, TTL);
        eventually("the VIPs", both_up).await;
        leader.hears("the report of it", |report| report.vips_up && report.holding == Some(Token(5))).await;
        assert!(arp.wait().unwrap().success(), "no gratuitous ARP");
        assert!(na.wait().unwrap().success(), "no unsolicited neighbour advertisement");
        must(&format!("ip netns exec {} ping -c1 -W1 {V4}", std::env::var(NEIGHBOUR).unwrap()));
        must(&format!("ip netns exec {} ping -c1 -W1 {V6}", std::env::var(NEIGHBOUR).unwrap()));
        stays_up_for(TTL).await;

        agent.kill_9();
        gone_within_the_lease(&leader, "kill -9").await;

        // The next life knows the token, and what to clear: a VIP left for good is one.
        must(&format!("ip addr add {V4}/32 dev v0"));
        leader.says(Instruction::NotLeader);
        let agent = AgentProcess::start(&leader, state.path());
        eventually("cleared with no leader", none_up).await;
        leader.hears("the token", |report| report.highest == Token(5) && report.holding.is_none()).await;

        leader.grants(6, TTL);
        leader.hears("held again", |report| report.vips_up && report.holding == Some(Token(6))).await;
        agent.signal(Signal::SIGSTOP);
        gone_within_the_lease(&leader, "an agent that hangs").await;
        leader.says(Instruction::NotLeader);
        agent.signal(Signal::SIGCONT);
        leader.hears("it noticed", |report| report.holding.is_none()).await;
        assert!(none_up(), "{}", addresses());

        leader.grants(6, TTL);
        leader.hears("held again", |report| report.vips_up).await;
        leader.says(Instruction::Standby { token: Token(7) });
        leader.hears("released", |report| report.holding.is_none() && report.highest == Token(7)).await;
        assert!(none_up(), "confirmed before it was true: {}", addresses());
        must(&format!("ip addr add {V4}/24 dev v0"));
        eventually("a standby clears what somebody else added", none_up).await;

        leader.grants(8, TTL);
        leader.hears("held again", |report| report.vips_up).await;
        must("ip link set v0 down");
        let report = leader.hears("the link", |report| report.holding.is_none()).await;
        assert!(report.faults.iter().any(|fault| fault.contains("no carrier")), "{report:?}");
        must("ip link set v0 up");
        // A link that goes down loses its IPv6 addresses.
        must("ip addr add fd00:9::1/64 dev v0 nodad");
        leader.hears("held again", |report| report.vips_up && report.faults.is_empty()).await;

        // Somebody reloads the firewall: the gate is put back while the VIPs stay up.
        if run("nft list table inet pointsman-fw-a") {
            must("nft flush ruleset");
            eventually("the gate is back", || run("nft list table inet pointsman-fw-a")).await;
            eventually("and open", || answers(V4) && answers(V6)).await;

            leader.declares(SHORT_TTL, &[vip(V4, 24, "v0"), vip(V6, 64, "v0")]);
            leader.grants(8, SHORT_TTL);
            let since = Instant::now();
            eventually("the last long lease is over", || since.elapsed() > TTL).await;
            leader.hears("short leases do", |report| report.vips_up && report.faults.is_empty()).await;
            assert!(answers(V4) && answers(V6));
            agent.signal(Signal::SIGSTOP);
            let (newest, _) = leader.newest().unwrap();
            tokio::time::sleep_until((newest + SHORT_TTL).into()).await;
            let still_there = both_up();
            let silent = !answers(V4) && !answers(V6);
            println!(
                "a lease of {} ms: silent at its end, addresses there: {still_there}",
                SHORT_TTL.as_millis()
            );
            assert!(silent, "{}", addresses());
            assert!(still_there, "so it was not the gate that ended it: {}", addresses());
            agent.signal(Signal::SIGCONT);
            leader.declares(TTL, &[vip(V4, 24, "v0"), vip(V6, 64, "v0")]);
            leader.grants(8, TTL);
            leader.hears("held again", |report| report.vips_up).await;
        } else {
            println!("without a gate: nftables is not there");
        }

        let many: Vec<_> = (1..=200).map(|n| vip(&format!("10.9.1.{n}"), 24, "v0")).collect();
        leader.declares(TTL, &many);
        eventually("200 VIPs", || addresses().matches(" 10.9.1.").count() == 200).await;
        leader.hears("all of them up", |report| report.vips_up && report.faults.is_empty()).await;
        assert!(none_up(), "those before are no longer declared: {}", addresses());

        let stopped = Instant::now();
        agent.signal(Signal::SIGTERM);
        leader.hears("the last report", |report| report.holding.is_none()).await;
        println!("SIGTERM: confirmed after {} ms", stopped.elapsed().as_millis());
        assert_eq!(addresses().matches("/32").count(), 0, "{}", addresses());
        eventually("the gate is removed", || !run("nft list table inet pointsman-fw-a")).await;
    });
}

async fn stays_up_for(span: Duration) {
    let started = Instant::now();
    while started.elapsed() < span {
        assert!(both_up(), "{}", addresses());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
