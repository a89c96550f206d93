//! Starting, following and ending operations.

use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{
    Actor, CommandBody, OperationKind, RecordStep, ReleaseProof, StartOperation, StepOutcome,
};
use coordinator_core::event::{Event, EventBody};
use coordinator_core::ids::{NodeId, OperationId, Token};
use coordinator_core::model::Trigger;
use coordinator_core::observe::Verdict;
use coordinator_core::state::{Ending, Group};

use crate::common::{Log, appliance, binding, group, group_name};

#[test]
fn a_stale_token_is_refused() {
    let mut log = active_pair(&["vip"]);
    let command = CommandBody::StartOperation(StartOperation {
        expected: Token(1),
        ..request(&log, OperationKind::Switchover, "fw-b")
    });
    let refused = log.by_operator(command);
    assert!(matches!(refused, Err(Rejection::StaleToken { .. })), "{refused:?}");
}

#[test]
fn a_move_to_the_active_or_to_a_stranger_is_refused() {
    let mut log = active_pair(&["vip"]);
    assert!(matches!(start(&mut log, "fw-a"), Err(Rejection::AlreadyActive { .. })));
    assert!(matches!(start(&mut log, "fw-z"), Err(Rejection::UnknownAppliance { .. })));
}

#[test]
fn superseding_needs_a_running_operation_and_its_name() {
    let mut log = active_pair(&["vip"]);
    let over = |log: &Log, id, to: &str| {
        let request = request(log, OperationKind::ForcedSwitchover, to);
        CommandBody::StartOperation(StartOperation { supersedes: Some(OperationId(id)), ..request })
    };
    let none = over(&log, 99, "fw-b");
    assert!(matches!(log.by_operator(none), Err(Rejection::NotRunning { .. })));
    start(&mut log, "fw-b").expect("a switchover");
    let running = the_group(&log).token.0;
    let other = over(&log, 99, "fw-a");
    assert!(matches!(log.by_operator(other), Err(Rejection::NotRunning { .. })));
    let young = over(&log, running, "fw-a");
    assert!(matches!(log.by_operator(young), Err(Rejection::NotSupersedable { .. })));
    log.at += the_group(&log).spec.policy.operation_timeout;
    let stalled = over(&log, running, "fw-a");
    log.by_operator(stalled).expect("it is stalled");
    let ended = the_group(&log).ended.back().expect("it ended").clone();
    assert_eq!(ended.ended.map(|(_, e)| e), Some(Ending::Superseded(OperationId(log.index))));
}

#[test]
fn what_a_cloud_is_at_work_on_is_known_until_the_operation_ends() {
    let mut log = active_pair(&["public-ip"]);
    start(&mut log, "fw-b").expect("a switchover");
    let id = OperationId(the_group(&log).token.0);
    let record = |id, place: &str| CommandBody::RecordUnderWay {
        group: group_name("dmz"),
        operation: id,
        resource: "nics/nic-a".to_owned(),
        place: place.to_owned(),
    };
    let known =
        |log: &Log| the_group(log).operation.as_ref().map(|o| o.under_way.clone()).unwrap_or_default();
    for place in ["operation:/1", "operation:/2", "operation:/2"] {
        let events = log.by_coordinator(record(id, place)).expect("it runs");
        assert!(events.is_empty() && known(&log)["nics/nic-a"] == place);
    }
    for unfit in ["", "two words", "ligne\n", &"x".repeat(1_025)] {
        let refused = log.by_coordinator(record(id, unfit));
        assert!(matches!(refused, Err(Rejection::UnderWayUnfit { .. })), "{unfit}: {refused:?}");
    }
    let other = log.by_coordinator(record(OperationId(99), "operation:/3"));
    assert!(matches!(other, Err(Rejection::NotRunning { .. })), "{other:?}");

    // Another operation takes over: what the cloud is at work on stays the same.
    log.at += the_group(&log).spec.policy.operation_timeout;
    let request = request(&log, OperationKind::ForcedSwitchover, "fw-a");
    let over = StartOperation { supersedes: Some(id), ..request };
    log.by_operator(CommandBody::StartOperation(over)).expect("it is stalled");
    assert_eq!(known(&log)["nics/nic-a"], "operation:/2");
    assert!(the_group(&log).ended.iter().all(|ended| ended.under_way.is_empty()));
}

#[test]
fn operators_and_coordinators_start_their_own_kinds_only() {
    for (kind, operator) in [
        (OperationKind::Failover, true),
        (OperationKind::Activation, true),
        (OperationKind::ForcedSwitchover, false),
    ] {
        let mut log = active_pair(&["vip"]);
        verdict(&mut log, "fw-a", Verdict::Down);
        let command = CommandBody::StartOperation(request(&log, kind, "fw-b"));
        let result = if operator { log.by_operator(command) } else { log.by_coordinator(command) };
        assert!(matches!(result, Err(Rejection::WrongActor { .. })), "{kind:?}: {result:?}");
    }
}

