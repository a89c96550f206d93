//! An active appliance that is about to go, in network namespaces: its agent is asked to stop, as a
//! reboot or an upgrade does, or its cloud announces that the machine will be rebooted. What the
//! client sees, and that the VIP is never answered by two hosts.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coordinator_api::v1::{GroupStatus, OperationList, OperationView};
use coordinator_core::command::OperationKind;
use nix::sys::signal::Signal;
use tests::clock::now_us;
use tests::cluster::{Cluster, Watched};
use tests::groups::{self, PAIR, SERVICE};
use tests::netns::{INTERFACE, Network, PREFIX_LEN};
use tests::privileged::{go_first, say, skip_unless_privileged};
use tests::process::Process;
use tests::timeline::{ArpSeen, Attempt, holders, outage, read};
use tests::wait::{self, Look, is};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);
const LEASE: Duration = Duration::from_secs(3);
/// What a graceful end of the active may cost a client, in milliseconds: half of them no more than
/// this, and none so much that it might have been a lease that ran out. A machine that compiles beside
/// this test may keep any one of its processes waiting.
const BOUND_MS: u64 = 100;
const WORST_MS: u64 = 1_000;
/// How long the client waits for one answer: what is measured cannot be finer.
const PATIENCE_MS: &str = "20";
/// Ends of the active in a row, there and back again.
const ROUNDS: usize = 7;

const HOSTS: [(&str, Ipv4Addr); 6] = [
    ("c1", Ipv4Addr::new(10, 88, 0, 11)),
    ("c2", Ipv4Addr::new(10, 88, 0, 12)),
    ("c3", Ipv4Addr::new(10, 88, 0, 13)),
    ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
    ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    ("client", Ipv4Addr::new(10, 88, 0, 50)),
];

const NAME: &str = "an_agent_that_is_asked_to_stop_hands_over_before_it_ends";

#[test]
fn an_agent_that_is_asked_to_stop_hands_over_before_it_ends() -> Result<()> {
    if skip_unless_privileged(NAME)? {
        return Ok(());
    }
    go_first()?;
    let network = Network::create(&HOSTS)?;
    let pair = [("fw-a", network.address("fw-a")?), ("fw-b", network.address("fw-b")?)];
    let groups = groups::leased_pair(pair, VIP, PREFIX_LEN, INTERFACE, LEASE);
    let mut cluster = Cluster::on_network(network, &groups)?;
    let outcome = story(&mut cluster);
    cluster.explain(outcome)
}

fn story(cluster: &mut Cluster) -> Result<()> {
    let mut stage = Stage::set(cluster)?;
    let mut outages = Vec::new();
    for _ in 0..ROUNDS {
        outages.push(stage.active_stops()?);
    }
    let mut sorted = outages.clone();
    sorted.sort_unstable();
    let (median, worst) = (sorted[ROUNDS / 2], sorted[ROUNDS - 1]);
    say(&format!(
        "{NAME}: the client missed {outages:?} ms, one per graceful stop of the active; median {median}"
    ));
    ensure!(median < BOUND_MS, "a graceful stop cost the client {median} ms");
    ensure!(worst < WORST_MS, "a graceful stop cost the client {worst} ms");
    stage.alone_it_does_not_wait()
}

struct Stage<'a> {
    cluster: &'a mut Cluster,
    _services: Vec<Process>,
    traffic: Watched,
    arp: Watched,
}

