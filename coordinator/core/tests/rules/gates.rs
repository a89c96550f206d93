//! Probe gates: which are refused, and that they are leased like virtual addresses.

use std::time::Duration;

use coordinator_core::action::{Action, desired, pending_actions};
use coordinator_core::apply::Rejection;
use coordinator_core::command::{CommandBody, RecordStep, ReleaseProof, StepOutcome};
use coordinator_core::ids::OperationId;
use coordinator_core::model::{BindingKind, GateProtocol, GateSpec, GroupSpec, QuorumLoss};
use coordinator_core::validate;

use crate::common::{Log, appliance, binding, group, group_name, tcp, with_peers};
use crate::operations::{active_pair, finish, start, the_group};

#[test]
fn a_group_of_gates_alone_is_sound() {
    assert_eq!(validate::group(&gated()), []);
    let mut failsafe = gated();
    with_peers(&mut failsafe);
    failsafe.policy.quorum_loss = QuorumLoss::Failsafe;
    assert_eq!(validate::group(&failsafe), [], "there is a lease to go on with");
}

/// Each row breaks one rule and names the path of the fault.
#[test]
fn each_fault_of_a_gate_names_its_path() {
    type Break = fn(&mut GroupSpec);
    let rows: &[(&str, Break)] = &[
        ("bindings[0].port", |g| gate(g).port = 0),
        ("bindings[1].port", |g| second(g, 8_686)),
        ("bindings[0].path", |g| gate(g).protocol = GateProtocol::Http { path: "ready".to_owned() }),
        ("bindings[0].path", |g| gate(g).protocol = GateProtocol::Http { path: "/a b".to_owned() }),
        ("bindings[0].path", |g| gate(g).protocol = GateProtocol::Http { path: "/a?b".to_owned() }),
        ("bindings[0].path", |g| {
            gate(g).protocol = GateProtocol::Http { path: format!("/{}", "a".repeat(256)) };
        }),
        ("bindings[0].from", |g| gate(g).from = vec!["10.0.0.1/8".parse().expect("a net")]),
        ("bindings[0].from", |g| gate(g).from = vec!["10.0.0.0/8".parse().expect("a net"); 17]),
        ("bindings[0].port", |g| {
            g.appliances[1].peer = vec!["10.0.0.2:8686".parse().expect("an address")];
        }),
        ("bindings[0].port", |g| g.appliances[0].probes.push(tcp("lb", "10.0.0.1:8686"))),
        ("bindings", |g| (1..=8).for_each(|n| second(g, 9_000 + n))),
    ];
    for (path, break_it) in rows {
        let mut spec = gated();
        break_it(&mut spec);
        let faults = validate::group(&spec);
        assert!(faults.iter().any(|f| f.path == *path), "{path} is not among {faults:?}");
    }
}

#[test]
fn a_probe_may_ask_another_hosts_port_of_that_number() {
    let mut spec = gated();
    spec.appliances[0].probes.push(tcp("other", "10.0.0.77:8686"));
    assert_eq!(validate::group(&spec), []);
}

#[test]
fn two_groups_may_use_one_port_number() {
    let mut log = Log::default();
    log.by_operator(CommandBody::PutGroup(gated())).expect("a sound group");
    let mut other = group("other", &["fw-c", "fw-d"], &["probe-gate"]);
    for (i, appliance) in other.appliances.iter_mut().enumerate() {
        appliance.address = format!("10.0.9.{}", i + 1).parse().expect("an address");
    }
    log.by_operator(CommandBody::PutGroup(other)).expect("appliances of its own");
}

#[test]
fn a_move_waits_for_the_release_and_for_the_gate_and_writes_to_no_cloud() {
    let mut log = active_pair(&["probe-gate"]);
    assert_eq!(desired(&log.state), [], "there is nothing in a cloud to compare");
    start(&mut log, "fw-b").expect("a switchover");
    let actions = pending_actions(&log.state);
    assert!(matches!(&actions[0], Action::AwaitRelease { appliance: a, .. } if *a == appliance("fw-a")));
    assert!(matches!(&actions[1], Action::AwaitHold { to, .. } if *to == appliance("fw-b")));
    assert_eq!(actions.len(), 2, "{actions:?}");
    let operation = the_group(&log).operation.as_ref().expect("running").id;
    let early = log.by_coordinator(opened(operation));
    assert!(matches!(early, Err(Rejection::NotReleased { .. })), "{early:?}");
    log.by_coordinator(CommandBody::RecordRelease {
        group: group_name("dmz"),
        appliance: appliance("fw-a"),
        token: the_group(&log).token,
        proof: ReleaseProof::Expired,
    })
    .expect("its lease is over");
    log.by_coordinator(opened(operation)).expect("the new one has opened it");
    assert!(the_group(&log).operation.is_none(), "the move is complete");
}

