//! A cluster, a pair of appliances and a client in network namespaces: what a client loses when
//! something dies, and that the VIP is never answered by two hosts.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use coordinator_api::v1::{ApplianceRole, GroupStatus, OperationState, OperationView};
use coordinator_core::command::OperationKind;
use coordinator_core::observe::Verdict;
use tests::clock::now_us;
use tests::cluster::{Cluster, Watched};
use tests::groups::{self, PAIR, SERVICE};
use tests::netns::{INTERFACE, Link, Network, PREFIX_LEN};
use tests::privileged::{say, skip_unless_privileged};
use tests::process::Process;
use tests::timeline::{ArpSeen, Attempt, Holders, Outage, holders, outage, read};
use tests::wait::{self, Look, is};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);

const HOSTS: [(&str, Ipv4Addr); 6] = [
    ("c1", Ipv4Addr::new(10, 88, 0, 11)),
    ("c2", Ipv4Addr::new(10, 88, 0, 12)),
    ("c3", Ipv4Addr::new(10, 88, 0, 13)),
    ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
    ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    ("client", Ipv4Addr::new(10, 88, 0, 50)),
];

#[test]
fn the_standby_takes_over_and_the_vip_is_never_answered_by_two_hosts() -> Result<()> {
    if skip_unless_privileged("the_standby_takes_over_and_the_vip_is_never_answered_by_two_hosts")? {
        return Ok(());
    }
    let network = Network::create(&HOSTS)?;
    let pair = [("fw-a", network.address("fw-a")?), ("fw-b", network.address("fw-b")?)];
    let mut cluster = Cluster::on_network(network, &groups::pair(pair, VIP, PREFIX_LEN, INTERFACE))?;
    let outcome = all_scenarios(&mut cluster);
    cluster.explain(outcome)
}

type Scenario = (&'static str, OperationKind, fn(&mut Stage<'_>, &str) -> Result<()>);

/// What is done to the active appliance, or to whoever leads.
const SCENARIOS: [Scenario; 4] = [
    ("kill -9 of the active's agent", OperationKind::Failover, |stage, active| {
        stage.cluster.kill_agent(active)
    }),
    ("link down on the active", OperationKind::Failover, |stage, active| {
        stage.cluster.network()?.set_link(active, Link::Down)
    }),
    ("kill -9 of the leader during a failover", OperationKind::Failover, |stage, active| {
        stage.cluster.kill_agent(active)?;
        let leader = stage.operation_runs()?;
        stage.cluster.kill_coordinator(leader)
    }),
    ("graceful switchover", OperationKind::Switchover, |stage, _| {
        let done =
            stage.cluster.cli(&["switchover", PAIR, "--reason", "maintenance of the rack", "--yes"])?;
        ensure!(done.status.success(), "the switchover was refused: {}", done.output());
        Ok(())
    }),
];

fn all_scenarios(cluster: &mut Cluster) -> Result<()> {
    let mut stage = Stage::set(cluster)?;
    let mut table =
        vec![format!("{:<42} | {:>9} | {:>15} | operation", "scenario", "outage ms", "holders at once")];
    let mut worst = 0;
    for (name, kind, strike) in SCENARIOS {
        let act = stage.play(kind, strike).with_context(|| format!("scenario: {name}"))?;
        worst = worst.max(act.outage.longest_ms);
        table.push(format!(
            "{name:<42} | {:>9} | {:>15} | {} ms, {} to {}",
            act.outage.longest_ms,
            act.holders.at_once,
            act.operation.took_ms,
            act.operation.from.map_or_else(String::new, |from| from.to_string()),
            act.operation.to,
        ));
    }
    table.push(format!(
        "{} scenarios, each with one move, the longest outage {worst} ms, the VIP never answered by two hosts",
        SCENARIOS.len()
    ));
    table.iter().for_each(|line| say(line));
    Ok(())
}

/// The cluster with everything running, and the client's watchers.
struct Stage<'a> {
    cluster: &'a mut Cluster,
    _servers: Vec<Process>,
    traffic: Watched,
    arp: Watched,
}

/// What one scenario showed.
struct Act {
    outage: Outage,
    holders: Holders,
    operation: OperationView,
}

