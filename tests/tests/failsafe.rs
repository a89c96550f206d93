//! A pair that goes on without its quorum, in network namespaces: what the client sees when the
//! coordinators are gone, when the peer is gone too, and when one appliance alone is cut off from
//! the coordinators.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coordinator_api::v1::GroupStatus;
use coordinator_core::ids::NodeId;
use tests::clock::now_us;
use tests::cluster::{Cluster, Watched};
use tests::groups::{self, PAIR, SERVICE};
use tests::netns::{Cut, INTERFACE, Link, Network, PREFIX_LEN};
use tests::privileged::{say, skip_unless_privileged};
use tests::process::Process;
use tests::timeline::{ArpSeen, Attempt, holders, outage, read, together_ms};
use tests::wait::{self, Look, is};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);
const LEASE: Duration = Duration::from_millis(1_500);
/// How long it has to go on for: far beyond what any leader can have granted.
const LONG: Duration = Duration::from_secs(9);
const COORDINATORS: [&str; 3] = ["c1", "c2", "c3"];

const HOSTS: [(&str, Ipv4Addr); 6] = [
    ("c1", Ipv4Addr::new(10, 88, 0, 11)),
    ("c2", Ipv4Addr::new(10, 88, 0, 12)),
    ("c3", Ipv4Addr::new(10, 88, 0, 13)),
    ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
    ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    ("client", Ipv4Addr::new(10, 88, 0, 50)),
];

const NAME: &str = "a_failsafe_pair_goes_on_without_its_quorum_and_never_without_its_peer";

#[test]
fn a_failsafe_pair_goes_on_without_its_quorum_and_never_without_its_peer() -> Result<()> {
    if skip_unless_privileged(NAME)? {
        return Ok(());
    }
    let network = Network::create(&HOSTS)?;
    let pair = [("fw-a", network.address("fw-a")?), ("fw-b", network.address("fw-b")?)];
    let groups = groups::failsafe_pair(pair, VIP, PREFIX_LEN, INTERFACE, LEASE);
    let mut cluster = Cluster::on_network(network, &groups)?;
    let outcome = story(&mut cluster);
    cluster.explain(outcome)
}

fn story(cluster: &mut Cluster) -> Result<()> {
    let mut stage = Stage::set(cluster)?;
    let began = now_us();

    let two = [NodeId(1), NodeId(2)];
    let lost = now_us();
    two.iter().try_for_each(|node| stage.cluster.kill_coordinator(*node))?;
    let longest = stage.goes_on(lost)?;
    say(&format!(
        "{NAME}: without a quorum, {} leases long: outage {longest} ms",
        LONG.as_millis() / LEASE.as_millis()
    ));

    let cut = now_us();
    stage.cluster.network()?.set_link("fw-b", Link::Down)?;
    let silent = stage.falls_silent(cut)?;
    say(&format!(
        "{NAME}: then without the peer: silent after {silent} ms of a lease of {} ms",
        LEASE.as_millis()
    ));

    stage.cluster.network()?.set_link("fw-b", Link::Up)?;
    stage.cluster.start_missing()?;
    stage.healthy("fw-a")?;

    let alone = now_us();
    stage.cluster.network()?.cut(Cut::Between("fw-a", &COORDINATORS))?;
    let longest = stage.goes_on(alone)?;
    let active = stage.group()?.summary.active;
    ensure!(active.as_ref().is_some_and(|active| active.as_str() == "fw-a"), "{active:?} is active");
    say(&format!("{NAME}: cut off from all coordinators, relayed by the peer: outage {longest} ms"));
    stage.cluster.network()?.mend()?;
    stage.healthy("fw-a")?;

    let killed = now_us();
    stage.cluster.kill_agent("fw-a")?;
    stage.served_by("fw-b", killed)?;
    let seen = outage(&read::<Attempt>(stage.traffic.records())?, killed);
    say(&format!("{NAME}: the active's agent is killed: outage {} ms, as without failsafe", seen.longest_ms));
    stage.cluster.start_missing()?;
    stage.healthy("fw-b")?;

    let together = together_ms(&read::<ArpSeen>(stage.arp.records())?, began);
    ensure!(together == 0, "two hosts answered for the VIP for {together} ms");
    Ok(())
}

struct Stage<'a> {
    cluster: &'a mut Cluster,
    _services: [Process; 2],
    traffic: Watched,
    arp: Watched,
}

