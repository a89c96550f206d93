//! Paths: through the active appliance, and between agents.

use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{CommandBody, OperationKind, StartOperation};
use coordinator_core::decide::Observations;
use coordinator_core::event::Event;
use coordinator_core::heartbeats::{self, Heard};
use coordinator_core::ids::{NodeId, Token};
use coordinator_core::model::{GroupSpec, ProbeKind};
use coordinator_core::observe::{Outcome, PathSight, VantageReport, Verdict, Watch, path_verdict};
use coordinator_core::state::{HeartbeatPath, Traffic};
use coordinator_core::time::{Mono, Now};
use coordinator_core::validate;

use crate::common::{Log, appliance, group, group_name, probe, tcp};
use crate::operations::{active_pair, finish, request, start, the_group, verdict};

/// Each row breaks one rule and names the path of the fault.
#[test]
fn each_fault_of_a_path_names_its_place() {
    type Break = fn(&mut GroupSpec);
    let rows: &[(&str, Break)] = &[
        ("path_probes", |g| g.path_probes = vec![tcp("web", "10.0.0.100:443"); 9]),
        ("path_probes[1].name", |g| g.path_probes = vec![tcp("web", "10.0.0.100:443"); 2]),
        ("path_probes[0].rise", |g| g.path_probes[0].rise = 0),
        ("path_probes[0].kind", |g| g.path_probes[0].kind = ProbeKind::AgentHeartbeat),
        ("path_probes[0].address", |g| g.path_probes[0] = tcp("web", "10.0.0.2:443")),
        ("path_probes[0].url", |g| {
            g.path_probes[0].kind = ProbeKind::Http {
                url: "http://10.0.0.1:80/".to_owned(),
                status: 200,
                body_contains: None,
                trust: coordinator_core::model::Trust::Any,
            };
        }),
        ("policy.path_decides", |g| g.path_probes.clear()),
    ];
    for (path, break_it) in rows {
        let mut spec = watched();
        break_it(&mut spec);
        let faults = validate::group(&spec);
        assert!(faults.iter().any(|f| f.path == *path), "{path}: {faults:?}");
    }
    assert_eq!(validate::group(&watched()), []);
}

#[test]
fn the_path_is_recorded_under_the_present_grant_and_at_rest_only() {
    let mut log = active_pair(&["public-ip"]);
    let refused = path(&mut log, Verdict::Down);
    assert_eq!(refused, Err(Rejection::NoPathProbes { group: group_name("dmz") }));
    let mut log = watched_pair();
    let stale = CommandBody::RecordPath {
        group: group_name("dmz"),
        token: Token(1),
        verdict: Verdict::Down,
        evidence: Vec::new(),
    };
    assert!(matches!(log.by_coordinator(stale), Err(Rejection::StaleToken { .. })));
    assert_eq!(path(&mut log, Verdict::Up).map(|e| e.len()), Ok(1));
    assert_eq!(path(&mut log, Verdict::Up).map(|e| e.len()), Ok(0), "a repeat");
    start(&mut log, "fw-b").expect("a switchover");
    assert!(matches!(path(&mut log, Verdict::Down), Err(Rejection::OperationRunning { .. })));
}

#[test]
fn traffic_is_settled_once_and_only_for_the_newest_completed_move() {
    let mut log = watched_pair();
    let first = the_group(&log).ended.back().expect("an activation").id;
    let settle =
        |operation, traffic| CommandBody::RecordTraffic { group: group_name("dmz"), operation, traffic };
    let open =
        |result: Result<Vec<Event>, Rejection>| !matches!(result, Err(Rejection::TrafficNotOpen { .. }));
    assert!(!open(log.by_coordinator(settle(first, Traffic::NotRestored))), "its time is not over");
    start(&mut log, "fw-b").expect("a switchover");
    let second = the_group(&log).operation.as_ref().expect("it runs").id;
    assert!(!open(log.by_coordinator(settle(first, Traffic::Restored))), "another one runs");
    assert!(!open(log.by_coordinator(settle(second, Traffic::Restored))), "it runs");
    finish(&mut log);
    assert!(!open(log.by_coordinator(settle(first, Traffic::Restored))), "not the newest");
    log.at += the_group(&log).spec.policy.operation_timeout;
    let events = log.by_coordinator(settle(second, Traffic::NotRestored)).expect("its time is over");
    assert_eq!(events[0].body.word(), "traffic-not-restored");
    assert!(!open(log.by_coordinator(settle(second, Traffic::Restored))), "it is settled");
}

