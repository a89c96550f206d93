//! When an earlier active is switched off, what waits for it, and what counts instead.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_core::action::{Action, pending_actions};
use coordinator_core::apply::Rejection;
use coordinator_core::command::{
    CommandBody, OperationKind, RecordFence, ReleaseProof, StartOperation, StepOutcome,
};
use coordinator_core::event::{Event, EventBody};
use coordinator_core::lease::{Answer, Held, LeaseTable, WaitReason};
use coordinator_core::model::Fencing;
use coordinator_core::observe::Verdict;
use coordinator_core::release::{Holding, due};
use coordinator_core::time::Mono;

use crate::common::{Log, appliance, group_name, with_fences};
use crate::operations::{active_pair, finish, request, start, the_group, verdict};

type Answered = Result<Vec<Event>, Rejection>;

#[test]
fn nothing_is_granted_or_written_before_the_dead_active_is_off() {
    for (fencing, waits) in [(Fencing::Never, false), (Fencing::Prefer, true), (Fencing::Require, true)] {
        let log = failed_over(fencing, &["public-ip"]);
        let actions = pending_actions(&log.state);
        let writes = actions.iter().any(|a| matches!(a, Action::MoveBinding { .. }));
        assert_eq!(writes, !waits, "{fencing:?}: {actions:?}");
        let now = Mono::from_millis(1_000);
        let mut table = LeaseTable::new(Mono::default());
        let answer = table.answer(the_group(&log), &appliance("fw-b"), now, Some(now));
        let wait = Answer::Wait { because: WaitReason::Fencing };
        assert_eq!(answer == wait, waits, "{fencing:?}: {answer:?}");
    }
}

#[test]
fn what_is_off_is_released_at_once() {
    let mut log = failed_over(Fencing::Require, &["vip", "public-ip"]);
    let events = fence(&mut log, Ok(())).expect("it is off");
    assert!(matches!(events[0].body, EventBody::Released { proof: ReleaseProof::Fenced, .. }));
    assert!(the_group(&log).unreleased.is_empty());
    finish(&mut log);
    let moved = the_group(&log).ended.back().expect("it has ended");
    assert!(matches!(moved.released, Some((_, ReleaseProof::Fenced))));
}

#[test]
fn where_fencing_is_preferred_the_lease_counts_after_the_first_attempt() {
    let mut log = failed_over(Fencing::Prefer, &["vip", "public-ip"]);
    assert!(matches!(expire(&mut log), Err(Rejection::FencingFirst { .. })));
    fence(&mut log, Err("exit 1")).expect("recorded");
    assert!(pending_actions(&log.state).iter().any(|a| matches!(a, Action::MoveBinding { .. })));
    assert!(fences(&log), "it is tried again");
    expire(&mut log).expect("its lease is over");
    assert!(!fences(&log));
}

#[test]
fn where_fencing_is_required_the_lease_never_counts() {
    let mut log = failed_over(Fencing::Require, &["vip"]);
    for _ in 0..3 {
        fence(&mut log, Err("exit 1")).expect("recorded");
        assert!(matches!(expire(&mut log), Err(Rejection::FencingFirst { .. })));
    }
    release(&mut log, ReleaseProof::Confirmed).expect("its agent says so itself");
}

#[test]
fn a_proof_by_power_or_by_word_is_no_coordinators_to_give() {
    let mut log = failed_over(Fencing::Require, &["vip"]);
    for proof in [ReleaseProof::Fenced, ReleaseProof::Operator] {
        assert!(matches!(release(&mut log, proof), Err(Rejection::NothingToRelease { .. })));
    }
    let token = the_group(&log).token;
    let word = CommandBody::ConfirmOff {
        group: group_name("dmz"),
        appliance: appliance("fw-a"),
        token,
        reason: "unplugged".to_owned(),
    };
    assert!(matches!(log.by_coordinator(word.clone()), Err(Rejection::OperatorsOnly { .. })));
    let events = log.by_operator(word).expect("an operator's word");
    assert_eq!(events.len(), 2);
    assert!(matches!(events[1].body, EventBody::Released { proof: ReleaseProof::Operator, .. }));
}

#[test]
fn an_operators_word_is_about_the_grant_that_the_operator_saw() {
    let mut log = failed_over(Fencing::Require, &["vip"]);
    let (group, name) = (group_name("dmz"), appliance("fw-a"));
    let token = coordinator_core::ids::Token(the_group(&log).token.0 - 1);
    let word = CommandBody::ConfirmOff { group, appliance: name, token, reason: String::new() };
    assert!(matches!(log.by_operator(word), Err(Rejection::StaleToken { .. })));
}

#[test]
fn only_a_changed_failure_is_an_event() {
    let mut log = failed_over(Fencing::Require, &["vip"]);
    let count = |answer: Answered| answer.expect("recorded").len();
    assert_eq!(count(fence(&mut log, Err("exit 1"))), 1);
    assert_eq!(count(fence(&mut log, Err("exit 1"))), 0);
    assert_eq!(count(fence(&mut log, Err("exit 2"))), 1);
    assert_eq!(the_group(&log).fencing[&appliance("fw-a")].attempts, 3);
}

#[test]
fn what_came_of_an_earlier_demand_does_not_count() {
    let mut log = failed_over(Fencing::Require, &["vip"]);
    let earlier = the_group(&log).fencing[&appliance("fw-a")].asked;
    // Back to it, and away from it once more.
    verdict(&mut log, "fw-a", Verdict::Up);
    verdict(&mut log, "fw-b", Verdict::Down);
    supersede(&mut log, "fw-a");
    assert!(!fences(&log), "the target is not switched off, and its successor was granted nothing");
    verdict(&mut log, "fw-b", Verdict::Up);
    verdict(&mut log, "fw-a", Verdict::Down);
    supersede(&mut log, "fw-b");
    assert!(fences(&log));
    assert!(matches!(fence_asked(&mut log, earlier, Ok(())), Err(Rejection::NothingToFence { .. })));
    fence(&mut log, Ok(())).expect("the newer demand");
}