impl<'a> Stage<'a> {
    fn set(cluster: &'a mut Cluster) -> Result<Stage<'a>> {
        let serve = |host: &str| {
            let program = Path::new(env!("CARGO_BIN_EXE_name-server"));
            cluster.spawn(host, "name-server", program, &[host, &SERVICE.to_string()])
        };
        let services = ["fw-a", "fw-b"].into_iter().map(serve).collect::<Result<_>>()?;
        let program = Path::new(env!("CARGO_BIN_EXE_arp-watch"));
        let arp = cluster.watch("client", "arp-watch", program, &[INTERFACE, &VIP.to_string()])?;
        let program = Path::new(env!("CARGO_BIN_EXE_traffic-client"));
        let at = format!("{VIP}:{SERVICE}");
        let traffic = cluster.watch("client", "traffic-client", program, &[&at, PATIENCE_MS])?;
        cluster.start_missing()?;
        Ok(Stage { cluster, _services: services, traffic, arp })
    }

    /// Asks the active's agent to stop; the client's outage in milliseconds, once all is well again.
    fn active_stops(&mut self) -> Result<u64> {
        let from = self.healthy()?;
        let to = if from == "fw-a" { "fw-b" } else { "fw-a" };
        let before = self.operations()?.len();
        let (began, clock) = (now_us(), Instant::now());
        let mut agent = self.cluster.take_agent(&from)?;
        agent.signal(Signal::SIGTERM)?;
        let status = agent.ended()?;
        let took = clock.elapsed();
        ensure!(status.success(), "the agent ended with {status}\n{}", agent.log_tail());
        // Whoever ends has handed over: what comes now comes from the other one alone.
        let ended = now_us();
        ensure!(!self.cluster.network()?.carries(&from, VIP)?, "{from} has ended and left the VIP behind");
        self.served_by(to, ended)?;
        let outage = outage(&read::<Attempt>(self.traffic.records())?, began);
        let holders = holders(&read::<ArpSeen>(self.arp.records())?, began);
        ensure!(holders.at_once <= 1, "two hosts answered for the VIP: {holders:?}");

        let operations = self.operations()?;
        ensure!(operations.len() == before + 1, "{operations:#?}");
        let operation = operations.first().context("no operation")?;
        let planned = operation.kind == OperationKind::Switchover && operation.to.as_str() == to;
        ensure!(planned, "this was not a switchover to {to}: {operation:#?}");
        let why = "is under notice of a shutdown by its agent";
        ensure!(operation.because.iter().any(|because| because.contains(why)), "{operation:#?}");
        self.cluster.start_missing()?;
        self.healthy()?;
        say(&format!(
            "{NAME}: {from} stopped after {} ms, the move took {} ms, the client missed {} ms",
            took.as_millis(),
            operation.took_ms,
            outage.longest_ms
        ));
        Ok(outage.longest_ms)
    }

    /// With the other appliance down, the active's agent is told that nobody takes over.
    fn alone_it_does_not_wait(&mut self) -> Result<()> {
        let active = self.healthy()?;
        let other = if active == "fw-a" { "fw-b" } else { "fw-a" };
        self.cluster.kill_agent(other)?;
        wait::until("the standby is down", || {
            let group = self.group()?;
            let member = group.members.iter().find(|member| member.name.as_str() == other);
            let down = member.is_some_and(|member| member.verdict.to_string() == "down");
            Ok(is(down, || format!("{member:?}")))
        })?;
        let clock = Instant::now();
        let mut agent = self.cluster.take_agent(&active)?;
        agent.signal(Signal::SIGTERM)?;
        ensure!(agent.ended()?.success(), "{}", agent.log_tail());
        let took = clock.elapsed();
        let refused = agent.log().contains("nobody takes over");
        ensure!(refused, "it was not told that nobody takes over:\n{}", agent.log_tail());
        say(&format!("{NAME}: without a standby {active} stopped after {} ms", took.as_millis()));
        // Far below the ten seconds for which it would have waited.
        ensure!(took < Duration::from_secs(5), "it took {took:?}");
        let held = self.group()?.summary.hold;
        ensure!(held.is_some(), "the group is not held");
        self.cluster.start_missing()?;
        self.healthy().map(drop)
    }

    /// Waits until both appliances are ready, and returns who is active.
    fn healthy(&self) -> Result<String> {
        let active = wait::until("both appliances are ready", || {
            let group = match self.group() {
                Ok(group) => group,
                Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
            };
            let settled = group.members.iter().all(|member| member.notices.is_empty());
            Ok(match (groups::ready(&group) && settled, &group.summary.active) {
                (true, Some(active)) => Look::Yes(active.to_string()),
                _ => Look::NotYet(format!("{:?}", group.members)),
            })
        })?;
        self.served_by(&active, now_us())?;
        Ok(active)
    }

    /// Waits until the client's new connections are answered by `appliance`.
    fn served_by(&self, appliance: &str, since_us: u64) -> Result<()> {
        wait::until(&format!("the client is served by {appliance}"), || {
            let attempts = read::<Attempt>(self.traffic.records())?;
            let last = attempts.last().filter(|attempt| attempt.asked_us > since_us);
            let so = last.is_some_and(|attempt| attempt.by.as_deref() == Some(appliance));
            Ok(is(so, || format!("{last:?}")))
        })
    }

    fn group(&self) -> Result<GroupStatus> {
        self.cluster.cli_json(&["status", PAIR])
    }

    fn operations(&self) -> Result<Vec<OperationView>> {
        let list: OperationList = self.cluster.cli_json(&["operations"])?;
        Ok(list.operations)
    }
}