/// Whether a failover from an appliance that is up is accepted, by what is known of the path.
#[test]
fn only_a_path_that_is_down_and_decides_allows_a_failover_from_a_live_appliance() {
    let failover = |log: &mut Log| {
        let request = request(log, OperationKind::Failover, "fw-b");
        log.by_coordinator(CommandBody::StartOperation(StartOperation { ..request }))
    };
    let mut log = watched_pair();
    path(&mut log, Verdict::Up).expect("at rest");
    assert!(matches!(failover(&mut log), Err(Rejection::ActiveNotDown { .. })), "it is up");
    path(&mut log, Verdict::Down).expect("at rest");
    let mut told = the_group(&log).spec.clone();
    told.policy.path_decides = false;
    let mut watched_only = log.clone();
    watched_only.by_operator(CommandBody::PutGroup(told)).expect("at rest");
    assert!(
        matches!(failover(&mut watched_only), Err(Rejection::ActiveNotDown { .. })),
        "it does not decide"
    );
    failover(&mut log).expect("it decides");
    finish(&mut log);
    assert!(the_group(&log).appliances[&appliance("fw-a")].path_failed);
    let back = request(&log, OperationKind::Failover, "fw-a");
    let refused = log.by_coordinator(CommandBody::StartOperation(back));
    assert!(matches!(refused, Err(Rejection::ActiveNotDown { .. })), "moving did not help");
}

#[test]
fn other_path_probes_make_another_path() {
    let mut log = watched_pair();
    path(&mut log, Verdict::Down).expect("at rest");
    let mut spec = the_group(&log).spec.clone();
    spec.policy.stabilisation = Duration::from_secs(7);
    log.by_operator(CommandBody::PutGroup(spec.clone())).expect("at rest");
    assert_eq!(the_group(&log).path.verdict, Verdict::Down, "the probes are the same");
    spec.path_probes[0] = tcp("through", "192.0.2.1:443");
    log.by_operator(CommandBody::PutGroup(spec)).expect("at rest");
    assert_eq!(the_group(&log).path.verdict, Verdict::Unknown);
}

#[test]
fn a_dead_active_leaves_no_mark_of_a_failed_path() {
    let mut log = watched_pair();
    path(&mut log, Verdict::Down).expect("at rest");
    verdict(&mut log, "fw-a", Verdict::Down);
    let request = request(&log, OperationKind::Failover, "fw-b");
    log.by_coordinator(CommandBody::StartOperation(request)).expect("it is down");
    assert!(!the_group(&log).appliances[&appliance("fw-a")].path_failed);
}

#[test]
fn a_path_begins_anew_after_a_move_and_forgets_samples_from_before() {
    let mut log = watched_pair();
    let mut watch = Watch::new();
    watch.declare(&log.state);
    let before = watch.path_token(&group_name("dmz")).expect("at rest");
    assert!(feed(&mut watch, before, Outcome::Pass, 0), "it got through");
    assert_eq!(seen(&watch, 0), "unknown, passed");
    assert!(feed(&mut watch, before, Outcome::Pass, 200));
    assert_eq!(seen(&watch, 200), "up, passed");
    start(&mut log, "fw-b").expect("a switchover");
    watch.declare(&log.state);
    assert_eq!((watch.path_token(&group_name("dmz")), seen(&watch, 300).as_str()), (None, ""));
    finish(&mut log);
    watch.declare(&log.state);
    let after = watch.path_token(&group_name("dmz")).expect("at rest again");
    assert!(after > before);
    feed(&mut watch, before, Outcome::Pass, 400);
    assert_eq!(seen(&watch, 400), "", "it began before the move");
    assert!(feed(&mut watch, after, Outcome::Pass, 400));
    assert_eq!(seen(&watch, 400), "unknown, passed");
}

#[test]
fn a_path_that_fails_while_nothing_else_answers_is_not_told() {
    let log = watched_pair();
    let mut watch = Watch::new();
    watch.declare(&log.state);
    let token = watch.path_token(&group_name("dmz")).expect("at rest");
    feed(&mut watch, token, Outcome::Silent, 0);
    feed(&mut watch, token, Outcome::Silent, 200);
    assert_eq!(seen(&watch, 200), "", "this vantage may be cut off");
    watch.feed(&appliance("fw-b"), &probe().name, true, "reports", Mono::from_millis(300));
    assert_eq!(seen(&watch, 300), "down");
}

/// What each vantage sees of the path; `U` up, `D` down, `u` unknown, `p` got through once, `o` up
/// under an older grant, `.` nothing. Then the verdict, and whether traffic passes.
#[test]
fn a_majority_of_all_vantages_decides_on_the_path() {
    let log = watched_pair();
    for (reports, expected, passed) in [
        ("UUU", Verdict::Up, true),
        ("UU.", Verdict::Up, true),
        ("U..", Verdict::Unknown, false),
        ("pp.", Verdict::Unknown, true),
        ("Up.", Verdict::Unknown, true),
        ("DDU", Verdict::Down, false),
        ("D.U", Verdict::Unknown, false),
        ("ooo", Verdict::Unknown, false),
        ("oUU", Verdict::Up, true),
        ("DDo", Verdict::Down, false),
    ] {
        let seen = path_verdict(
            &observations(&log, reports),
            the_group(&log),
            &appliance("fw-a"),
            Mono::from_millis(1_000),
            Duration::from_secs(3),
        );
        assert_eq!((seen.seen.verdict, seen.passed), (expected, passed), "{reports}");
        assert!(!seen.seen.lastingly_unknown, "{reports}");
    }
    let unknown = path_verdict(
        &observations(&log, "uu."),
        the_group(&log),
        &appliance("fw-a"),
        Mono::from_millis(1_000),
        Duration::from_secs(3),
    );
    assert!(unknown.seen.lastingly_unknown);
}

