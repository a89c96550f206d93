//! Notices: what is recorded of them, and what a coordinator may do on their account.

use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{CommandBody, OperationKind, StartOperation};
use coordinator_core::event::EventBody;
use coordinator_core::model::Trigger;
use coordinator_core::notice::{
    self, Listed, MAX_ID, MAX_NOTICES, Notice, NoticeKind, NoticeSource, SETTLE, SourceReport, SourceState,
};
use coordinator_core::observe::Verdict;
use coordinator_core::time::{Mono, Now, WallTime};
use coordinator_core::validate::{DRAIN_AHEAD, group as faults_of};

use crate::common::{EPOCH, Log, appliance, group, group_name};
use crate::operations::{active_pair, request, the_group, verdict};

fn notice(id: &str, kind: NoticeKind, in_secs: u64) -> Notice {
    Notice {
        id: id.to_owned(),
        kind,
        not_before: Some(EPOCH.plus(Duration::from_secs(in_secs))),
        started: false,
        lasts_secs: Some(60),
        about: String::new(),
    }
}

fn announce(log: &mut Log, name: &str, notices: &[Notice]) -> usize {
    let command = CommandBody::RecordNotices {
        group: group_name("dmz"),
        appliance: appliance(name),
        source: NoticeSource::Azure,
        notices: notices.to_vec(),
        unknown: None,
    };
    log.by_coordinator(command).expect("declared").len()
}

fn switch(log: &mut Log) -> Result<(), Rejection> {
    let start = request(log, OperationKind::Switchover, "fw-b");
    log.by_coordinator(CommandBody::StartOperation(StartOperation { reason: String::new(), ..start }))
        .map(drop)
}

#[test]
fn a_coordinator_switches_over_only_ahead_of_what_is_announced_for_the_active() {
    type Prepare = fn(&mut Log);
    let rows: [(&str, &str, Prepare); 9] = [
        ("nothing is announced", "nothing-announced", |_| {}),
        ("only for the standby", "nothing-announced", |log| {
            announce(log, "fw-b", &[notice("a", NoticeKind::Reboot, 60)]);
        }),
        ("a kind that does not count", "nothing-announced", |log| {
            announce(log, "fw-a", &[notice("a", NoticeKind::Freeze, 60)]);
        }),
        ("too far ahead", "nothing-announced", |log| {
            let in_secs = log.at.as_secs() + 3_601;
            announce(log, "fw-a", &[notice("a", NoticeKind::Reboot, in_secs)]);
        }),
        ("the standby is in for the same", "under-notice", |log| {
            announce(log, "fw-a", &[notice("a", NoticeKind::Reboot, 60)]);
            announce(log, "fw-b", &[notice("b", NoticeKind::Freeze, 119)]);
        }),
        ("the standby is down", "target-not-up", |log| {
            announce(log, "fw-a", &[notice("a", NoticeKind::Reboot, 60)]);
            verdict(log, "fw-b", Verdict::Down);
        }),
        ("only an operator moves the group", "not-automatic", |log| {
            announce(log, "fw-a", &[notice("a", NoticeKind::Reboot, 60)]);
            let (group, mode, reason) = (group_name("dmz"), Trigger::Manual, String::new());
            log.by_operator(CommandBody::SetMode { group, mode, reason }).expect("declared");
        }),
        ("it is for an operator to fail over", "not-automatic", |log| {
            announce(log, "fw-a", &[notice("a", NoticeKind::Reboot, 60)]);
            let mut spec = the_group(log).spec.clone();
            spec.policy.failover = Trigger::Manual;
            log.by_operator(CommandBody::PutGroup(spec)).expect("at rest");
        }),
        ("the standby's turn comes when the active is back", "", |log| {
            announce(log, "fw-a", &[notice("a", NoticeKind::Reboot, 60)]);
            announce(log, "fw-b", &[notice("b", NoticeKind::Reboot, 120)]);
        }),
    ];
    for (what, expected, prepare) in rows {
        let mut log = active_pair(&["vip"]);
        prepare(&mut log);
        let word = switch(&mut log).map_or_else(|rejection| rejection.word(), |()| "");
        assert_eq!(word, expected, "{what}");
        let moves = the_group(&log).automatic_moves.len();
        assert_eq!(moves, usize::from(expected.is_empty()), "{what}: it counts against the flap budget");
    }
}

