//! A cluster, a pair of appliances and a client in network namespaces: what a client loses when
//! something dies, and that the VIP is never answered by two hosts.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use coordinator_api::v1::{GroupStatus, OperationState, OperationView};
use coordinator_core::command::OperationKind;
use coordinator_core::ids::{NodeId, OperationId};
use nix::sys::signal::Signal;
use tests::clock::now_us;
use tests::cluster::{Cluster, Watched, host_of};
use tests::groups::{self, PAIR, SERVICE};
use tests::netns::{INTERFACE, Link, Network, PREFIX_LEN};
use tests::privileged::{go_first, say, skip_unless_privileged};
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
    go_first()?;
    let network = Network::create(&HOSTS)?;
    let pair = [("fw-a", network.address("fw-a")?), ("fw-b", network.address("fw-b")?)];
    let mut cluster = Cluster::on_network(network, &groups::pair(pair, VIP, PREFIX_LEN, INTERFACE))?;
    let outcome = all_scenarios(&mut cluster);
    cluster.explain(outcome)
}

/// What must come of a strike.
#[derive(Clone, Copy)]
enum Outcome {
    /// The other appliance takes over, in one operation of this kind.
    Move(OperationKind),
    /// Nothing: the active appliance goes on.
    Nothing,
}

/// Strikes the active appliance, or whoever leads.
type Strike = fn(&mut Stage<'_>, &str) -> Result<()>;

const FAILOVER: Outcome = Outcome::Move(OperationKind::Failover);

const SCENARIOS: [(&str, Outcome, Strike); 8] = [
    ("kill -9 of the active's agent", FAILOVER, |stage, active| stage.cluster.kill_agent(active)),
    ("link down on the active", FAILOVER, |stage, active| stage.unplug(active)),
    ("kill -9 of the leader during a failover", FAILOVER, |stage, active| {
        let before = stage.newest()?;
        stage.cluster.kill_agent(active)?;
        let leader = stage.operation_after(before)?;
        stage.cluster.kill_coordinator(leader)
    }),
    ("graceful switchover", Outcome::Move(OperationKind::Switchover), |stage, _| {
        let reason = ["--reason", "maintenance of the rack", "--yes"];
        let done = stage.cluster.cli(&[&["switchover", PAIR], &reason[..]].concat())?;
        ensure!(done.status.success(), "the switchover was refused: {}", done.output());
        Ok(())
    }),
    ("the active's agent hangs, and wakes up", FAILOVER, |stage, active| {
        stage.cluster.agent(active)?.signal(Signal::SIGSTOP)
    }),
    ("the active's service dies, its agent lives", FAILOVER, |stage, active| {
        stage.services.remove(active).context("no service")?.kill()
    }),
    ("the leader hangs during a failover, and wakes up", FAILOVER, |stage, active| {
        let before = stage.newest()?;
        stage.cluster.kill_agent(active)?;
        let leader = stage.operation_after(before)?;
        stage.cluster.coordinator(leader)?.signal(Signal::SIGSTOP)
    }),
    ("link down on the leader", Outcome::Nothing, |stage, _| {
        let leader = stage.cluster.leader()?;
        stage.unplug(&host_of(leader))?;
        wait::until("somebody else leads", || {
            let seen = stage.cluster.leader()?;
            Ok(is(seen != leader, || format!("{seen} leads")))
        })
    }),
];

fn all_scenarios(cluster: &mut Cluster) -> Result<()> {
    let mut stage = Stage::set(cluster)?;
    let mut table =
        vec![format!("{:<49} | {:>9} | {:>15} | operation", "scenario", "outage ms", "holders at once")];
    let mut worst = 0;
    for (name, outcome, strike) in SCENARIOS {
        let act = stage.play(outcome, strike).with_context(|| format!("scenario: {name}"))?;
        worst = worst.max(act.outage.longest_ms);
        let operation = act.operation.map_or_else(|| "none".to_owned(), |operation| told(&operation));
        let (outage, at_once) = (act.outage.longest_ms, act.holders.at_once);
        table.push(format!("{name:<49} | {outage:>9} | {at_once:>15} | {operation}"));
    }
    table.push(format!(
        "{} scenarios, each with the one move it must have or none, the longest outage {worst} ms, the VIP never \
         answered by two hosts",
        SCENARIOS.len()
    ));
    table.iter().for_each(|line| say(line));
    Ok(())
}

fn told(operation: &OperationView) -> String {
    let from = operation.from.as_ref().map_or("nowhere", |from| from.as_str());
    format!("{} ms, {from} to {}", operation.took_ms, operation.to)
}

/// The cluster with everything running, and the client's watchers.
struct Stage<'a> {
    cluster: &'a mut Cluster,
    /// What each appliance does for a living, by host.
    services: BTreeMap<String, Process>,
    traffic: Watched,
    arp: Watched,
    unplugged: Vec<String>,
}

