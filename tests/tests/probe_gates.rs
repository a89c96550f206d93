//! A pair behind a load balancer, in network namespaces: whoever holds the lease answers the probes and
//! nobody else does, whatever becomes of the agents. No binding is in a cloud, so nothing is written to
//! one.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coordinator_api::v1::{GroupStatus, OperationList, OperationState};
use coordinator_core::command::OperationKind;
use nix::sys::signal::Signal;
use tests::clock::now_us;
use tests::cluster::{Cluster, Watched};
use tests::groups::{self, PAIR};
use tests::netns::Network;
use tests::privileged::{go_first, say, skip_unless_privileged};
use tests::probes::{Handover, Probed, handover};
use tests::timeline::read;
use tests::wait::{self, Look, is};

const NAME: &str = "behind_a_load_balancer_the_probes_follow_the_lease_and_never_two_answer_them";
const LEASE: Duration = Duration::from_millis(1_500);
/// As a load balancer probes, only sooner. A process that hangs accepts some sixteen connections: with
/// fewer probes than that in a lease, it is the kernel's gate that ends them.
const TCP: (u16, &str) = (8_686, "100");
/// A ruler: an agent that hangs answers no HTTP.
const HTTP: (u16, &str) = (8_687, "10");
/// Failures in a row that take a backend out.
const FALL: u32 = 2;
/// A heartbeat times out, two samples in a row say so, and a follower tells the leader.
const DETECTION: Duration = Duration::from_millis(1_000 + 2 * 200 + 250);
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(2);

const HOSTS: [(&str, Ipv4Addr); 6] = [
    ("c1", Ipv4Addr::new(10, 88, 0, 11)),
    ("c2", Ipv4Addr::new(10, 88, 0, 12)),
    ("c3", Ipv4Addr::new(10, 88, 0, 13)),
    ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
    ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    ("client", Ipv4Addr::new(10, 88, 0, 50)),
];

/// Strikes the active appliance.
type Strike = fn(&mut Stage<'_>, &str) -> Result<()>;

const SCENARIOS: [(&str, OperationKind, Strike); 3] = [
    ("kill -9 of the active's agent", OperationKind::Failover, |stage, active| {
        stage.cluster.kill_agent(active)
    }),
    ("the active's agent hangs, and wakes up", OperationKind::Failover, |stage, active| {
        stage.cluster.agent(active)?.signal(Signal::SIGSTOP)
    }),
    ("switchover", OperationKind::Switchover, |stage, _| {
        let done = stage.cluster.cli(&["switchover", PAIR, "--reason", "maintenance", "--yes"])?;
        ensure!(done.status.success(), "the switchover was refused: {}", done.output());
        Ok(())
    }),
];

#[test]
fn behind_a_load_balancer_the_probes_follow_the_lease_and_never_two_answer_them() -> Result<()> {
    if skip_unless_privileged(NAME)? {
        return Ok(());
    }
    go_first()?;
    let network = Network::create(&HOSTS)?;
    let pair = [("fw-a", network.address("fw-a")?), ("fw-b", network.address("fw-b")?)];
    let groups = groups::balanced_pair(pair, TCP.0, HTTP.0, network.address("client")?, LEASE);
    let mut cluster = Cluster::on_network(network, &groups)?;
    let outcome = all_scenarios(&mut cluster);
    cluster.explain(outcome)
}

fn all_scenarios(cluster: &mut Cluster) -> Result<()> {
    let mut stage = Stage::set(cluster)?;
    let head = format!(
        "{:<39} | {:>9} | {:>9} | {:>21}",
        "lease 1500 ms; ms by probe", "tcp/100ms", "http/10ms", "no backend in rotation"
    );
    let mut table = vec![head];
    for (name, kind, strike) in SCENARIOS {
        let [tcp, http] = stage.play(kind, strike).with_context(|| format!("scenario: {name}"))?;
        let (slow, fast, out) = (tcp.outage_ms, http.outage_ms, tcp.out_of_rotation_ms);
        table.push(format!("{name:<39} | {slow:>9} | {fast:>9} | {out:>21}"));
    }
    table.iter().for_each(|line| say(line));
    Ok(())
}

struct Stage<'a> {
    cluster: &'a mut Cluster,
    tcp: Watched,
    http: Watched,
}