/// Without this the group could forget that `fw-a` may still answer probes: a group without a lease
/// waits for nobody when it moves.
#[test]
fn a_withdrawn_gate_is_not_declared_again_on_any_of_its_appliances_while_it_may_be_held() {
    let mut log = active_pair(&["probe-gate", "public-ip"]);
    let without = group("dmz", &["fw-a", "fw-b"], &["public-ip"]);
    log.by_operator(CommandBody::PutGroup(without)).expect("a gate may leave");
    start(&mut log, "fw-b").expect("a switchover");
    finish(&mut log);
    let anew = || CommandBody::PutGroup(group("dmz", &["fw-a", "fw-b"], &["probe-gate", "public-ip"]));
    let refused = log.by_operator(anew());
    assert!(matches!(refused, Err(Rejection::GateWithdrawn { port: 8_686, .. })), "{refused:?}");

    let mut removed = active_pair(&["probe-gate"]);
    removed.by_operator(CommandBody::RemoveGroup(group_name("dmz"))).expect("at rest");
    let elsewhere = || CommandBody::PutGroup(group("other", &["fw-b", "fw-c"], &["probe-gate"]));
    let refused = removed.by_operator(elsewhere());
    assert!(matches!(refused, Err(Rejection::GateWithdrawn { .. })), "{refused:?}");
    let strangers = CommandBody::PutGroup(group("third", &["fw-x", "fw-y"], &["probe-gate"]));
    removed.by_operator(strangers).expect("other appliances are another load balancer's");
    removed.by_operator(CommandBody::RemoveGroup(group_name("third"))).expect("never active");

    for (mut log, anew) in [(log, anew()), (removed, elsewhere())] {
        log.at += Duration::from_secs(60);
        log.by_operator(anew).expect("every lease is over by now");
    }
}

#[test]
fn what_else_a_gate_says_may_change_while_it_is_held() {
    let mut log = active_pair(&["probe-gate"]);
    let mut spec = gated();
    gate(&mut spec).from = vec!["168.63.129.16/32".parse().expect("a net")];
    gate(&mut spec).protocol = GateProtocol::Tcp;
    log.by_operator(CommandBody::PutGroup(spec)).expect("the port is the same");
    assert!(log.state.withdrawn.gates.is_empty());
}

#[test]
fn no_gate_leaves_while_someone_may_rely_on_promises() {
    let mut log = active_pair(&["probe-gate", "vip"]);
    let declare = |log: &mut Log, change: &dyn Fn(&mut GroupSpec)| {
        let mut spec = group("dmz", &["fw-a", "fw-b"], &["probe-gate", "vip"]);
        with_peers(&mut spec);
        spec.policy.quorum_loss = QuorumLoss::Failsafe;
        change(&mut spec);
        log.by_operator(CommandBody::PutGroup(spec))
    };
    declare(&mut log, &|_| {}).expect("failsafe");
    for change in [|g: &mut GroupSpec| drop(g.bindings.remove(0)), |g: &mut GroupSpec| gate(g).port = 8_687] {
        let refused = declare(&mut log, &change);
        assert!(matches!(refused, Err(Rejection::ReliedOn { .. })), "{refused:?}");
    }
    declare(&mut log, &|g| second(g, 8_687)).expect("one more takes nothing from anyone");
}

fn gated() -> GroupSpec {
    group("dmz", &["fw-a", "fw-b"], &["probe-gate"])
}

fn gate(spec: &mut GroupSpec) -> &mut GateSpec {
    match &mut spec.bindings[0].kind {
        BindingKind::ProbeGate(gate) => gate,
        other => panic!("the first binding is a probe gate, not {other:?}"),
    }
}

/// Adds another gate.
fn second(spec: &mut GroupSpec, port: u16) {
    let mut another = spec.bindings[0].clone();
    another.name = binding(&format!("gate-{port}"));
    if let BindingKind::ProbeGate(gate) = &mut another.kind {
        gate.port = port;
    }
    spec.bindings.insert(1, another);
}

fn opened(operation: OperationId) -> CommandBody {
    CommandBody::RecordStep(RecordStep {
        group: group_name("dmz"),
        operation,
        binding: binding("probe-gate"),
        outcome: StepOutcome::Done,
        calls: Vec::new(),
        took: Duration::ZERO,
    })
}
