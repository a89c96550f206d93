//! Declarations: which are refused, and what a redeclaration keeps.

use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::CommandBody;
use coordinator_core::event::EventBody;
use coordinator_core::model::{BindingKind, FenceSpec, Fencing, GroupSpec, ProbeKind, QuorumLoss};
use coordinator_core::observe::Verdict;
use coordinator_core::validate;

use coordinator_core::state::{Difference, Drift};

use crate::common::{Log, appliance, binding, group, group_name, with_fences};
use crate::operations::{active_pair, finish, start};

#[test]
fn a_sound_declaration_has_no_fault() {
    assert_eq!(validate::group(&pair()), []);
}

/// Each row breaks one rule and names the path of the fault.
#[test]
fn each_fault_names_its_path() {
    type Break = fn(&mut GroupSpec);
    let rows: &[(&str, Break)] = &[
        ("appliances", |g| drop(g.appliances.pop())),
        ("bindings", |g| g.bindings.clear()),
        ("appliances[1].name", |g| g.appliances[1].name = appliance("fw-a")),
        ("appliances[1].address", |g| g.appliances[1].address = g.appliances[0].address),
        ("appliances[0].probes", |g| g.appliances[0].probes.clear()),
        ("appliances[0].probes[0].rise", |g| g.appliances[0].probes[0].rise = 0),
        ("appliances[0].probes[0].fall", |g| g.appliances[0].probes[0].fall = 0),
        ("appliances[0].probes[0].timeout", |g| {
            let probe = &mut g.appliances[0].probes[0];
            probe.kind = ProbeKind::Tcp { address: "10.0.0.1:22".parse().expect("an address") };
            probe.timeout = probe.interval;
        }),
        ("bindings[1].name", |g| g.bindings[1].name = g.bindings[0].name.clone()),
        ("bindings[0].prefix_len", |g| vip(g, |_, prefix_len| *prefix_len = 33)),
        ("bindings[0].address", |g| vip(g, |address, _| *address = "10.0.0.2".parse().expect("an address"))),
        ("bindings[0].address", |g| vip(g, |address, _| *address = "10.9.0.9".parse().expect("an address"))),
        ("bindings[0].address", |g| vip(g, |address, _| *address = "fd00::1".parse().expect("an address"))),
        ("bindings[0].interfaces", |g| interfaces(g, |i| drop(i.remove(&appliance("fw-b"))))),
        ("bindings[0].interfaces.fw-a", |g| {
            interfaces(g, |i| drop(i.insert(appliance("fw-a"), "much-too-long-a-name".to_owned())));
        }),
        ("bindings[0].interfaces.fw-z", |g| {
            interfaces(g, |i| drop(i.insert(appliance("fw-z"), "eth0".to_owned())));
        }),
        ("policy.flap_moves", |g| g.policy.flap_moves = 0),
        ("policy.freshness", |g| g.policy.freshness = Duration::ZERO),
        ("lease.ttl", |g| g.lease.ttl = Duration::from_millis(99)),
        ("lease.ttl", |g| g.lease.ttl = Duration::from_secs(61)),
        ("lease.drift_ppm", |g| g.lease.drift_ppm = 500_001),
        ("appliances[0].peer", |g| g.policy.quorum_loss = QuorumLoss::Failsafe),
        ("appliances[1].peer", |g| g.appliances[1].peer = peers(&["10.0.0.2:0"])),
        ("appliances[1].peer", |g| g.appliances[1].peer = peers(&["0.0.0.0:7403"])),
        ("appliances[1].peer", |g| g.appliances[1].peer = peers(&["10.0.0.100:7403"])),
        ("appliances[1].peer", |g| g.appliances[1].peer = peers(&["10.0.0.2:1", "10.0.0.2:2", "10.0.0.2:3"])),
        ("appliances[1].peer", |g| {
            g.appliances.iter_mut().for_each(|a| a.peer = peers(&["10.0.0.2:7403"]));
        }),
        ("appliances[1].fence", |g| {
            with_fences(g, Fencing::Require);
            g.appliances[1].fence = None;
        }),
        ("appliances[1].fence.resource", |g| {
            g.appliances.iter_mut().for_each(|a| a.fence = power_off("vm-1"));
        }),
        ("appliances[0].fence.resource", |g| g.appliances[0].fence = power_off(" ")),
        ("policy.quorum_loss", |g| {
            g.bindings.remove(0);
            g.policy.quorum_loss = QuorumLoss::Failsafe;
        }),
    ];
    for (path, break_it) in rows {
        let mut spec = pair();
        break_it(&mut spec);
        let faults = validate::group(&spec);
        assert!(faults.iter().any(|f| f.path == *path), "{path} is not among {faults:?}");
        let rejected = Log::default().by_operator(CommandBody::PutGroup(spec));
        assert!(matches!(rejected, Err(Rejection::InvalidGroup { .. })), "{path}: {rejected:?}");
    }
}