/// What one scenario showed.
struct Act {
    outage: Outage,
    holders: Holders,
    operation: Option<OperationView>,
}

impl<'a> Stage<'a> {
    /// Starts everything and waits until the preferred appliance carries the traffic.
    fn set(cluster: &'a mut Cluster) -> Result<Stage<'a>> {
        let program = Path::new(env!("CARGO_BIN_EXE_arp-watch"));
        let arp = cluster.watch("client", "arp-watch", program, &[INTERFACE, &VIP.to_string()])?;
        let program = Path::new(env!("CARGO_BIN_EXE_traffic-client"));
        let traffic = cluster.watch("client", "traffic-client", program, &[&format!("{VIP}:{SERVICE}")])?;
        let mut stage = Stage { cluster, services: BTreeMap::new(), traffic, arp, unplugged: Vec::new() };
        stage.heal()?;
        let active = stage.healthy()?;
        ensure!(active == "fw-a", "{active} was activated first, not the preferred appliance");
        Ok(stage)
    }

    /// Strikes, waits for the outcome, heals, and checks it all.
    fn play(&mut self, outcome: Outcome, strike: Strike) -> Result<Act> {
        let from = self.healthy()?;
        let other = if from == "fw-a" { "fw-b" } else { "fw-a" };
        let before = self.operations()?.len();
        let began = now_us();
        strike(self, &from)?;
        let (operation, to) = match outcome {
            Outcome::Move(kind) => (Some(self.moved(kind, &from, other)?), other),
            Outcome::Nothing => (None, from.as_str()),
        };
        self.heal()?;
        // Once it is healed, an old holder that had only been unreachable would answer again.
        let active = self.healthy()?;
        ensure!(active == to, "{active} is active after healing; it should be {to}");
        let operations = self.operations()?;
        let expected = before + usize::from(operation.is_some());
        ensure!(operations.len() == expected, "{} operations, please: {operations:#?}", expected);

        let outage = outage(&read::<Attempt>(self.traffic.records())?, began);
        let holders = holders(&read::<ArpSeen>(self.arp.records())?, began);
        let network = self.cluster.network()?;
        let (old, new) = (network.mac(&from)?, network.mac(to)?);
        ensure!(holders.at_once == 1, "two hosts answered for the VIP: {holders:?}");
        // Not by the old one at all if its cable was pulled before the next request.
        ensure!(
            holders.order == [old, new.clone()] || holders.order == [new],
            "answers came from {holders:?}"
        );
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
            Ok(match (groups::ready(&group), &group.summary.active) {
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
    fn moved(&self, kind: OperationKind, from: &str, to: &str) -> Result<OperationView> {
        let operation = wait::until(&format!("the group moves from {from} to {to}"), || {
            let operations = self.operations().unwrap_or_default();
            let Some(newest) = operations.first() else { return Ok(Look::NotYet("no operation".to_owned())) };
            let so = newest.state == OperationState::Ended
                && newest.to.as_str() == to
                && newest.from.as_ref().is_some_and(|name| name.as_str() == from);
            Ok(if so { Look::Yes(newest.clone()) } else { Look::NotYet(format!("{newest:?}")) })
        })?;
        ensure!(operation.kind == kind, "this was a {}", operation.kind.word());
        self.traffic_by(to, now_us())?;
        Ok(operation)
    }

    fn unplug(&mut self, host: &str) -> Result<()> {
        self.unplugged.push(host.to_owned());
        self.cluster.network()?.set_link(host, Link::Down)
    }

    /// Undoes whatever a strike may have done.
    fn heal(&mut self) -> Result<()> {
        for host in self.unplugged.drain(..) {
            self.cluster.network()?.set_link(&host, Link::Up)?;
        }
        for host in ["fw-a", "fw-b"] {
            if !self.services.contains_key(host) {
                let program = Path::new(env!("CARGO_BIN_EXE_name-server"));
                let service =
                    self.cluster.spawn(host, "name-server", program, &[host, &SERVICE.to_string()])?;
                self.services.insert(host.to_owned(), service);
            }
        }
        self.cluster.wake_all()?;
        self.cluster.start_missing()
    }

    fn newest(&self) -> Result<Option<OperationId>> {
        Ok(self.operations()?.first().map(|operation| operation.id))
    }

    /// Waits until there is an operation newer than `before`, and returns who leads.
    fn operation_after(&self, before: Option<OperationId>) -> Result<NodeId> {
        wait::until("the failover begins", || {
            let newest = self.newest()?;
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