#[test]
fn a_coordinator_is_held_to_the_rules_when_its_decision_comes_late() {
    type Change = fn(&mut Log);
    let rows: [(&str, Change); 5] = [
        ("the active came back", |log| verdict(log, "fw-a", Verdict::Up)),
        ("the standby died", |log| verdict(log, "fw-b", Verdict::Down)),
        ("maintenance began", |log| {
            let (group, appliance, reason) = (group_name("dmz"), appliance("fw-b"), String::new());
            operator(log, CommandBody::SetMaintenance { group, appliance, enabled: true, reason });
        }),
        ("the mode was set", |log| {
            let (group, reason) = (group_name("dmz"), String::new());
            operator(log, CommandBody::SetMode { group, mode: Trigger::Manual, reason });
        }),
        ("the group was frozen", |log| {
            let reason = coordinator_core::reason::Reason::Requested { reason: String::new() };
            operator(log, CommandBody::Freeze { group: group_name("dmz"), reason });
        }),
    ];
    for (what, change) in rows {
        let mut log = active_pair(&["vip"]);
        verdict(&mut log, "fw-a", Verdict::Down);
        let late = CommandBody::StartOperation(request(&log, OperationKind::Failover, "fw-b"));
        log.clone().by_coordinator(late.clone()).expect("in time");
        change(&mut log);
        assert!(log.by_coordinator(late).is_err(), "{what}");
    }
}

#[test]
fn only_moves_by_itself_weigh_on_the_flap_budget() {
    let mut log = active_pair(&["public-ip"]);
    assert_eq!(the_group(&log).automatic_moves.len(), 0, "an activation is no move");
    start(&mut log, "fw-b").expect("a switchover");
    finish(&mut log);
    assert_eq!(the_group(&log).automatic_moves.len(), 0);
    verdict(&mut log, "fw-b", Verdict::Down);
    let failover = request(&log, OperationKind::Failover, "fw-a");
    log.by_coordinator(CommandBody::StartOperation(failover)).expect("a failover");
    assert_eq!(the_group(&log).automatic_moves.len(), 1);
}

#[test]
fn the_earlier_holder_stays_unreleased_until_it_is_proved() {
    let mut log = active_pair(&["vip"]);
    let old = the_group(&log).token;
    start(&mut log, "fw-b").expect("a switchover");
    assert_eq!(the_group(&log).unreleased.get(&appliance("fw-a")), Some(&old));
    assert!(matches!(done(&mut log, "vip"), Err(Rejection::NotReleased { .. })));
    let stale = release(&log, "fw-a", old);
    assert!(matches!(log.by_coordinator(stale), Err(Rejection::StaleToken { .. })));
    let stranger = release(&log, "fw-b", the_group(&log).token);
    assert!(matches!(log.by_coordinator(stranger), Err(Rejection::NothingToRelease { .. })));
    finish(&mut log);
    assert_eq!(the_group(&log).active, Some(appliance("fw-b")));
}

/// A to B, turned back before A was proved to have released: B was never granted the lease, so A
/// may go on at once.
#[test]
fn a_move_that_is_turned_back_halfway_waits_for_nobody() {
    let mut log = active_pair(&["vip"]);
    start(&mut log, "fw-b").expect("a switchover");
    turn_back(&mut log, "fw-a");
    assert!(the_group(&log).unreleased.is_empty());
}

/// A to B, turned back after B may have been granted the lease: now A waits for B.
#[test]
fn a_move_that_is_turned_back_late_waits_for_the_one_that_may_hold() {
    let mut log = active_pair(&["vip"]);
    start(&mut log, "fw-b").expect("a switchover");
    let release = release(&log, "fw-a", the_group(&log).token);
    log.by_coordinator(release).expect("fw-a has released");
    turn_back(&mut log, "fw-a");
    assert_eq!(the_group(&log).unreleased.keys().collect::<Vec<_>>(), [&appliance("fw-b")]);
}

#[test]
fn cloud_bindings_alone_need_no_release() {
    let mut log = active_pair(&["public-ip", "route"]);
    start(&mut log, "fw-b").expect("a switchover");
    assert!(the_group(&log).unreleased.is_empty());
    done(&mut log, "public-ip").expect("moved");
    assert!(the_group(&log).operation.is_some());
    done(&mut log, "route").expect("moved");
    assert!(the_group(&log).operation.is_none());
    assert_eq!(the_group(&log).moved_at, Some(log.wall()));
}

#[test]
fn a_repeated_step_is_a_normal_outcome() {
    let mut log = active_pair(&["public-ip", "route"]);
    start(&mut log, "fw-b").expect("a switchover");
    assert_eq!(done(&mut log, "route").map(|e| e.len()), Ok(1));
    let before = log.state.clone();
    assert_eq!(done(&mut log, "route"), Ok(vec![]));
    assert_eq!(step(&mut log, "route", StepOutcome::Failed { error: "late".to_owned() }), Ok(vec![]));
    assert_eq!(log.state, before);
}