#[test]
fn faults_are_reported_together() {
    let mut spec = pair();
    spec.policy.flap_moves = 0;
    spec.lease.ttl = Duration::ZERO;
    spec.appliances[0].probes[0].rise = 0;
    assert_eq!(validate::group(&spec).len(), 3);
}

#[test]
fn groups_share_no_appliance_address_or_binding() {
    let mut log = Log::default();
    log.by_operator(CommandBody::PutGroup(pair())).expect("a sound group");
    let other = group("other", &["fw-b", "fw-c"], &["vip", "public-ip", "route"]);
    let Err(Rejection::InvalidGroup { faults, .. }) = log.by_operator(CommandBody::PutGroup(other)) else {
        panic!("it shares everything");
    };
    let paths: Vec<_> = faults.iter().map(|f| f.path.as_str()).collect();
    for expected in
        ["appliances[0].name", "appliances[0].address", "bindings[0].address", "bindings[1].resource"]
    {
        assert!(paths.contains(&expected), "{expected} is not among {paths:?}");
    }
}

#[test]
fn the_same_declaration_again_changes_nothing() {
    let mut log = Log::default();
    log.by_operator(CommandBody::PutGroup(pair())).expect("a sound group");
    let before = log.state.clone();
    assert_eq!(log.by_operator(CommandBody::PutGroup(pair())), Ok(vec![]));
    assert_eq!(log.state, before);
}

#[test]
fn a_redeclaration_keeps_what_is_known() {
    let mut log = active_pair(&["vip"]);
    let mut spec = log.state.groups[&group_name("dmz")].spec.clone();
    spec.policy.flap_moves = 9;
    spec.appliances.push(group("x", &["a", "b", "fw-c"], &["vip"]).appliances[2].clone());
    interfaces(&mut spec, |i| drop(i.insert(appliance("fw-c"), "eth0".to_owned())));
    let events = log.by_operator(CommandBody::PutGroup(spec)).expect("a sound change");
    assert_eq!(events[0].body, EventBody::GroupDeclared { new: false });
    let group = &log.state.groups[&group_name("dmz")];
    assert_eq!(group.active, Some(appliance("fw-a")));
    assert_eq!(group.verdict(&appliance("fw-a")), Verdict::Up);
    assert_eq!(group.verdict(&appliance("fw-c")), Verdict::Unknown);
}

#[test]
fn nothing_is_declared_or_removed_while_an_operation_runs() {
    let mut log = active_pair(&["vip"]);
    start(&mut log, "fw-b").expect("a switchover");
    let mut spec = pair();
    spec.policy.flap_moves = 9;
    let running = |r| matches!(r, Err(Rejection::OperationRunning { .. }));
    assert!(running(log.by_operator(CommandBody::PutGroup(spec))));
    assert!(running(log.by_operator(CommandBody::RemoveGroup(group_name("dmz")))));
}

#[test]
fn the_active_appliance_cannot_leave() {
    let mut log = active_pair(&["vip"]);
    let spec = group("dmz", &["fw-b", "fw-c"], &["vip"]);
    let refused = log.by_operator(CommandBody::PutGroup(spec));
    assert!(matches!(refused, Err(Rejection::ApplianceInUse { .. })), "{refused:?}");
}

#[test]
fn the_lease_is_not_shortened_under_an_active_appliance() {
    let mut log = active_pair(&["vip"]);
    let mut spec = log.state.groups[&group_name("dmz")].spec.clone();
    spec.lease.ttl = Duration::from_secs(1);
    let refused = log.by_operator(CommandBody::PutGroup(spec.clone()));
    assert_eq!(refused, Err(Rejection::LeaseShortened { group: group_name("dmz") }));
    spec.lease.ttl = Duration::from_secs(5);
    log.by_operator(CommandBody::PutGroup(spec)).expect("a longer lease is no danger");
}