impl<'a> Stage<'a> {
    /// Starts everything and waits until the preferred appliance carries the traffic.
    fn set(cluster: &'a mut Cluster) -> Result<Stage<'a>> {
        let mut servers = Vec::new();
        for host in ["fw-a", "fw-b"] {
            let program = Path::new(env!("CARGO_BIN_EXE_name-server"));
            servers.push(cluster.spawn(host, "name-server", program, &[host, &SERVICE.to_string()])?);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_arp-watch"));
        let arp = cluster.watch("client", "arp-watch", program, &[INTERFACE, &VIP.to_string()])?;
        let program = Path::new(env!("CARGO_BIN_EXE_traffic-client"));
        let traffic = cluster.watch("client", "traffic-client", program, &[&format!("{VIP}:{SERVICE}")])?;
        cluster.start_coordinators()?;
        cluster.start_agents()?;
        let stage = Stage { cluster, _servers: servers, traffic, arp };
        let active = stage.healthy()?;
        ensure!(active == "fw-a", "{active} was activated first, not the preferred appliance");
        Ok(stage)
    }

    /// Strikes, waits until the other appliance carries the traffic, heals, and checks it all.
    fn play(&mut self, kind: OperationKind, strike: fn(&mut Stage<'_>, &str) -> Result<()>) -> Result<Act> {
        let from = self.healthy()?;
        let to = if from == "fw-a" { "fw-b" } else { "fw-a" };
        let before = self.operations()?.len();
        let began = now_us();
        strike(self, &from)?;
        let operation = self.moved(&from, to)?;
        self.heal(&from)?;
        // Once it is healed, an old holder that had only been unreachable would answer again.
        let active = self.healthy()?;
        ensure!(active == to, "{active} is active after healing; the move was to {to}");
        let operations = self.operations()?;
        ensure!(operations.len() == before + 1, "one move, please: {operations:#?}");
        ensure!(operation.kind == kind, "this was a {}", operation.kind.word());

        let outage = outage(&read::<Attempt>(self.traffic.records())?, began);
        let holders = holders(&read::<ArpSeen>(self.arp.records())?, began);
        let network = self.cluster.network()?;
        let macs = [network.mac(&from)?, network.mac(to)?];
        ensure!(holders.at_once == 1, "two hosts answered for the VIP: {holders:?}");
        // Not by the old one at all if its cable was pulled before the next request.
        ensure!(holders.order == macs || holders.order == macs[1..], "{holders:?}, expected {macs:?}");
        ensure!(outage.by == [from.as_str(), to] || outage.by == [to], "the client saw {outage:?}");
        Ok(Act { outage, holders, operation })
    }

    /// Waits until both appliances are ready, one carries the traffic and nothing is going on.
    /// Returns the active one.
    fn healthy(&self) -> Result<String> {
        let (group, began) = (|| self.group(), now_us());
        let active = wait::until("both appliances are ready", || {
            let group = match group() {
                Ok(group) => group,
                Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
            };
            Ok(match (ready(&group), &group.summary.active) {
                (true, Some(active)) => Look::Yes(active.to_string()),
                _ => Look::NotYet(format!("{:?}", group.members)),
            })
        })?;
        self.traffic_by(&active, began)?;
        Ok(active)
    }

    /// Waits until the client's new connections are answered by `appliance`.
    fn traffic_by(&self, appliance: &str, since_us: u64) -> Result<()> {
        wait::until(&format!("the client is served by {appliance}"), || {
            let attempts = read::<Attempt>(self.traffic.records())?;
            let last = attempts.last().filter(|attempt| attempt.asked_us > since_us);
            let so = last.is_some_and(|attempt| attempt.by.as_deref() == Some(appliance));
            Ok(is(so, || format!("{last:?}")))
        })
    }

    /// Waits until the move has ended and the traffic has followed.
    fn moved(&self, from: &str, to: &str) -> Result<OperationView> {
        let operation = wait::until(&format!("the group moves from {from} to {to}"), || {
            let operations = self.operations().unwrap_or_default();
            let Some(newest) = operations.first() else { return Ok(Look::NotYet("no operation".to_owned())) };
            let so = newest.state == OperationState::Ended
                && newest.to.as_str() == to
                && newest.from.as_ref().is_some_and(|name| name.as_str() == from);
            Ok(if so { Look::Yes(newest.clone()) } else { Look::NotYet(format!("{newest:?}")) })
        })?;
        self.traffic_by(to, now_us())?;
        Ok(operation)
    }

    /// Undoes whatever a strike may have done.
    fn heal(&mut self, struck: &str) -> Result<()> {
        self.cluster.network()?.set_link(struck, Link::Up)?;
        self.cluster.start_missing()
    }

    /// Waits until a move is running, or has just been, and returns who leads.
    fn operation_runs(&self) -> Result<coordinator_core::ids::NodeId> {
        let before = self.operations()?.first().map(|operation| operation.id);
        wait::until("the failover begins", || {
            let newest = self.operations()?.first().map(|operation| operation.id);
            Ok(is(newest != before, || format!("{newest:?}")))
        })?;
        self.cluster.leader()
    }

    fn group(&self) -> Result<GroupStatus> {
        self.cluster.cli_json(&["status", PAIR])
    }

    fn operations(&self) -> Result<Vec<OperationView>> {
        let list: coordinator_api::v1::OperationList = self.cluster.cli_json(&["operations"])?;
        Ok(list.operations)
    }
}

/// Both are up, their agents are well, one holds the VIPs under the group's newest token and the
/// other one stands by.
fn ready(group: &GroupStatus) -> bool {
    let token = group.summary.token;
    group.running.is_none()
        && group.members.iter().all(|member| {
            let Some(agent) = &member.agent else { return false };
            let active = group.summary.active.as_ref() == Some(&member.name);
            let part = if active { ApplianceRole::Active } else { ApplianceRole::Standby };
            member.verdict == Verdict::Up
                && member.role == part
                && agent.faults.is_empty()
                && agent.vips_up == active
                && agent.highest == token
                && agent.holding == active.then_some(token)
        })
}