#[test]
fn a_failed_step_is_counted_and_its_error_kept() {
    let mut log = active_pair(&["public-ip"]);
    start(&mut log, "fw-b").expect("a switchover");
    for attempt in 1..=3 {
        let error = format!("refused {attempt}");
        let events = step(&mut log, "public-ip", StepOutcome::Failed { error }).expect("recorded");
        assert!(matches!(&events[0].body, EventBody::StepFailed { attempt: n, .. } if *n == attempt));
    }
    let steps = &the_group(&log).operation.as_ref().expect("it runs").steps;
    assert_eq!((steps[0].attempts, steps[0].error.as_deref()), (3, Some("refused 3")));
}

#[test]
fn time_never_goes_back() {
    let mut log = active_pair(&["public-ip"]);
    log.at = Duration::from_secs(100);
    verdict(&mut log, "fw-b", Verdict::Down);
    let newest = log.state.time;
    log.at = Duration::from_secs(50);
    verdict(&mut log, "fw-b", Verdict::Up);
    assert_eq!(log.state.time, newest);
    assert_eq!(the_group(&log).appliances[&appliance("fw-b")].since, newest);
}

// Supporting functions, shared with the other rules.

/// `dmz` of `fw-a`, which is active, and `fw-b`, both up, with these bindings.
pub(crate) fn active_pair(kinds: &[&str]) -> Log {
    let mut log = Log { at: Duration::from_secs(1), ..Log::default() };
    let spec = group("dmz", &["fw-a", "fw-b"], kinds);
    operator(&mut log, CommandBody::PutGroup(spec));
    verdict(&mut log, "fw-a", Verdict::Up);
    verdict(&mut log, "fw-b", Verdict::Up);
    let first = request(&log, OperationKind::Activation, "fw-a");
    log.by_coordinator(CommandBody::StartOperation(first)).expect("an activation");
    finish(&mut log);
    log
}

pub(crate) fn the_group(log: &Log) -> &Group {
    &log.state.groups[&group_name("dmz")]
}

pub(crate) fn request(log: &Log, kind: OperationKind, to: &str) -> StartOperation {
    StartOperation {
        group: group_name("dmz"),
        kind,
        to: appliance(to),
        expected: the_group(log).token,
        supersedes: None,
        reason: String::new(),
        because: Vec::new(),
        evidence: Vec::new(),
    }
}

/// An operator's switchover.
pub(crate) fn start(log: &mut Log, to: &str) -> Result<Vec<Event>, Rejection> {
    let request = request(log, OperationKind::Switchover, to);
    log.by_operator(CommandBody::StartOperation(request))
}

/// Brings the running operation to its end.
pub(crate) fn finish(log: &mut Log) {
    let group = the_group(log).clone();
    for holder in group.unreleased.keys() {
        let command = release(log, holder.as_str(), group.token);
        log.by_coordinator(command).expect("a release");
    }
    for binding in &group.spec.bindings {
        done(log, binding.name.as_str()).expect("a step");
    }
    assert!(the_group(log).operation.is_none());
}

fn turn_back(log: &mut Log, to: &str) {
    let active = the_group(log).active.clone().expect("one is active");
    verdict(log, active.as_str(), Verdict::Down);
    let supersedes = Some(OperationId(the_group(log).token.0));
    let request = StartOperation { supersedes, ..request(log, OperationKind::Failover, to) };
    log.by_coordinator(CommandBody::StartOperation(request)).expect("its target is down");
}

fn release(log: &Log, name: &str, token: Token) -> CommandBody {
    let group = the_group(log).spec.name.clone();
    CommandBody::RecordRelease { group, appliance: appliance(name), token, proof: ReleaseProof::Confirmed }
}

fn done(log: &mut Log, name: &str) -> Result<Vec<Event>, Rejection> {
    step(log, name, StepOutcome::Done)
}

fn step(log: &mut Log, name: &str, outcome: StepOutcome) -> Result<Vec<Event>, Rejection> {
    let record = RecordStep {
        group: group_name("dmz"),
        operation: OperationId(the_group(log).token.0),
        binding: binding(name),
        outcome,
        calls: Vec::new(),
        took: Duration::from_millis(5),
    };
    log.apply(Actor::Coordinator(NodeId(1)), CommandBody::RecordStep(record))
}

pub(crate) fn verdict(log: &mut Log, name: &str, verdict: Verdict) {
    let (group, appliance) = (group_name("dmz"), appliance(name));
    let command = CommandBody::RecordVerdict { group, appliance, verdict, evidence: Vec::new() };
    log.by_coordinator(command).expect("a verdict");
}

fn operator(log: &mut Log, command: CommandBody) {
    log.by_operator(command).expect("an operator's command");
}