#[test]
fn a_withdrawn_vip_is_not_declared_again_while_it_may_be_held() {
    let mut log = active_pair(&["vip", "public-ip"]);
    log.by_operator(CommandBody::RemoveGroup(group_name("dmz"))).expect("at rest");
    let anew = || CommandBody::PutGroup(group("other", &["fw-b", "fw-c"], &["vip"]));
    let refused = log.by_operator(anew());
    assert!(matches!(refused, Err(Rejection::VipWithdrawn { .. })), "{refused:?}");
    log.at += Duration::from_secs(60);
    log.by_operator(anew()).expect("every lease is over by now");
}

#[test]
fn the_file_seeds_an_empty_cluster_only() {
    let mut faulty = pair();
    faulty.policy.flap_moves = 0;
    let refused =
        Log::default().by_coordinator(CommandBody::Seed { groups: vec![pair(), faulty], pools: Vec::new() });
    assert!(matches!(refused, Err(Rejection::InvalidGroup { .. })), "{refused:?}");
    let twice =
        Log::default().by_coordinator(CommandBody::Seed { groups: vec![pair(), pair()], pools: Vec::new() });
    assert!(matches!(twice, Err(Rejection::InvalidGroup { .. })), "{twice:?}");
    let mut log = Log::default();
    log.by_coordinator(CommandBody::Seed { groups: vec![pair()], pools: Vec::new() })
        .expect("a sound file in an empty log");
    log.by_operator(CommandBody::RemoveGroup(group_name("dmz"))).expect("at rest");
    assert_eq!(
        log.by_coordinator(CommandBody::Seed { groups: vec![pair()], pools: Vec::new() }),
        Err(Rejection::AlreadySeeded)
    );
}

#[test]
fn drift_of_a_binding_is_told_once() {
    let mut log = active_pair(&["public-ip"]);
    let drift = |what: Option<&str>| CommandBody::RecordDrift {
        group: group_name("dmz"),
        binding: binding("public-ip"),
        drift: what.map(|what| Drift {
            summary: what.to_owned(),
            differences: vec![Difference {
                resource: "nics/nic-z".to_owned(),
                field: "public_ip".to_owned(),
                expected: "nothing".to_owned(),
                found: "pip".to_owned(),
            }],
        }),
    };
    let events = log.by_coordinator(drift(Some("points at nic-z"))).expect("it is news");
    assert_eq!(
        events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "dmz: public-ip is not as it should be: points at nic-z; nics/nic-z: public_ip is pip, should be nothing"
        ]
    );
    assert_eq!(log.by_coordinator(drift(Some("points at nic-z"))).map(|e| e.len()), Ok(0));
    assert_eq!(log.by_coordinator(drift(None)).map(|e| e.len()), Ok(1));
    start(&mut log, "fw-b").expect("a switchover");
    finish(&mut log);
}

fn pair() -> GroupSpec {
    group("dmz", &["fw-a", "fw-b"], &["vip", "public-ip", "route"])
}

fn vip(spec: &mut GroupSpec, change: impl FnOnce(&mut std::net::IpAddr, &mut u8)) {
    let BindingKind::Vip { address, prefix_len, .. } = &mut spec.bindings[0].kind else {
        panic!("the first binding is a VIP");
    };
    change(address, prefix_len);
}

type Interfaces = std::collections::BTreeMap<coordinator_core::ids::ApplianceName, String>;

fn interfaces(spec: &mut GroupSpec, change: impl FnOnce(&mut Interfaces)) {
    let BindingKind::Vip { interfaces, .. } = &mut spec.bindings[0].kind else {
        panic!("the first binding is a VIP");
    };
    change(interfaces);
}

fn peers(all: &[&str]) -> Vec<std::net::SocketAddr> {
    all.iter().map(|address| address.parse().expect("an address and a port")).collect()
}

fn power_off(resource: &str) -> Option<FenceSpec> {
    let adapter = "azure".parse().expect("an adapter's name");
    Some(FenceSpec::PowerOff { adapter, resource: resource.to_owned() })
}
