//! What a seed's world looks like: groups, appliances, clocks and timings.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use coordinator_core::ids::{AdapterName, ApplianceName, BindingName, GroupName, NameError, ProbeName};
use coordinator_core::model::{
    ApplianceSpec, BindingKind, BindingSpec, FenceSpec, Fencing, GroupSpec, LeaseSpec, Policy, ProbeKind,
    ProbeSpec, QuorumLoss, Trigger,
};

use super::clock::{At, Clock, START, ms};
use super::random::Random;

/// Coordinators in every world.
pub(crate) const COORDINATORS: usize = 3;

/// The timings of a world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timings {
    pub(crate) heartbeat: At,
    pub(crate) election_min: At,
    pub(crate) election_max: At,
    /// The agents' longest interval between two reports.
    pub(crate) report: Duration,
    /// Machine clocks run too fast or too slow by at most this, in parts per million.
    pub(crate) rate_ppm: i64,
}

impl Timings {
    pub(crate) fn drawn(random: &mut Random) -> Timings {
        let scale = random.pick(&[1, 2, 2]);
        Timings {
            heartbeat: ms(50 * scale),
            election_min: ms(150 * scale),
            election_max: ms(300 * scale),
            report: Duration::from_millis(random.pick(&[100, 200, 300])),
            rate_ppm: random.pick(&[4_900, 4_900, 48_000]),
        }
    }

    /// The drift bound that holds for these clocks: (1 + r) / (1 − r) ≤ 1 + bound.
    fn drift_ppm(&self) -> u32 {
        if self.rate_ppm > 10_000 { 102_000 } else { 10_000 }
    }

    /// A clock at one end of the bound or at none.
    pub(crate) fn clock(&self, random: &mut Random, zero: At) -> Clock {
        let rate_ppm = random.pick(&[-1, 0, 1]) * self.rate_ppm;
        let wall_ahead_ms = i64::try_from(random.between(0, 4_000)).unwrap_or(0) - 2_000;
        Clock { zero, rate_ppm, wall_ahead_ms }
    }

    /// A machine that booted some time before the beginning.
    pub(crate) fn machine(&self, random: &mut Random) -> Clock {
        let zero = START - random.span_ms(1, 900_000);
        self.clock(random, zero)
    }
}

/// One or two groups of two or three appliances.
#[expect(clippy::expect_used, reason = "the names are written down below, and follow the rule for names")]
pub(crate) fn groups(random: &mut Random, timings: &Timings) -> Vec<GroupSpec> {
    let mut specs = vec![group(random, timings, 0, "dmz", &["fw-a", "fw-b"]).expect("sound names")];
    if random.percent(35) {
        specs.push(group(random, timings, 1, "edge", &["gw-a", "gw-b", "gw-c"]).expect("sound names"));
    }
    specs
}

fn group(
    random: &mut Random,
    timings: &Timings,
    number: u8,
    name: &str,
    appliances: &[&str],
) -> Result<GroupSpec, NameError> {
    let own = |i: usize| IpAddr::V4(Ipv4Addr::new(10, 0, number, u8::try_from(i + 1).unwrap_or(u8::MAX)));
    let mut names = Vec::new();
    for name in appliances {
        names.push(ApplianceName::new(*name)?);
    }
    let all: Vec<(usize, ApplianceName)> = names.into_iter().enumerate().collect();
    let of_each = |f: &dyn Fn(usize) -> String| -> BTreeMap<ApplianceName, String> {
        all.iter().map(|(i, name)| (name.clone(), f(*i))).collect()
    };
    let adapter = AdapterName::new("cloud")?;
    let vip = BindingKind::Vip {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, number, 100)),
        prefix_len: 24,
        interfaces: of_each(&|_| "eth0".to_owned()),
    };
    let public_ip = BindingKind::PublicIp {
        adapter: adapter.clone(),
        resource: format!("pip-{name}"),
        targets: of_each(&|i| format!("nic-{name}-{i}/main")),
    };
    let route = BindingKind::Route {
        adapter,
        table: format!("rt-{name}"),
        route: "default".to_owned(),
        targets: all.iter().map(|(i, name)| (name.clone(), own(*i))).collect(),
    };
    let mut bindings = Vec::new();
    for (name, kind) in [("vip", vip), ("public-ip", public_ip), ("route", route)] {
        bindings.push(BindingSpec { name: BindingName::new(name)?, kind });
    }
    let mut probes = vec![heartbeat()?];
    if random.percent(40) {
        probes.push(tcp(own(0))?);
    }
    let appliances = all.iter().map(|(i, name)| ApplianceSpec {
        name: name.clone(),
        address: own(*i),
        probes: probes.clone(),
        peer: Vec::new(),
        fence: None,
    });
    let policy = Policy {
        failback: random.pick(&[Trigger::Manual, Trigger::Manual, Trigger::Automatic]),
        stabilisation: Duration::from_secs(8),
        flap_moves: 4,
        // A failback that waits for it must be over well before a calm is.
        flap_window: Duration::from_secs(30),
        operation_timeout: Duration::from_secs(20),
        freshness: Duration::from_millis(random.pick(&[1_500, 2_000, 3_000])),
        ..Policy::default()
    };
    let ttl = Duration::from_millis(random.pick(&[1_000, 3_000, 3_000]));
    Ok(GroupSpec {
        name: GroupName::new(name)?,
        appliances: appliances.collect(),
        bindings,
        policy,
        lease: LeaseSpec { ttl, drift_ppm: timings.drift_ppm(), ..LeaseSpec::default() },
        path_probes: Vec::new(),
    })
}

/// What is declared for the worst case.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastResort {
    /// Some group goes on without a quorum.
    pub(crate) failsafe: bool,
    /// Operators give that up and take it up again.
    pub(crate) toggles: bool,
    /// Some group's earlier actives are switched off.
    pub(crate) fencing: bool,
}

/// Failsafe and fencing, for some groups of some worlds.
#[expect(clippy::expect_used, reason = "the name is written down here, and follows the rule for names")]
pub(crate) fn last_resort(random: &mut Random, specs: &mut [GroupSpec]) -> LastResort {
    let mut drawn = LastResort { toggles: random.percent(30), ..LastResort::default() };
    for spec in specs {
        if random.percent(40) {
            drawn.failsafe = true;
            spec.policy.quorum_loss = QuorumLoss::Failsafe;
        }
        spec.policy.fencing = match random.below(5) {
            0 => Fencing::Prefer,
            1 => Fencing::Require,
            _ => Fencing::Never,
        };
        drawn.fencing |= spec.policy.fencing != Fencing::Never;
        for appliance in &mut spec.appliances {
            appliance.peer = vec![(appliance.address, 7403).into()];
            appliance.fence = Some(FenceSpec::PowerOff {
                adapter: AdapterName::new("cloud").expect("a sound name"),
                resource: appliance.name.to_string(),
            });
        }
    }
    drawn.toggles &= drawn.failsafe;
    drawn
}

fn heartbeat() -> Result<ProbeSpec, NameError> {
    Ok(ProbeSpec {
        name: ProbeName::new("agent")?,
        kind: ProbeKind::AgentHeartbeat,
        interval: Duration::from_millis(250),
        timeout: Duration::from_millis(700),
        rise: 2,
        fall: 2,
    })
}

fn tcp(address: IpAddr) -> Result<ProbeSpec, NameError> {
    Ok(ProbeSpec {
        name: ProbeName::new("ssh")?,
        kind: ProbeKind::Tcp { address: (address, 22).into() },
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(300),
        rise: 2,
        fall: 2,
    })
}