#[test]
fn what_an_agent_sends_is_bounded_and_a_repeat_says_nothing() {
    let mut log = active_pair(&["vip"]);
    let mut many: Vec<_> =
        (0..20).map(|i| notice(&format!("n{i:02}"), NoticeKind::Reboot, 1_000 - i)).collect();
    many.push(notice("", NoticeKind::Reboot, 0));
    many.push(notice(&"x".repeat(MAX_ID + 1), NoticeKind::Reboot, 0));
    many[19].about = "y".repeat(10_000);
    assert_eq!(announce(&mut log, "fw-a", &many), MAX_NOTICES);
    let kept: Vec<_> = the_group(&log).notices(&appliance("fw-a")).map(|(_, n)| n.clone()).collect();
    let ids: Vec<_> = kept.iter().map(|n| n.id.as_str()).collect();
    assert_eq!(ids, ["n12", "n13", "n14", "n15", "n16", "n17", "n18", "n19"], "those that come first");
    assert!(kept.iter().all(|n| n.about.len() <= 300));
    assert_eq!(announce(&mut log, "fw-a", &many), 0);
    assert_eq!(announce(&mut log, "fw-a", &kept[1..]), 1, "one has ended");
    let unknown = CommandBody::RecordNotices {
        group: group_name("dmz"),
        appliance: appliance("fw-z"),
        source: NoticeSource::Agent,
        notices: Vec::new(),
        unknown: None,
    };
    assert!(matches!(log.by_coordinator(unknown), Err(Rejection::UnknownAppliance { .. })));
}

#[test]
fn what_begins_when_nobody_knows_is_in_the_way_of_everything() {
    let open = Notice { lasts_secs: None, ..notice("a", NoticeKind::Reboot, 60) };
    let begun = Notice { started: true, ..notice("a", NoticeKind::Reboot, 60) };
    assert_eq!((open.ends(), begun.ends(), begun.begins()), (None, None, WallTime(0)));
    for announced in [open, begun] {
        let mut log = active_pair(&["vip"]);
        announce(&mut log, "fw-a", std::slice::from_ref(&announced));
        announce(&mut log, "fw-b", &[notice("b", NoticeKind::Reboot, 100_000)]);
        assert!(matches!(switch(&mut log), Err(Rejection::UnderNotice { .. })), "{announced:?}");
    }
}

/// What is due for `fw-a`, given what its agent says of the two sources.
fn due(log: &Log, sources: &[SourceReport], age: Duration) -> Vec<CommandBody> {
    let now = Now { mono: Mono(log.at.saturating_add(age)), wall: log.wall() };
    let listed = Listed { at: Mono(log.at), sources: sources.to_vec() };
    notice::due(&log.state, &[(appliance("fw-a"), listed)].into(), now)
}

fn says(state: SourceState, notices: &[Notice]) -> SourceReport {
    SourceReport { source: NoticeSource::Azure, state, notices: notices.to_vec() }
}

/// Records what is due; the ids that stand then.
fn recorded(log: &mut Log, report: SourceReport) -> Vec<String> {
    for body in due(log, &[report], Duration::ZERO) {
        let events = log.by_coordinator(body).expect("declared");
        assert!(!events.is_empty(), "it says nothing new");
    }
    the_group(log).notices(&appliance("fw-a")).map(|(_, n)| n.id.clone()).collect()
}

