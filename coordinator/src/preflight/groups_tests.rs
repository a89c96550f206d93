//! Each check of a group, driven to what it can find.

use std::collections::BTreeMap;

use coordinator_api::v1::CheckVerdict::{self, Fail, Pass, Warn};
use coordinator_core::ids::{NodeId, OperationId, Token};
use coordinator_core::observe::Sight;
use coordinator_core::reason::Reason;
use coordinator_core::state::{Appliance, HeartbeatPath};
use coordinator_core::time::{Mono, WallTime};

use super::*;
use crate::control_loop::fixtures::{group as declared, ms, name, report};

const NOW: u64 = 100_000;

fn limits() -> GroupLimits {
    GroupLimits { shortest_lease: Duration::from_millis(700), ..GroupLimits::default() }
}

/// Group `dmz`, `fw-a` active, both up.
fn group() -> Group {
    let mut group = declared();
    group.active = Some(name("fw-a"));
    group.token = Token(7);
    for appliance in ["fw-a", "fw-b"] {
        let up = Appliance { verdict: Verdict::Up, ..Appliance::unknown(WallTime(0)) };
        group.appliances.insert(name(appliance), up);
    }
    group
}

fn vantage(verdicts: [Verdict; 2]) -> VantageReport {
    vantage_at(NOW - 100, verdicts)
}

fn vantage_at(made: u64, verdicts: [Verdict; 2]) -> VantageReport {
    let sights = ["fw-a", "fw-b"].into_iter().zip(verdicts).map(|(appliance, verdict)| Sight {
        appliance: name(appliance),
        verdict,
        detail: "tcp: refused".to_owned(),
    });
    VantageReport::new(ms(made), sights)
}

/// All three see both up, and both agents report.
fn overview() -> Overview {
    let mut overview = Overview { now: ms(NOW), ..Overview::default() };
    for node in (1..=3).map(NodeId) {
        overview.observations.vantages.insert(node);
        overview.observations.reports.insert(node, vantage([Verdict::Up; 2]));
    }
    overview.agents = BTreeMap::from(["fw-a", "fw-b"].map(|a| (name(a), seen(a, NOW - 200))));
    overview
}

fn seen(appliance: &str, at: u64) -> AgentSeen {
    let at = Mono::from_millis(at);
    AgentSeen { received: at, revision_since: at, report: report(appliance, 7, None) }
}

/// What is not well.
fn wrong(group: &Group, overview: &Overview) -> Vec<(Check, CheckVerdict)> {
    let items = look(group, overview, &limits());
    for item in &items {
        assert_eq!(item.group.as_ref(), Some(&group.spec.name));
        assert_eq!(item.advice.is_empty(), item.verdict == Pass, "{item:?}");
    }
    items.into_iter().filter(|item| item.verdict != Pass).map(|item| (item.check, item.verdict)).collect()
}

#[test]
fn a_group_in_good_order_passes() {
    assert_eq!(wrong(&group(), &overview()), []);
}

#[test]
fn the_state_of_a_group_is_told() {
    let mut frozen = group();
    frozen.frozen = Some(Reason::NoStandby);
    assert_eq!(wrong(&frozen, &overview()), [(Check::GroupState, Fail)]);
    let mut held = group();
    held.hold = Some(Reason::NoStandby);
    assert_eq!(wrong(&held, &overview()), [(Check::GroupState, Fail)]);
    let mut manual = group();
    manual.mode = Trigger::Manual;
    assert_eq!(wrong(&manual, &overview()), [(Check::GroupState, Warn)]);
    let mut idle = group();
    idle.active = None;
    assert_eq!(wrong(&idle, &overview()), [(Check::GroupState, Fail)]);
}

#[test]
fn one_coordinator_that_does_not_see_an_appliance_is_a_warning() {
    let mut overview = overview();
    overview.observations.reports.insert(NodeId(2), vantage([Verdict::Up, Verdict::Down]));
    assert_eq!(wrong(&group(), &overview), [(Check::Appliance, Warn)]);
    let items = look(&group(), &overview, &limits());
    let found = items.iter().find(|item| item.verdict == Warn).map(|item| item.found.as_str());
    assert_eq!(found, Some("for coordinator 2 it is down: tcp: refused"));
}