impl<'a> Stage<'a> {
    fn set(cluster: &'a mut Cluster) -> Result<Stage<'a>> {
        let program = Path::new(env!("CARGO_BIN_EXE_arp-watch"));
        let arp = cluster.watch("client", "arp-watch", program, &[INTERFACE, &VIP.to_string()])?;
        let program = Path::new(env!("CARGO_BIN_EXE_traffic-client"));
        let traffic = cluster.watch("client", "traffic-client", program, &[&format!("{VIP}:{SERVICE}")])?;
        let serve = |host: &str| {
            let program = Path::new(env!("CARGO_BIN_EXE_name-server"));
            cluster.spawn(host, "name-server", program, &[host, &SERVICE.to_string()])
        };
        let services = [serve("fw-a")?, serve("fw-b")?];
        cluster.start_missing()?;
        let stage = Stage { cluster, _services: services, traffic, arp };
        stage.healthy("fw-a")?;
        Ok(stage)
    }

    /// Waits until both are ready and `active` serves.
    fn healthy(&self, active: &str) -> Result<()> {
        let began = now_us();
        wait::until(&format!("both appliances are ready and {active} is active"), || {
            let group = match self.group() {
                Ok(group) => group,
                Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
            };
            let so = group.summary.active.as_ref().is_some_and(|name| name.as_str() == active);
            Ok(is(so && groups::ready(&group), || format!("{:?}", group.members)))
        })?;
        self.served_by(active, began)
    }

    fn served_by(&self, appliance: &str, since_us: u64) -> Result<()> {
        wait::until(&format!("the client is served by {appliance}"), || {
            let attempts = read::<Attempt>(self.traffic.records())?;
            let last = attempts.last().filter(|attempt| attempt.asked_us > since_us);
            let so = last.is_some_and(|attempt| attempt.by.as_deref() == Some(appliance));
            Ok(is(so, || format!("{last:?}")))
        })
    }

    /// For a long time nobody but `fw-a` answers, and it never misses much. Returns the longest
    /// outage in milliseconds.
    fn goes_on(&mut self, since_us: u64) -> Result<u64> {
        let until = since_us + u64::try_from(LONG.as_micros())?;
        wait::until("time passes", || Ok(is(now_us() > until, String::new)))?;
        self.cluster.check()?;
        let outage = outage(&read::<Attempt>(self.traffic.records())?, since_us);
        ensure!(outage.by == ["fw-a"], "the client saw {outage:?}");
        // Far below a lease, and more than a busy machine takes.
        ensure!(Duration::from_millis(outage.longest_ms) < LEASE / 2, "the client saw {outage:?}");
        let holders = holders(&read::<ArpSeen>(self.arp.records())?, since_us);
        let mac = self.cluster.network()?.mac("fw-a")?;
        ensure!(holders.order == [mac], "answers came from {holders:?}");
        let last =
            read::<Attempt>(self.traffic.records())?.iter().rev().find(|a| a.by.is_some()).map(|a| a.at_us);
        ensure!(last.is_some_and(|at| at + 500_000 > until), "it stopped answering before the end");
        Ok(outage.longest_ms)
    }

    /// Nobody answers any more within one lease. Returns when the last answer was asked for, in
    /// milliseconds from `cut_us`.
    fn falls_silent(&self, cut_us: u64) -> Result<u64> {
        let lease = u64::try_from(LEASE.as_micros())?;
        // What is asked after the lease, for a while, must stay without an answer.
        let until = cut_us + 3 * lease;
        wait::until("time passes", || Ok(is(now_us() > until, String::new)))?;
        let attempts = read::<Attempt>(self.traffic.records())?;
        let last = attempts.iter().rev().find(|attempt| attempt.by.is_some()).context("no answer at all")?;
        let seen = read::<ArpSeen>(self.arp.records())?;
        let arp = seen.iter().filter_map(|seen| match seen {
            ArpSeen::Answer { asked_us, .. } => Some(*asked_us),
            ArpSeen::Announcement { .. } => None,
        });
        let last = last.asked_us.max(arp.max().unwrap_or_default()).saturating_sub(cut_us);
        ensure!(last <= lease, "still answered {last} us after the peer was gone");
        Ok(last / 1_000)
    }

    fn group(&self) -> Result<GroupStatus> {
        self.cluster.cli_json(&["status", PAIR])
    }
}
