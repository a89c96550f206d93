//! What every adapter must keep, whatever it moves and on whatever cloud.
//!
//! A cloud takes part by implementing [`Scene`], and runs all cases with [`every_case!`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloud_adapters::contract::{Adapter, AdapterError, Backoff, Change, Gate, Journal, MoveJob};
use cloud_adapters::simulated::model::CallSeen;
use cloud_adapters::{inspect, move_binding};
use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::model::BindingSpec;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;

/// Runs every case once for each scene.
macro_rules! every_case {
    ($attribute:meta; $($name:ident = $scene:path),+ $(,)?) => {
        $(crate::suite::every_case!(@scene $attribute, $name = $scene;
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
        );)+
    };
    (@scene $attribute:meta, $name:ident = $scene:path; $($case:ident),+ $(,)?) => {
        mod $name {
            $(#[$attribute] async fn $case() { crate::suite::$case($scene).await })+
        }
    };
}
pub(crate) use every_case;

/// A cloud with a binding that points at `fw-a` and may point at `fw-b`, and much else besides.
pub(crate) trait Scene {
    /// A new process with an adapter of its own.
    fn adapter(&self) -> Arc<dyn Adapter>;
    /// What is moved.
    fn binding(&self) -> &BindingSpec;
    /// Where it points, by the documents of the cloud and not by an adapter.
    fn active(&self) -> Option<ApplianceName>;
    /// Never two at once, from the start until now.
    fn assert_never_two(&self);
    /// Everything but where the binding points, our tag and the cloud's own fields.
    fn everything_else(&self) -> Value;
    /// The calls that the cloud saw.
    fn calls(&self) -> Vec<CallSeen>;
    /// How many have arrived.
    fn calls_arrived(&self) -> u64;
    /// The call is carried out and never answered; later ones are neither.
    fn die_at_call(&self, number: u64);
    /// A fifth of all calls fail in some way, and none is quite instant.
    fn misbehave(&self, seed: u64);
    /// Nothing goes wrong any more.
    fn heal(&self);
    /// Longer than anything takes.
    fn patience(&self) -> Duration;

    fn job(&self, token: u64, to: &str) -> MoveJob {
        MoveJob {
            group: "dmz".parse().unwrap(),
            token: Token(token),
            binding: self.binding().clone(),
            to: to.parse().unwrap(),
        }
    }

    /// One attempt by a new process with a willing gate.
    async fn move_to(&self, token: u64, to: &str) -> Result<(), AdapterError> {
        let (job, journal) = (self.job(token, to), Journal::default());
        move_binding(&*self.adapter(), &job, &Open, &journal, self.patience()).await
    }

    /// Attempts until one succeeds, as the control loop does.
    async fn insist(&self, adapter: &dyn Adapter, job: &MoveJob) -> Result<(), AdapterError> {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));
        let started = Instant::now();
        loop {
            match move_binding(adapter, job, &Open, &Journal::default(), self.patience()).await {
                Err(
                    AdapterError::Transient { .. }
                    | AdapterError::Busy { .. }
                    | AdapterError::Conflict { .. },
                ) if started.elapsed() < self.patience() => {
                    tokio::time::sleep(backoff.next_wait(None)).await;
                }
                ended => return ended,
            }
        }
    }

    #[track_caller]
    fn assert_active(&self, fw: &str) {
        assert_eq!(self.active().as_ref().map(ApplianceName::as_str), Some(fw));
    }

    fn writes(&self) -> usize {
        self.calls().iter().filter(|call| call.call.starts_with("PUT")).count()
    }

    /// Waits until every call up to `number` has had its effect.
    async fn carried_out(&self, number: u64) {
        let under_way = || {
            let calls = self.calls();
            self.calls_arrived() < number
                || calls.iter().any(|call| call.number <= number && call.result == "under way")
        };
        until(|| !under_way()).await;
    }

    async fn assert_inspects_as(&self, fw: &str, token: u64) {
        let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
        let adapter = self.adapter();
        let seen = inspect(&*adapter, &group, self.binding(), &journal, self.patience()).await.unwrap();
        assert_eq!(seen.pointing, cloud_adapters::Pointing::At(fw.parse().unwrap()));
        assert_eq!(seen.token, Some(Token(token)));
        assert!(seen.settled);
    }
}

/// Waits for a condition, and fails when it does not come true in time.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "the condition did not come true in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets everything through.
pub(crate) struct Open;

impl Gate for Open {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async { Ok(()) }.boxed()
    }
}

/// Lets a number of writes through, and then no more.
pub(crate) struct OpenFor(pub(crate) AtomicU64);

impl Gate for OpenFor {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        async move { left.map(|_| ()).map_err(|_| AdapterError::deposed("this node does not lead")) }.boxed()
    }
}

