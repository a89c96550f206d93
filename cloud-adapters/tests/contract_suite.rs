//! What every adapter must keep, whatever it moves. Each case runs once per kind of binding.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod stage;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cloud_adapters::contract::{AdapterError, Journal, MoveJob, Pointing};
use cloud_adapters::{inspect, move_binding};
use coordinator_core::model::BindingKind;
use stage::{DEADLINE, Open, OpenFor, Stage};

macro_rules! every_kind_of_binding {
    ($($case:ident),+ $(,)?) => {
        mod public_ip {
            $(#[tokio::test] async fn $case() { super::$case(super::stage::public_ip).await })+
        }
        mod route {
            $(#[tokio::test] async fn $case() { super::$case(super::stage::route).await })+
        }
    };
}

every_kind_of_binding!(
    a_move_is_made_once_and_a_second_run_writes_nothing,
    a_move_that_was_cut_after_any_call_is_finished_by_the_next_run,
    a_move_that_was_cut_after_any_call_gives_way_to_a_newer_one,
    a_higher_token_deposes_and_nothing_is_written,
    a_deposed_leaders_late_writes_are_refused,
    a_claim_alone_makes_late_writes_stale,
    faults_delay_a_move_and_change_nothing_else,
    a_shut_gate_lets_no_write_through,
    of_two_leaders_the_older_never_wins,
    a_silent_cloud_is_given_up_at_the_deadline,
    every_call_is_in_the_journal,
);

async fn a_move_is_made_once_and_a_second_run_writes_nothing(stage: impl AsyncFn() -> Stage) {
    let stage = stage().await;
    let before = stage.everything_else();
    stage.move_to(10, "fw-b").await.unwrap();
    stage.assert_active("fw-b");
    stage.assert_inspects_as("fw-b", 10).await;
    let writes = stage.writes();
    stage.move_to(10, "fw-b").await.unwrap();
    assert_eq!(stage.writes(), writes);
    assert_eq!(stage.everything_else(), before);
    stage.assert_never_two();
}

/// Calls of one undisturbed move.
async fn calls_of_a_move(stage: &impl AsyncFn() -> Stage) -> u64 {
    let stage = stage().await;
    stage.move_to(10, "fw-b").await.unwrap();
    stage.cloud.calls_arrived()
}

/// The coordinator is killed while it waits for the answer to call `number`, which takes effect.
async fn cut_at(stage: &Stage, number: u64) {
    stage.die_at_call(number);
    tokio::select! {
        ended = stage.move_to(10, "fw-b") => panic!("the move ended: {ended:?}"),
        () = stage.carried_out(number) => {}
    }
    stage.heal();
}

async fn a_move_that_was_cut_after_any_call_is_finished_by_the_next_run(stage: impl AsyncFn() -> Stage) {
    for number in 1..=calls_of_a_move(&stage).await {
        let stage = stage().await;
        let before = stage.everything_else();
        cut_at(&stage, number).await;
        stage.move_to(10, "fw-b").await.unwrap();
        stage.assert_active("fw-b");
        assert_eq!(stage.everything_else(), before, "cut at call {number}");
        stage.assert_never_two();
    }
}

async fn a_move_that_was_cut_after_any_call_gives_way_to_a_newer_one(stage: impl AsyncFn() -> Stage) {
    for number in 1..=calls_of_a_move(&stage).await {
        let stage = stage().await;
        cut_at(&stage, number).await;
        stage.move_to(11, "fw-a").await.unwrap();
        stage.assert_active("fw-a");
        stage.assert_inspects_as("fw-a", 11).await;
        stage.assert_never_two();
    }
}

async fn a_higher_token_deposes_and_nothing_is_written(stage: impl AsyncFn() -> Stage) {
    let stage = stage().await;
    stage.move_to(11, "fw-b").await.unwrap();
    let writes = stage.writes();
    let error = stage.move_to(10, "fw-a").await.unwrap_err();
    assert!(error.is_deposed(), "{error}");
    assert!(
        error.to_string().contains("carries token 11 of group dmz, and this move has only 10"),
        "{error}"
    );
    assert_eq!(stage.writes(), writes);
    stage.assert_active("fw-b");
}

/// The old leader has claimed, read and planned, and then hangs for as long as it takes the new
/// one to do everything.
async fn a_deposed_leaders_late_writes_are_refused(stage: impl AsyncFn() -> Stage) {
    let stage = stage().await;
    let late = late_writes(&stage).await;
    stage.move_to(11, "fw-a").await.unwrap();
    let before = stage.everything_else();
    for write in &late {
        let error = stage.adapter().write(write, &Journal::default()).await.unwrap_err();
        assert!(matches!(error, AdapterError::Conflict { .. }), "{}", error.chain());
    }
    stage.assert_active("fw-a");
    assert_eq!(stage.everything_else(), before);
    stage.assert_never_two();
}

/// The new leader finds everything where it must be and has nothing to change: only its claim
/// stands between the old one's detach and the traffic.
async fn a_claim_alone_makes_late_writes_stale(stage: impl AsyncFn() -> Stage) {
    let stage = stage().await;
    let late = late_writes(&stage).await;
    let (adapter, job) = (stage.adapter(), stage.job(11, "fw-a"));
    let actual = adapter.read(&job.group, &job.binding, &Journal::default()).await.unwrap();
    assert!(adapter.plan(&actual, &job).unwrap().is_empty());
    for claim in adapter.plan_claim(&actual, &job).unwrap() {
        adapter.write(&claim, &Journal::default()).await.unwrap();
    }
    for write in &late {
        let error = stage.adapter().write(write, &Journal::default()).await.unwrap_err();
        assert!(matches!(error, AdapterError::Conflict { .. }), "{}", error.chain());
    }
    stage.assert_active("fw-a");
}

/// What a leader with token 10 would write to move to `fw-b`, after its claim.
async fn late_writes(stage: &Stage) -> Vec<cloud_adapters::contract::Change> {
    let (old, job, journal) = (stage.adapter(), stage.job(10, "fw-b"), Journal::default());
    let actual = old.read(&job.group, &job.binding, &journal).await.unwrap();
    for claim in old.plan_claim(&actual, &job).unwrap() {
        old.write(&claim, &journal).await.unwrap();
    }
    let actual = old.read(&job.group, &job.binding, &journal).await.unwrap();
    assert!(old.plan_claim(&actual, &job).unwrap().is_empty());
    let late = old.plan(&actual, &job).unwrap();
    assert!(!late.is_empty());
    late
}

async fn faults_delay_a_move_and_change_nothing_else(stage: impl AsyncFn() -> Stage) {
    for seed in 0..12 {
        let stage = stage().await;
        let before = stage.everything_else();
        stage.misbehave(seed);
        stage.insist(&*stage.adapter(), &stage.job(10, "fw-b")).await.unwrap();
        stage.carried_out(stage.cloud.calls_arrived()).await;
        stage.assert_active("fw-b");
        assert_eq!(stage.everything_else(), before, "seed {seed}");
        stage.assert_never_two();
    }
}

async fn a_shut_gate_lets_no_write_through(stage: impl AsyncFn() -> Stage) {
    let needed = {
        let stage = stage().await;
        stage.move_to(10, "fw-b").await.unwrap();
        stage.writes()
    };
    for open_for in 0..needed {
        let stage = stage().await;
        let gate = OpenFor(AtomicU64::new(u64::try_from(open_for).unwrap()));
        let (job, journal) = (stage.job(10, "fw-b"), Journal::default());
        let error = move_binding(&*stage.adapter(), &job, &gate, &journal, DEADLINE).await.unwrap_err();
        assert!(error.is_deposed(), "{error}");
        assert_eq!(stage.writes(), open_for);
    }
}

async fn of_two_leaders_the_older_never_wins(stage: impl AsyncFn() -> Stage) {
    for seed in 0..12 {
        let stage = stage().await;
        stage.misbehave(seed);
        let (old, new) = (stage.adapter(), stage.adapter());
        let (old_job, new_job) = (stage.job(10, "fw-b"), stage.job(11, "fw-a"));
        let (older, newer) = tokio::join!(stage.insist(&*old, &old_job), stage.insist(&*new, &new_job));
        newer.unwrap();
        assert!(older.as_ref().map_or_else(AdapterError::is_deposed, |()| true), "{older:?}");
        stage.carried_out(stage.cloud.calls_arrived()).await;
        stage.assert_active("fw-a");
        assert!(stage.insist(&*old, &old_job).await.unwrap_err().is_deposed());
        stage.assert_active("fw-a");
        stage.assert_never_two();
    }
}

async fn a_silent_cloud_is_given_up_at_the_deadline(stage: impl AsyncFn() -> Stage) {
    let stage = stage().await;
    stage.die_at_call(2);
    let (job, journal) = (stage.job(10, "fw-b"), Journal::default());
    let deadline = Duration::from_millis(50);
    let error = move_binding(&*stage.adapter(), &job, &Open, &journal, deadline).await.unwrap_err();
    assert!(matches!(error, AdapterError::Transient { .. }), "{error}");
    assert!(error.chain().ends_with("to fw-b: it took longer than 50ms"), "{}", error.chain());
    assert_eq!(journal.take().last().unwrap().call, "(deadline)");
}

async fn every_call_is_in_the_journal(stage: impl AsyncFn() -> Stage) {
    let stage = stage().await;
    let (job, journal) = (stage.job(10, "fw-b"), Journal::default());
    move_binding(&*stage.adapter(), &job, &Open, &journal, DEADLINE).await.unwrap();
    let mut written: Vec<String> = journal.take().into_iter().map(|record| record.call).collect();
    let mut seen: Vec<String> = stage.cloud.calls().into_iter().map(|call| call.call).collect();
    // Parallel reads may arrive in another order than they are answered in.
    written.sort();
    seen.sort();
    assert_eq!(written, seen);
}

/// One writer per resource: within a process nobody's write meets a newer version.
#[tokio::test]
async fn moves_of_several_routes_in_one_table_do_not_fight() {
    let stage = stage::route().await;
    let adapter = stage.adapter();
    let routes = ["default", "branch"]
        .map(|route| MoveJob { binding: stage::route_binding(route), ..stage.job(10, "fw-b") });
    let journal = Journal::default();
    let moves = routes.iter().map(|job| move_binding(&*adapter, job, &Open, &journal, DEADLINE));
    futures::future::try_join_all(moves).await.unwrap();
    let calls = stage.cloud.calls();
    assert!(calls.iter().all(|call| call.result == "200"), "{calls:?}");
    assert_eq!(stage.writes(), 3, "one claim and two moves");
    let hops: Vec<String> =
        stage.cloud.route_table("rt-hub").unwrap().routes.iter().map(|r| r.next_hop.to_string()).collect();
    assert_eq!(hops, ["10.0.0.5", "10.0.0.5", "10.0.0.99"]);
}

/// Groups that share a table have tokens of their own: the other's higher one deposes nobody.
#[tokio::test]
async fn two_groups_may_share_a_route_table() {
    let stage = stage::route().await;
    stage.move_to(50, "fw-b").await.unwrap();
    let other = MoveJob {
        group: "branches".parse().unwrap(),
        binding: stage::route_binding("branch"),
        ..stage.job(20, "fw-b")
    };
    move_binding(&*stage.adapter(), &other, &Open, &Journal::default(), DEADLINE).await.unwrap();
    stage.move_to(60, "fw-a").await.unwrap();
    stage.assert_active("fw-a");
}

/// The NIC that has the address now is claimed as well, though no appliance is declared for it.
#[tokio::test]
async fn a_public_ip_is_taken_from_a_nic_of_no_appliance() {
    let mut stage = stage::public_ip().await;
    let BindingKind::PublicIp { targets, .. } = &mut stage.binding.kind else { panic!("a public IP") };
    let all = targets.clone();
    targets.insert("fw-a".parse().unwrap(), "nic-x/ipconfig1".to_owned());
    let group = "dmz".parse().unwrap();
    let seen =
        inspect(&*stage.adapter(), &group, &stage.binding, &Journal::default(), DEADLINE).await.unwrap();
    assert_eq!(seen.pointing, Pointing::Elsewhere("nic-a/ipconfig1".to_owned()));
    stage.move_to(10, "fw-b").await.unwrap();
    assert_eq!(stage.cloud.nic("nic-a").unwrap().tags["pointsman-token-dmz"], "10");
    stage.binding.kind =
        BindingKind::PublicIp { adapter: "sim".parse().unwrap(), resource: "pip-web".into(), targets: all };
    stage.assert_active("fw-b");
}

#[tokio::test]
async fn what_cannot_work_says_what_was_attempted_and_why() {
    let mut stage = stage::route().await;
    stage.binding = stage::route_binding("missing");
    let error = stage.move_to(10, "fw-b").await.unwrap_err();
    assert!(matches!(error, AdapterError::Permanent { .. }));
    assert_eq!(
        error.chain(),
        "could not update route `missing` in table `rt-hub`: there is no such route: create it, with any next hop"
    );

    let mut stage = stage::public_ip().await;
    let BindingKind::PublicIp { targets, .. } = &mut stage.binding.kind else { panic!("a public IP") };
    targets.insert("fw-b".parse().unwrap(), "nic-b/mail".to_owned());
    let error = stage.move_to(10, "fw-b").await.unwrap_err();
    assert_eq!(
        error.chain(),
        "could not move public IP `pip-web` to fw-b: nic-b/mail has another public IP, `pip-mail`: remove it first"
    );
    // Refused before the detach: an address that cannot arrive does not leave either.
    stage.assert_active("fw-a");

    let BindingKind::PublicIp { resource, .. } = &mut stage.binding.kind else { panic!("a public IP") };
    *resource = "pip-gone".to_owned();
    let error = stage.move_to(10, "fw-b").await.unwrap_err();
    assert_eq!(
        error.chain(),
        "could not read public IP `pip-gone`: 404 NotFound: there is no public IP pip-gone"
    );
}
