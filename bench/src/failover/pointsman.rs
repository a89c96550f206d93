//! Pointsman itself: three coordinators, an agent on each appliance.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use config::coordinator::RaftTiming;
use coordinator_api::v1::GroupStatus;
use coordinator_core::observe::Verdict;
use nix::sys::signal::Signal;
use tests::cluster::{Clocks, Cluster};
use tests::groups::PAIR;
use tests::netns::{INTERFACE, Link, Network, PREFIX_LEN};

use super::{Appliance, CLIENT, Fault, Subject, VIP, trial};

const COORDINATORS: [(&str, Ipv4Addr); 3] = [
    ("c1", Ipv4Addr::new(10, 88, 0, 11)),
    ("c2", Ipv4Addr::new(10, 88, 0, 12)),
    ("c3", Ipv4Addr::new(10, 88, 0, 13)),
];
const OTHERS: [(&str, Ipv4Addr); 3] = [
    ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
    ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    (CLIENT, Ipv4Addr::new(10, 88, 0, 50)),
];

/// One of the profiles of docs/configuration.md.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// The lease.
    pub lease: Duration,
    /// Raft's clocks.
    pub raft: RaftTiming,
    /// The group's `lease` and its probes: interval, timeout and fall of the heartbeat.
    pub heartbeat: (Duration, Duration, u32),
    /// More keys of the group's lease.
    pub lease_keys: &'static str,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Raft's clocks for leases below 700 ms.
const FAST_RAFT: RaftTiming = RaftTiming { heartbeat: ms(15), election_min: ms(50), election_max: ms(100) };

impl Profile {
    /// The profile for a lease of one second, 300 ms or 100 ms.
    pub fn for_lease(lease: Duration) -> Profile {
        let default =
            Profile { lease, raft: RaftTiming::default(), heartbeat: (ms(100), ms(500), 2), lease_keys: "" };
        if lease >= ms(1_000) {
            default
        } else if lease >= ms(300) {
            Profile { raft: FAST_RAFT, heartbeat: (ms(30), ms(150), 2), ..default }
        } else {
            Profile {
                raft: FAST_RAFT,
                heartbeat: (ms(10), ms(55), 2),
                lease_keys: ", accept_outage_on_leader_change = true",
                ..default
            }
        }
    }
}

/// A cluster and its pair of appliances.
#[derive(Debug)]
pub struct Pointsman {
    cluster: Cluster,
}

impl Pointsman {
    /// Starts everything.
    ///
    /// # Errors
    /// When the network cannot be made, `init` refuses or a process cannot be started.
    pub fn start(profile: Profile) -> Result<Pointsman> {
        let network = Network::create(&[COORDINATORS, OTHERS].concat())?;
        let clocks = Clocks { raft: profile.raft, report_interval: ms(100) };
        let mut cluster = Cluster::on_network_with(network, &group(profile), clocks)?;
        cluster.start_missing()?;
        Ok(Pointsman { cluster })
    }

    /// The cluster, to look further.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

impl Subject for Pointsman {
    #[expect(clippy::expect_used, reason = "`start` makes no cluster without a network")]
    fn network(&self) -> &Network {
        self.cluster.network().expect("a cluster on a network")
    }

    fn settled(&mut self) -> Result<Appliance> {
        self.cluster.check()?;
        let group: GroupStatus = self.cluster.cli_json(&["status", PAIR])?;
        let active = group.summary.active.clone().context("nothing is active")?;
        ensure!(group.running.is_none(), "an operation is running");
        for member in &group.members {
            let agent = member.agent.as_ref().context("an agent does not report")?;
            let holding = (member.name == active).then_some(group.summary.token);
            ensure!(
                member.verdict == Verdict::Up
                    && agent.faults.is_empty()
                    && agent.highest == group.summary.token
                    && agent.holding == holding
                    && agent.vips_up == holding.is_some(),
                "{} is {:?}: {agent:?}",
                member.name,
                member.verdict
            );
        }
        match Appliance::BOTH.into_iter().find(|a| a.host() == active.as_str()) {
            Some(appliance) => Ok(appliance),
            None => bail!("{active} is active"),
        }
    }

    fn knows(&self, _fault: Fault) -> bool {
        true
    }

    fn strike(&mut self, fault: Fault, active: Appliance) -> Result<()> {
        let host = active.host();
        match fault {
            Fault::LinkDown => self.network().set_link(host, Link::Down),
            Fault::Killed => self.cluster.kill_agent(host),
            Fault::Hung => self.cluster.agent(host)?.signal(Signal::SIGSTOP),
            Fault::CutOff => trial::cut_off(self.network(), host, &COORDINATORS.map(|(_, address)| address)),
            Fault::Planned => {
                let done = self.cluster.cli(&["switchover", PAIR, "--reason", "measured", "--yes"])?;
                ensure!(done.status.success(), "the switchover was refused: {}", done.output());
                Ok(())
            }
            Fault::LeaderKilled => {
                let leader = self.cluster.leader()?;
                self.cluster.kill_coordinator(leader)
            }
        }
    }

    fn heal(&mut self, fault: Fault, struck: Appliance) -> Result<()> {
        let host = struck.host();
        match fault {
            Fault::LinkDown => self.network().set_link(host, Link::Up),
            Fault::Killed | Fault::LeaderKilled => self.cluster.start_missing(),
            Fault::Hung => self.cluster.wake_all(),
            Fault::CutOff => trial::reconnect(self.network(), host),
            Fault::Planned => Ok(()),
        }
    }

    fn story(&self) -> String {
        let done = self.cluster.cli(&["history", "--limit", "12"]);
        done.map_or_else(|error| format!("{error:#}"), |done| done.output())
    }

    fn logs(&self) -> String {
        // `explain` puts the logs behind an error.
        self.cluster
            .explain::<()>(Err(anyhow::anyhow!("the logs")))
            .map_or_else(|e| format!("{e:#}"), |()| String::new())
    }
}

/// The pair, as an operator would write it.
fn group(profile: Profile) -> String {
    let (interval, timeout, fall) = profile.heartbeat;
    let (interval, timeout) = (interval.as_millis(), timeout.as_millis());
    let mut text = format!(
        r#"
[[group]]
name = "{PAIR}"
# Trial follows trial: nothing here is flapping.
policy = {{ flap_moves = 10000 }}
lease = {{ ttl = "{}ms"{} }}

[[group.binding]]
name = "inside"
kind = "vip"
address = "{VIP}/{PREFIX_LEN}"
interface = "{INTERFACE}"
"#,
        profile.lease.as_millis(),
        profile.lease_keys
    );
    for (host, address) in &OTHERS[..2] {
        text += &format!(
            r#"
[[group.appliance]]
name = "{host}"
address = "{address}"
probe = [{{ kind = "agent-heartbeat", interval = "{interval}ms", timeout = "{timeout}ms", rise = 2, fall = {fall} }}]
"#
        );
    }
    text
}