pub(crate) async fn a_move_is_made_once_and_a_second_run_writes_nothing<S: Scene>(
    stage: impl AsyncFn() -> S,
) {
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
async fn calls_of_a_move<S: Scene>(stage: &impl AsyncFn() -> S) -> u64 {
    let stage = stage().await;
    stage.move_to(10, "fw-b").await.unwrap();
    stage.calls_arrived()
}

/// The coordinator is killed while it waits for the answer to call `number`, which takes effect.
async fn cut_at(stage: &impl Scene, number: u64) {
    stage.die_at_call(number);
    tokio::select! {
        ended = stage.move_to(10, "fw-b") => panic!("the move ended: {ended:?}"),
        () = stage.carried_out(number) => {}
    }
    stage.heal();
}

pub(crate) async fn a_move_that_was_cut_after_any_call_is_finished_by_the_next_run<S: Scene>(
    stage: impl AsyncFn() -> S,
) {
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

pub(crate) async fn a_move_that_was_cut_after_any_call_gives_way_to_a_newer_one<S: Scene>(
    stage: impl AsyncFn() -> S,
) {
    for number in 1..=calls_of_a_move(&stage).await {
        let stage = stage().await;
        cut_at(&stage, number).await;
        stage.move_to(11, "fw-a").await.unwrap();
        stage.assert_active("fw-a");
        stage.assert_inspects_as("fw-a", 11).await;
        stage.assert_never_two();
    }
}

pub(crate) async fn a_higher_token_deposes_and_nothing_is_written<S: Scene>(stage: impl AsyncFn() -> S) {
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
pub(crate) async fn a_deposed_leaders_late_writes_are_refused<S: Scene>(stage: impl AsyncFn() -> S) {
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
pub(crate) async fn a_claim_alone_makes_late_writes_stale<S: Scene>(stage: impl AsyncFn() -> S) {
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
async fn late_writes(stage: &impl Scene) -> Vec<Change> {
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

pub(crate) async fn faults_delay_a_move_and_change_nothing_else<S: Scene>(stage: impl AsyncFn() -> S) {
    for seed in 0..12 {
        let stage = stage().await;
        let before = stage.everything_else();
        stage.misbehave(seed);
        stage.insist(&*stage.adapter(), &stage.job(10, "fw-b")).await.unwrap();
        stage.carried_out(stage.calls_arrived()).await;
        stage.assert_active("fw-b");
        assert_eq!(stage.everything_else(), before, "seed {seed}");
        stage.assert_never_two();
    }
}

pub(crate) async fn a_shut_gate_lets_no_write_through<S: Scene>(stage: impl AsyncFn() -> S) {
    let needed = {
        let stage = stage().await;
        stage.move_to(10, "fw-b").await.unwrap();
        stage.writes()
    };
    for open_for in 0..needed {
        let stage = stage().await;
        let gate = OpenFor(AtomicU64::new(u64::try_from(open_for).unwrap()));
        let (job, journal) = (stage.job(10, "fw-b"), Journal::default());
        let error =
            move_binding(&*stage.adapter(), &job, &gate, &journal, stage.patience()).await.unwrap_err();
        assert!(error.is_deposed(), "{error}");
        assert_eq!(stage.writes(), open_for);
    }
}

pub(crate) async fn of_two_leaders_the_older_never_wins<S: Scene>(stage: impl AsyncFn() -> S) {
    for seed in 0..12 {
        let stage = stage().await;
        stage.misbehave(seed);
        let (old, new) = (stage.adapter(), stage.adapter());
        let (old_job, new_job) = (stage.job(10, "fw-b"), stage.job(11, "fw-a"));
        let (older, newer) = tokio::join!(stage.insist(&*old, &old_job), stage.insist(&*new, &new_job));
        newer.unwrap();
        assert!(older.as_ref().map_or_else(AdapterError::is_deposed, |()| true), "{older:?}");
        stage.carried_out(stage.calls_arrived()).await;
        stage.assert_active("fw-a");
        assert!(stage.insist(&*old, &old_job).await.unwrap_err().is_deposed());
        stage.assert_active("fw-a");
        stage.assert_never_two();
    }
}

pub(crate) async fn a_silent_cloud_is_given_up_at_the_deadline<S: Scene>(stage: impl AsyncFn() -> S) {
    let stage = stage().await;
    stage.die_at_call(2);
    let (job, journal) = (stage.job(10, "fw-b"), Journal::default());
    let deadline = Duration::from_millis(50);
    let error = move_binding(&*stage.adapter(), &job, &Open, &journal, deadline).await.unwrap_err();
    assert!(matches!(error, AdapterError::Transient { .. }), "{error}");
    assert!(error.chain().ends_with("to fw-b: it took longer than 50ms"), "{}", error.chain());
    assert_eq!(journal.take().last().unwrap().call, "(deadline)");
}

pub(crate) async fn every_call_is_in_the_journal<S: Scene>(stage: impl AsyncFn() -> S) {
    let stage = stage().await;
    let (job, journal) = (stage.job(10, "fw-b"), Journal::default());
    move_binding(&*stage.adapter(), &job, &Open, &journal, stage.patience()).await.unwrap();
    let mut written: Vec<String> =
        journal.take().into_iter().flat_map(|record| one_by_one(&record.call)).collect();
    let mut seen: Vec<String> = stage.calls().into_iter().map(|call| call.call).collect();
    // Parallel reads may arrive in another order than they are answered in.
    written.sort();
    seen.sort();
    assert_eq!(written, seen);
}

/// Looks at one long-running operation are one line, `GET operations/7 ×3`.
fn one_by_one(call: &str) -> Vec<String> {
    match call.rsplit_once(" ×").and_then(|(call, times)| Some((call, times.parse().ok()?))) {
        Some((call, times)) => vec![call.to_owned(); times],
        None => vec![call.to_owned()],
    }
}