impl<'a> Stage<'a> {
    fn set(cluster: &'a mut Cluster) -> Result<Stage<'a>> {
        let address = |host: &str| cluster.network().and_then(|network| network.address(host));
        let backends = [format!("fw-a={}", address("fw-a")?), format!("fw-b={}", address("fw-b")?)];
        let program = Path::new(env!("CARGO_BIN_EXE_load-balancer"));
        let probe = |kind: &str, (port, every): (u16, &str)| {
            let port = port.to_string();
            let args = [kind, &port, every, &backends[0], &backends[1]];
            cluster.watch("client", &format!("load-balancer-{kind}"), program, &args)
        };
        let (tcp, http) = (probe("tcp", TCP)?, probe("http", HTTP)?);
        let mut stage = Stage { cluster, tcp, http };
        let active = stage.whole()?;
        ensure!(active == "fw-a", "{active} was activated first, not the preferred appliance");
        Ok(stage)
    }

    /// Strikes, waits for the move, heals, and checks who answered when.
    fn play(&mut self, kind: OperationKind, strike: Strike) -> Result<[Handover; 2]> {
        let old = self.whole()?;
        let new = if old == "fw-a" { "fw-b" } else { "fw-a" };
        let before = self.operations()?.operations.len();
        let began = now_us();
        strike(self, &old)?;
        self.moved(kind, new)?;
        self.answers(new, now_us())?;
        let active = self.whole()?;
        ensure!(active == new, "{active} is active after healing, not {new}");
        let count = self.operations()?.operations.len();
        ensure!(count == before + 1, "{} operations instead of one", count - before);

        let bound = if kind == OperationKind::Failover { LEASE + DETECTION + BUSY } else { BUSY };
        let judged = |records: &Path| {
            let seen = handover(&read::<Probed>(records)?, &old, new, began, FALL);
            let seen = seen.context("the new active answered no probe")?;
            ensure!(seen.together_ms == 0, "both answered: {seen:?}");
            ensure!(u128::from(seen.outage_ms) < bound.as_millis(), "{seen:?}, {bound:?} at most");
            Ok(seen)
        };
        Ok([judged(self.tcp.records())?, judged(self.http.records())?])
    }

    /// Undoes whatever a strike has done, and waits until both are ready and the active one answers.
    fn whole(&mut self) -> Result<String> {
        self.cluster.wake_all()?;
        self.cluster.start_missing()?;
        let began = now_us();
        let active = wait::until("both appliances are ready", || {
            let group = match self.cluster.cli_json::<GroupStatus>(&["status", PAIR]) {
                Ok(group) => group,
                Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
            };
            Ok(match (groups::ready(&group), &group.summary.active) {
                (true, Some(active)) => Look::Yes(active.to_string()),
                _ => Look::NotYet(format!("{:?}", group.members)),
            })
        })?;
        self.answers(&active, began)?;
        Ok(active)
    }

    /// Waits until `active` passes probes of both kinds, and the other one fails them.
    fn answers(&self, active: &str, since_us: u64) -> Result<()> {
        for records in [self.tcp.records(), self.http.records()] {
            wait::until(&format!("only {active} answers the probes"), || {
                let all = read::<Probed>(records)?;
                let newest = |this: bool| {
                    let mut of = all.iter().rev().filter(|p| (p.backend == active) == this);
                    of.find(|p| p.asked_us > since_us).map(|p| p.passed)
                };
                let seen = (newest(true), newest(false));
                Ok(is(seen == (Some(true), Some(false)), || format!("{seen:?}")))
            })?;
        }
        Ok(())
    }

    fn moved(&self, kind: OperationKind, to: &str) -> Result<()> {
        let operation = wait::until(&format!("the group moves to {to}"), || {
            let operations = match self.operations() {
                Ok(list) => list.operations,
                Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
            };
            let newest = operations.into_iter().next();
            let so = |o: &coordinator_api::v1::OperationView| {
                o.state == OperationState::Ended && o.to.as_str() == to
            };
            Ok(match newest {
                Some(newest) if so(&newest) => Look::Yes(newest),
                newest => Look::NotYet(format!("{newest:?}")),
            })
        })?;
        ensure!(operation.kind == kind, "this was a {}", operation.kind.word());
        Ok(())
    }

    fn operations(&self) -> Result<OperationList> {
        self.cluster.cli_json(&["operations"])
    }
}
