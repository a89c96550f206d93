//! A group with a VIP, and agents' reports, for the tests of this module.

use coordinator_api::agent::AgentReport;
use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::model::{
    ApplianceSpec, BindingKind, BindingSpec, GroupSpec, LeaseSpec, Policy, ProbeKind, ProbeSpec,
};
use coordinator_core::state::Group;
use coordinator_core::time::{Mono, WallTime};
use std::time::Duration;

pub(crate) fn name(text: &str) -> ApplianceName {
    text.parse().unwrap()
}

pub(crate) fn ms(millis: u64) -> Mono {
    Mono::from_millis(millis)
}

/// Group `dmz` of `fw-a` and `fw-b` with one VIP and a lease of one second; nothing is active.
pub(crate) fn group() -> Group {
    let appliance = |text: &str, address: &str| ApplianceSpec {
        name: name(text),
        address: address.parse().unwrap(),
        probes: vec![ProbeSpec {
            name: "heartbeat".parse().unwrap(),
            kind: ProbeKind::AgentHeartbeat,
            interval: Duration::from_millis(100),
            timeout: Duration::from_millis(500),
            rise: 1,
            fall: 1,
        }],
        peer: Vec::new(),
        fence: None,
    };
    let interfaces = ["fw-a", "fw-b"].map(|a| (name(a), "eth0".to_owned())).into();
    let vip = BindingKind::Vip { address: "10.0.0.9".parse().unwrap(), prefix_len: 24, interfaces };
    let spec = GroupSpec {
        name: "dmz".parse().unwrap(),
        appliances: vec![appliance("fw-a", "10.0.0.4"), appliance("fw-b", "10.0.0.5")],
        bindings: vec![BindingSpec { name: "vip".parse().unwrap(), kind: vip }],
        policy: Policy::default(),
        lease: LeaseSpec { ttl: Duration::from_secs(1), drift_ppm: 0, ..LeaseSpec::default() },
        path_probes: Vec::new(),
    };
    Group::new(spec, 1, WallTime(0))
}

pub(crate) fn report(appliance: &str, highest: u64, holding: Option<u64>) -> AgentReport {
    AgentReport {
        appliance: name(appliance),
        boot: 1,
        seq: 1,
        version: "test".to_owned(),
        highest: Token(highest),
        holding: holding.map(Token),
        vips_up: holding.is_some(),
        faults: Vec::new(),
        revision: 0,
        via: None,
        peers: Vec::new(),
        notices: Vec::new(),
    }
}
