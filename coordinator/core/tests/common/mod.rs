//! Names and declarations for the tests.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use coordinator_core::apply::{Rejection, apply};
use coordinator_core::check::{check, check_progress};
use coordinator_core::command::{Actor, Command, CommandBody};
use coordinator_core::event::Event;
use coordinator_core::ids::{ApplianceName, BindingName, GroupName, NodeId, ProbeName};
use coordinator_core::model::{
    ApplianceSpec, BindingKind, BindingSpec, FenceSpec, Fencing, GateProtocol, GateSpec, GroupSpec,
    LeaseSpec, Policy, ProbeKind, ProbeSpec,
};
use coordinator_core::state::State;
use coordinator_core::time::WallTime;

/// 2026-01-01T00:00:00Z: where the tests' wall clock begins.
pub(crate) const EPOCH: WallTime = WallTime(1_767_225_600_000);

pub(crate) fn group_name(name: &str) -> GroupName {
    GroupName::new(name).expect("a group's name")
}

pub(crate) fn appliance(name: &str) -> ApplianceName {
    ApplianceName::new(name).expect("an appliance's name")
}

pub(crate) fn binding(name: &str) -> BindingName {
    BindingName::new(name).expect("a binding's name")
}

pub(crate) fn probe() -> ProbeSpec {
    ProbeSpec {
        name: ProbeName::new("alive").expect("a probe's name"),
        kind: ProbeKind::AgentHeartbeat,
        interval: Duration::from_millis(200),
        timeout: Duration::from_millis(100),
        rise: 2,
        fall: 2,
    }
}

/// A TCP probe.
pub(crate) fn tcp(name: &str, address: &str) -> ProbeSpec {
    let kind = ProbeKind::Tcp { address: address.parse().expect("an address") };
    ProbeSpec { name: ProbeName::new(name).expect("a probe's name"), kind, ..probe() }
}

/// A group of appliances `10.0.0.1` and following, with one binding per kind named. The kinds are
/// `vip`, `public-ip`, `route` and `probe-gate`, and each binding is named after its kind.
pub(crate) fn group(name: &str, appliances: &[&str], kinds: &[&str]) -> GroupSpec {
    let own = |i: usize| IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(i + 1).expect("few appliances")));
    let declared = |(i, name): (usize, &&str)| ApplianceSpec {
        name: appliance(name),
        address: own(i),
        probes: vec![probe()],
        peer: Vec::new(),
        fence: None,
    };
    let of_each = |f: &dyn Fn(usize) -> String| -> BTreeMap<ApplianceName, String> {
        appliances.iter().enumerate().map(|(i, name)| (appliance(name), f(i))).collect()
    };
    let adapter = "sim".parse().expect("an adapter's name");
    let kind = |word: &str| match word {
        "vip" => BindingKind::Vip {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
            prefix_len: 24,
            interfaces: of_each(&|_| "eth0".to_owned()),
        },
        "public-ip" => BindingKind::PublicIp {
            adapter: std::clone::Clone::clone(&adapter),
            resource: "pip".to_owned(),
            targets: of_each(&|i| format!("nic-{i}")),
        },
        "route" => BindingKind::Route {
            adapter: std::clone::Clone::clone(&adapter),
            table: "rt-hub".to_owned(),
            route: "default".to_owned(),
            targets: appliances.iter().enumerate().map(|(i, name)| (appliance(name), own(i))).collect(),
        },
        "probe-gate" => BindingKind::ProbeGate(GateSpec {
            port: 8_686,
            protocol: GateProtocol::Http { path: "/ready".to_owned() },
            from: Vec::new(),
        }),
        other => panic!("there is no binding kind {other}"),
    };
    GroupSpec {
        name: group_name(name),
        appliances: appliances.iter().enumerate().map(declared).collect(),
        bindings: kinds.iter().map(|k| BindingSpec { name: binding(k), kind: kind(k) }).collect(),
        policy: Policy::default(),
        lease: LeaseSpec::default(),
        path_probes: Vec::new(),
    }
}

/// Gives every agent an address for its peers.
pub(crate) fn with_peers(spec: &mut GroupSpec) {
    for appliance in &mut spec.appliances {
        appliance.peer = vec![(appliance.address, 7403).into()];
    }
}

/// Has every appliance switched off by a hook: `off-fw-a` for `fw-a`.
pub(crate) fn with_fences(spec: &mut GroupSpec, fencing: Fencing) {
    spec.policy.fencing = fencing;
    for appliance in &mut spec.appliances {
        let name = format!("off-{}", appliance.name).parse().expect("a hook's name");
        appliance.fence = Some(FenceSpec::Hook { name });
    }
}

/// A state with the log that made it, checked after every command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) at: Duration,
}

impl Log {
    pub(crate) fn wall(&self) -> WallTime {
        EPOCH.plus(self.at)
    }

    pub(crate) fn by_coordinator(&mut self, body: CommandBody) -> Result<Vec<Event>, Rejection> {
        self.apply(Actor::Coordinator(NodeId(1)), body)
    }

    pub(crate) fn by_operator(&mut self, body: CommandBody) -> Result<Vec<Event>, Rejection> {
        self.apply(Actor::Operator("ops".to_owned()), body)
    }

    pub(crate) fn apply(&mut self, actor: Actor, body: CommandBody) -> Result<Vec<Event>, Rejection> {
        self.index += 1;
        let command = Command { at: self.wall(), actor, body };
        let before = self.state.clone();
        let result = apply(&mut self.state, self.index, &command);
        assert_eq!(check(&self.state), Vec::<String>::new(), "after {command:?}");
        assert_eq!(check_progress(&before, &self.state), Vec::<String>::new(), "after {command:?}");
        let mut chain = before.history;
        for event in result.iter().flatten() {
            let json = serde_json::to_string(event).expect("every event has a JSON form");
            assert_eq!(serde_json::from_str::<Event>(&json).expect("which reads back"), *event);
            chain.check(event).expect("it continues the chain");
        }
        assert_eq!(chain, self.state.history);
        if result.is_err() {
            let expected = State { time: self.state.time, ..before };
            assert_eq!(self.state, expected, "a rejected command changed the state: {command:?}");
        }
        result
    }
}