#[test]
fn the_first_notice_is_recorded_at_once_and_what_follows_once_it_has_settled() {
    let mut log = active_pair(&["vip"]);
    let (one, two) = (notice("one", NoticeKind::Freeze, 900), notice("two", NoticeKind::Reboot, 900));
    let known = |notices: &[Notice]| says(SourceState::Known, notices);
    assert_eq!(due(&log, &[], Duration::ZERO), [], "nothing is announced, as before");
    assert_eq!(due(&log, &[known(&[])], Duration::ZERO), []);
    assert_eq!(due(&log, &[known(std::slice::from_ref(&one))], Duration::from_secs(4)), [], "out of date");
    assert_eq!(recorded(&mut log, known(std::slice::from_ref(&one))), ["one"]);
    assert_eq!(recorded(&mut log, known(&[one.clone(), two.clone()])), ["one"]);
    log.at += SETTLE;
    assert_eq!(recorded(&mut log, known(&[one, two.clone()])), ["one", "two"]);
    log.at += SETTLE;
    assert_eq!(recorded(&mut log, known(std::slice::from_ref(&two))), ["two"]);
    log.at += SETTLE;
    assert_eq!(recorded(&mut log, known(&[])), [""; 0]);
    assert_eq!(recorded(&mut log, known(&[two])), ["two"], "the first one again");
}

#[test]
fn what_a_source_said_before_it_fell_silent_stands() {
    let mut log = active_pair(&["vip"]);
    let silent = |why: &str| says(SourceState::Unknown { why: why.to_owned() }, &[]);
    assert_eq!(
        recorded(&mut log, says(SourceState::Known, &[notice("one", NoticeKind::Reboot, 900)])),
        ["one"]
    );
    log.at += SETTLE;
    assert_eq!(recorded(&mut log, silent("timed out")), ["one"]);
    log.at += SETTLE;
    assert_eq!(due(&log, &[silent("refused")], Duration::ZERO), [], "another cause of the same silence");
    assert_eq!(due(&log, &[says(SourceState::Pending, &[])], Duration::ZERO), [], "a new life of the agent");
    assert_eq!(recorded(&mut log, says(SourceState::Known, &[])), [""; 0]);
}

#[test]
fn a_notice_reads_like_a_sentence() {
    let mut log = active_pair(&["vip"]);
    let at = log.at.as_secs();
    let rows = [
        (
            notice("a", NoticeKind::Preempt, at + 30),
            "fw-a is under notice of a preemption by Azure, in 30s at the earliest",
        ),
        (
            Notice { started: true, ..notice("b", NoticeKind::Freeze, at) },
            "fw-a is under notice of a freeze by Azure, which has begun",
        ),
        (
            Notice { about: "host update".to_owned(), ..notice("c", NoticeKind::Redeploy, 0) },
            "fw-a is under notice of a redeployment by Azure, at any moment (host update)",
        ),
    ];
    for (notice, sentence) in rows {
        let command = CommandBody::RecordNotices {
            group: group_name("dmz"),
            appliance: appliance("fw-a"),
            source: NoticeSource::Azure,
            notices: vec![notice],
            unknown: None,
        };
        let events = log.by_coordinator(command).expect("declared");
        let given =
            events.iter().find(|e| matches!(e.body, EventBody::NoticeGiven { .. })).expect("a notice");
        assert_eq!(given.to_string(), format!("dmz: {sentence}"));
    }
}

#[test]
fn leaving_ahead_has_bounds() {
    let mut spec = group("dmz", &["fw-a", "fw-b"], &["vip"]);
    for (ahead, sound) in [
        (Duration::ZERO, false),
        (DRAIN_AHEAD.0, true),
        (DRAIN_AHEAD.1, true),
        (DRAIN_AHEAD.1 + Duration::from_millis(1), false),
    ] {
        spec.policy.drain_ahead = ahead;
        let faults = faults_of(&spec);
        assert_eq!(faults.is_empty(), sound, "{ahead:?}: {faults:?}");
    }
}