#[test]
fn a_coordinator_whose_view_is_stale_has_said_nothing() {
    let mut overview = overview();
    let stale = vantage_at(NOW - 10_000, [Verdict::Up; 2]);
    overview.observations.reports.insert(NodeId(3), stale);
    assert_eq!(wrong(&group(), &overview), [(Check::Appliance, Warn), (Check::Appliance, Warn)]);
}

#[test]
fn a_standby_that_is_down_leaves_nobody() {
    for verdict in [Verdict::Down, Verdict::Unknown] {
        let mut group = group();
        group.appliances.get_mut(&name("fw-b")).unwrap().verdict = verdict;
        assert_eq!(wrong(&group, &overview()), [(Check::Appliance, Fail), (Check::Standby, Fail)]);
    }
    let mut group = group();
    group.appliances.get_mut(&name("fw-b")).unwrap().maintenance = Some("disk".to_owned());
    assert_eq!(wrong(&group, &overview()), [(Check::Appliance, Warn), (Check::Standby, Fail)]);
}

#[test]
fn agents_have_to_report_well_and_by_themselves() {
    let mut faulty = overview();
    faulty.agents.get_mut(&name("fw-b")).unwrap().report.faults.push("eth0 is down".to_owned());
    assert_eq!(wrong(&group(), &faulty), [(Check::Agent, Fail)]);
    let mut relayed = overview();
    relayed.agents.get_mut(&name("fw-b")).unwrap().report.via = Some(name("fw-a"));
    assert_eq!(wrong(&group(), &relayed), [(Check::Agent, Warn)]);
    let mut silent = overview();
    silent.agents.insert(name("fw-b"), seen("fw-b", NOW - 6_000));
    assert_eq!(wrong(&group(), &silent), [(Check::Agent, Fail)]);
    let mut missing = overview();
    missing.agents.clear();
    assert_eq!(wrong(&group(), &missing), [(Check::Agent, Fail), (Check::Agent, Fail)]);
}

#[test]
fn a_lease_that_a_change_of_leader_costs_is_a_warning() {
    let mut short = group();
    short.spec.lease.ttl = Duration::from_millis(699);
    assert_eq!(wrong(&short, &overview()), [(Check::Lease, Warn)]);
}

#[test]
fn ways_paths_and_drifts_are_told() {
    let mut group = group();
    let way = HeartbeatPath { from: name("fw-a"), to: name("fw-b"), path: 1 };
    group.heartbeats_down.insert(way, WallTime(0));
    let summary = "points at nothing, should point at fw-a".to_owned();
    let drift = coordinator_core::state::Drift { summary, differences: Vec::new() };
    group.drift.insert("vip".parse().unwrap(), drift);
    group.spec.path_probes = group.spec.appliances[0].probes.clone();
    assert_eq!(
        wrong(&group, &overview()),
        [(Check::HeartbeatWay, Warn), (Check::Path, Warn), (Check::Drift, Fail)]
    );
    group.path.verdict = Verdict::Down;
    assert!(wrong(&group, &overview()).contains(&(Check::Path, Fail)));
}

#[test]
fn a_group_that_is_moving_is_no_group_at_rest() {
    use coordinator_core::apply::apply;
    use coordinator_core::command::{Actor, Command, CommandBody, OperationKind, StartOperation};
    let mut state = coordinator_core::state::State::default();
    let at_rest = group();
    state.groups.insert(at_rest.spec.name.clone(), at_rest);
    let body = CommandBody::StartOperation(StartOperation {
        group: "dmz".parse().unwrap(),
        kind: OperationKind::Switchover,
        to: name("fw-b"),
        expected: Token(7),
        supersedes: None,
        reason: "test".to_owned(),
        because: Vec::new(),
        evidence: Vec::new(),
    });
    apply(&mut state, 9, &Command { at: WallTime(1), actor: Actor::Operator("a".to_owned()), body }).unwrap();
    let moving = state.operation(OperationId(9)).unwrap().0.clone();
    assert_eq!(wrong(&moving, &overview()), [(Check::GroupState, Warn)]);
}