#[test]
fn a_way_between_agents_is_recorded_when_it_changes_and_has_settled() {
    let mut log = watched_pair();
    let mut spec = the_group(&log).spec.clone();
    for (number, appliance) in (1..).zip(&mut spec.appliances) {
        appliance.peer = vec![(std::net::IpAddr::from([192, 168, 0, number]), 7403).into()];
    }
    log.by_operator(CommandBody::PutGroup(spec.clone())).expect("at rest");
    let heard = |at: u64, up| {
        let peers =
            vec![(appliance("fw-b"), 0, up), (appliance("fw-b"), 1, false), (appliance("fw-z"), 0, false)];
        [(appliance("fw-a"), Heard { at: Mono::from_millis(at), peers })].into()
    };
    let now = |log: &Log, at| Now { mono: Mono::from_millis(at), wall: log.wall() };
    let due = |log: &Log, at, up| heartbeats::due(&log.state, &heard(at, up), now(log, at));
    assert_eq!(due(&log, 0, true), [], "up is nothing new, and what is not declared does not count");
    let down = due(&log, 0, false);
    let way = HeartbeatPath { from: appliance("fw-a"), to: appliance("fw-b"), path: 0 };
    let expected = |up| CommandBody::RecordHeartbeat { group: group_name("dmz"), path: way.clone(), up };
    assert_eq!(down, [expected(false)]);
    let old = heartbeats::due(&log.state, &heard(0, false), now(&log, 3_001));
    assert_eq!(old, [], "the report is out of date");
    log.by_coordinator(expected(false)).expect("declared");
    assert_eq!(due(&log, 0, false), []);
    assert_eq!(due(&log, 0, true), [], "it may come and go");
    log.at += heartbeats::SETTLE;
    assert_eq!(due(&log, 5_000, true), [expected(true)]);
    spec.appliances.iter_mut().for_each(|a| a.peer.clear());
    log.by_operator(CommandBody::PutGroup(spec)).expect("at rest");
    assert!(the_group(&log).heartbeats_down.is_empty(), "the way is not declared any more");
    assert!(matches!(log.by_coordinator(expected(true)), Err(Rejection::UnknownHeartbeat { .. })));
}

/// Two appliances and a path that decides.
fn watched() -> GroupSpec {
    let mut spec = group("dmz", &["fw-a", "fw-b"], &["public-ip"]);
    spec.path_probes = vec![tcp("through", "10.0.0.100:443")];
    spec.policy.path_decides = true;
    spec
}

fn watched_pair() -> Log {
    let mut log = active_pair(&["public-ip"]);
    log.by_operator(CommandBody::PutGroup(watched())).expect("at rest");
    log
}

fn path(log: &mut Log, verdict: Verdict) -> Result<Vec<Event>, Rejection> {
    let token = the_group(log).token;
    log.by_coordinator(CommandBody::RecordPath {
        group: group_name("dmz"),
        token,
        verdict,
        evidence: Vec::new(),
    })
}

fn feed(watch: &mut Watch, token: Token, outcome: Outcome, at: u64) -> bool {
    let name = tcp("through", "10.0.0.100:443").name;
    watch.feed_path(&group_name("dmz"), &name, token, (outcome, "so"), Mono::from_millis(at))
}

fn seen(watch: &Watch, at: u64) -> String {
    let say = |s: &PathSight| format!("{}{}", s.verdict, if s.passed { ", passed" } else { "" });
    watch.path_sights(Mono::from_millis(at)).iter().map(say).collect()
}

fn observations(log: &Log, reports: &str) -> Observations {
    let token = the_group(log).token;
    let sight = |c: char| {
        let (verdict, passed, token) = match c {
            'U' => (Verdict::Up, true, token),
            'p' => (Verdict::Unknown, true, token),
            'D' => (Verdict::Down, false, token),
            'u' => (Verdict::Unknown, false, token),
            'o' => (Verdict::Up, true, Token(token.0 - 1)),
            _ => return None,
        };
        Some(PathSight { group: group_name("dmz"), token, verdict, passed, detail: String::new() })
    };
    let report = |c| VantageReport::new(Mono::from_millis(900), []).with_paths(sight(c));
    Observations {
        vantages: (1..=3).map(NodeId).collect(),
        reports: (1..).map(NodeId).zip(reports.chars().map(report)).collect(),
    }
}