#[test]
fn a_successor_to_which_something_was_pointed_is_switched_off_as_well() {
    let mut log = failed_over(Fencing::Prefer, &["public-ip"]);
    fence(&mut log, Err("exit 1")).expect("recorded");
    // From now on the cloud is written to.
    verdict(&mut log, "fw-a", Verdict::Up);
    verdict(&mut log, "fw-b", Verdict::Down);
    supersede(&mut log, "fw-a");
    assert_eq!(the_group(&log).fencing.keys().collect::<Vec<_>>(), [&appliance("fw-b")]);
}

#[test]
fn an_overdue_switchover_asks_for_fencing_instead_of_counting_the_lease() {
    for (fencing, wanted) in
        [(Fencing::Never, "release"), (Fencing::Prefer, "fence"), (Fencing::Require, "fence")]
    {
        let mut log = fenced_pair(fencing, &["vip"]);
        start(&mut log, "fw-b").expect("a switchover");
        assert!(!fences(&log), "{fencing:?}: a planned move switches nobody off");
        let over = Mono::default().plus(the_group(&log).spec.lease.wait());
        let actions = pending_actions(&log.state);
        let propose =
            |agents, now| due(&log.state, &actions, &LeaseTable::new(Mono::default()), &agents, now).propose;
        assert_eq!(propose(BTreeMap::new(), over.minus(Duration::from_millis(1))), []);
        let proposed = propose(BTreeMap::new(), over);
        let word = match &proposed[..] {
            [CommandBody::RecordRelease { .. }] => "release",
            [CommandBody::RequestFence { .. }] => "fence",
            _ => "something else",
        };
        assert_eq!(word, wanted, "{fencing:?}: {proposed:?}");
        // Its own word comes before either.
        let held = Held { highest: the_group(&log).token, holding: None };
        let holding = Holding { held, vips_up: false, revision: 0, revision_since: Mono::default() };
        let confirmed = propose(BTreeMap::from([(appliance("fw-a"), holding)]), over);
        let [CommandBody::RecordRelease { proof: ReleaseProof::Confirmed, .. }] = &confirmed[..] else {
            panic!("{fencing:?}: {confirmed:?}");
        };
        for body in proposed {
            log.by_coordinator(body).expect("what is due is accepted");
        }
        assert_eq!(fences(&log), wanted == "fence");
    }
}

#[test]
fn without_a_lease_only_its_word_or_its_being_off_releases_an_appliance() {
    let mut log = failed_over(Fencing::Require, &["public-ip"]);
    let actions = pending_actions(&log.state);
    let late = Mono::from_millis(1_000_000);
    let nobody = BTreeMap::new();
    let due = due(&log.state, &actions, &LeaseTable::new(Mono::default()), &nobody, late);
    assert_eq!((due.propose, due.next_wakeup), (vec![], None));
    assert!(matches!(expire(&mut log), Err(Rejection::NothingToRelease { .. })));
    release(&mut log, ReleaseProof::Confirmed).expect("its agent is well and stands by");
    finish(&mut log);
}

fn fenced_pair(fencing: Fencing, kinds: &[&str]) -> Log {
    let mut log = active_pair(kinds);
    let mut spec = the_group(&log).spec.clone();
    with_fences(&mut spec, fencing);
    if spec != the_group(&log).spec {
        log.by_operator(CommandBody::PutGroup(spec)).expect("a sound group");
    }
    log
}

/// `fw-a` was found dead, and `fw-b` is to follow.
fn failed_over(fencing: Fencing, kinds: &[&str]) -> Log {
    let mut log = fenced_pair(fencing, kinds);
    verdict(&mut log, "fw-a", Verdict::Down);
    let request = request(&log, OperationKind::Failover, "fw-b");
    log.by_coordinator(CommandBody::StartOperation(request)).expect("a failover");
    assert_eq!(fences(&log), fencing != Fencing::Never);
    log
}

fn supersede(log: &mut Log, to: &str) {
    let supersedes = the_group(log).operation.as_ref().map(|o| o.id);
    let request = StartOperation { supersedes, ..request(log, OperationKind::Failover, to) };
    log.by_coordinator(CommandBody::StartOperation(request)).expect("its target is down");
}

fn fences(log: &Log) -> bool {
    pending_actions(&log.state).iter().any(|a| matches!(a, Action::Fence { .. }))
}

fn fence(log: &mut Log, outcome: Result<(), &str>) -> Answered {
    let asked = the_group(log).fencing.get(&appliance("fw-a")).map_or(0, |fence| fence.asked);
    fence_asked(log, asked, outcome)
}

fn fence_asked(log: &mut Log, asked: u64, outcome: Result<(), &str>) -> Answered {
    let failed = |error: &str| StepOutcome::Failed { error: error.to_owned() };
    log.by_coordinator(CommandBody::RecordFence(RecordFence {
        group: group_name("dmz"),
        appliance: appliance("fw-a"),
        asked,
        outcome: outcome.map_or_else(failed, |()| StepOutcome::Done),
        took: Duration::from_millis(700),
    }))
}

fn expire(log: &mut Log) -> Answered {
    release(log, ReleaseProof::Expired)
}

fn release(log: &mut Log, proof: ReleaseProof) -> Answered {
    let (group, token) = (group_name("dmz"), the_group(log).token);
    log.by_coordinator(CommandBody::RecordRelease { group, appliance: appliance("fw-a"), token, proof })
}
