//! The driver against an adapter whose every answer is written down, for what no honest cloud
//! does. What an honest one does is in the contract suite.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;

use coordinator_core::ids::Token;
use coordinator_core::model::BindingKind;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::contract::{Change, ResourceLocks, ResourceSeen};

const LONG: Duration = Duration::from_secs(600);

type Read = Result<Actual, AdapterError>;

/// Gives its answers in order, and the last one again and again.
#[derive(Default)]
struct Scripted {
    reads: Mutex<VecDeque<Box<dyn Fn() -> Read + Send>>>,
    writes: Mutex<Vec<String>>,
    /// So many writes are refused first.
    refusals: Mutex<u32>,
    locks: ResourceLocks,
}

impl Scripted {
    fn new(reads: Vec<Box<dyn Fn() -> Read + Send>>) -> Self {
        Scripted { reads: Mutex::new(reads.into()), ..Scripted::default() }
    }

    fn written(&self) -> Vec<String> {
        self.writes.lock().unwrap().clone()
    }
}

impl Adapter for Scripted {
    fn resources(&self, _: &BindingSpec) -> Result<BTreeSet<String>, AdapterError> {
        Ok(BTreeSet::from(["r".to_owned()]))
    }

    fn locks(&self) -> &ResourceLocks {
        &self.locks
    }

    fn read<'a>(&'a self, _: &'a GroupName, _: &'a BindingSpec, _: &'a Journal) -> BoxFuture<'a, Read> {
        let mut reads = self.reads.lock().unwrap();
        let next = if reads.len() > 1 { reads.pop_front().unwrap()() } else { reads[0]() };
        async { next }.boxed()
    }

    fn plan_claim(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        let unclaimed = actual.token < Some(job.token);
        Ok(unclaimed.then(|| change("claim")).into_iter().collect())
    }

    fn plan(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        let right = actual.pointing == Pointing::At(job.to.clone());
        Ok((!right).then(|| change("move")).into_iter().collect())
    }

    fn write<'a>(&'a self, change: &'a Change, _: &'a Journal) -> BoxFuture<'a, Result<(), AdapterError>> {
        let mut refusals = self.refusals.lock().unwrap();
        if let Some(left) = refusals.checked_sub(1) {
            *refusals = left;
            return async { Err(AdapterError::transient("write r", "409")) }.boxed();
        }
        self.writes.lock().unwrap().push(change.attempt.clone());
        async { Ok(()) }.boxed()
    }
}

fn change(attempt: &str) -> Change {
    Change {
        attempt: attempt.to_owned(),
        resource: "r".to_owned(),
        etag: String::new(),
        document: serde_json::Value::Null,
    }
}

/// A read that finds the binding at `at`, with `token` on the resource.
fn seen(at: &'static str, token: u64, settled: bool) -> Box<dyn Fn() -> Read + Send> {
    Box::new(move || {
        let token = Some(Token(token));
        let resource = ResourceSeen {
            id: "r".to_owned(),
            etag: String::new(),
            token,
            document: serde_json::Value::Null,
        };
        let pointing = Pointing::At(at.parse().unwrap());
        Ok(Actual { pointing, token, settled, resources: vec![resource] })
    })
}

fn busy() -> Box<dyn Fn() -> Read + Send> {
    Box::new(|| Err(AdapterError::transient("read r", "503")))
}

async fn run(adapter: &Scripted) -> Result<(), AdapterError> {
    let kind = BindingKind::PublicIp {
        adapter: "sim".parse().unwrap(),
        resource: "pip".to_owned(),
        targets: BTreeMap::new(),
    };
    let job = MoveJob {
        group: "dmz".parse().unwrap(),
        token: Token(10),
        binding: BindingSpec { name: "web".parse().unwrap(), kind },
        to: "fw-b".parse().unwrap(),
    };
    move_binding(adapter, &job, &Open, &Journal::default(), LONG).await
}

struct Open;

impl Gate for Open {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async { Ok(()) }.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_write_is_not_taken_for_done_until_it_is_read_back() {
    let adapter = Scripted::new(vec![seen("fw-a", 10, true)]);
    let error = run(&adapter).await.unwrap_err();
    assert!(matches!(error, AdapterError::Conflict { .. }));
    assert_eq!(error.chain(), "could not keep `web` at fw-b: each write was accepted, and none lasted");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_planned_on_what_is_not_settled() {
    let adapter =
        Scripted::new(vec![seen("fw-a", 10, false), seen("fw-b", 10, false), seen("fw-b", 10, true)]);
    run(&adapter).await.unwrap();
    assert!(adapter.written().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_claim_comes_first_and_is_followed_by_a_fresh_read() {
    let adapter = Scripted::new(vec![seen("fw-a", 9, true), seen("fw-b", 10, true)]);
    run(&adapter).await.unwrap();
    assert_eq!(adapter.written(), ["claim"], "the plan of the first read is not carried out");
}

/// A new leader takes over while the cloud is at work on what the old one asked for.
#[tokio::test(start_paused = true)]
async fn a_claim_waits_for_the_cloud_to_finish_for_as_long_as_it_takes() {
    let mut reads: Vec<_> = (0..21).map(|_| seen("fw-a", 9, false)).collect();
    reads.push(seen("fw-b", 10, true));
    let adapter = Scripted { refusals: Mutex::new(20), ..Scripted::new(reads) };
    run(&adapter).await.unwrap();
    assert_eq!(adapter.written(), ["claim"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_rises_during_the_move_ends_it() {
    let adapter = Scripted::new(vec![seen("fw-a", 9, true), seen("fw-a", 11, true)]);
    assert!(run(&adapter).await.unwrap_err().is_deposed());
    assert_eq!(adapter.written(), ["claim"]);
}

#[tokio::test(start_paused = true)]
async fn a_short_burst_of_failures_is_ridden_out_and_a_long_one_is_not() {
    let mut reads: Vec<_> = (0..5).map(|_| busy()).collect();
    reads.push(seen("fw-b", 10, true));
    run(&Scripted::new(reads)).await.unwrap();

    let started = tokio::time::Instant::now();
    let error = run(&Scripted::new(vec![busy()])).await.unwrap_err();
    assert_eq!(error.chain(), "could not read r: 503");
    assert!(started.elapsed() < Duration::from_secs(3), "the caller decides about the rest");
}

/// Each name is a resource; a job's binding names those that it needs, joined by `-`.
struct Named(ResourceLocks);

impl Adapter for Named {
    fn resources(&self, binding: &BindingSpec) -> Result<BTreeSet<String>, AdapterError> {
        match binding.name.as_str() {
            "never" => Err(AdapterError::permanent("move it", "never")),
            name => Ok(name.split('-').map(str::to_owned).collect()),
        }
    }

    fn locks(&self) -> &ResourceLocks {
        &self.0
    }

    fn read<'a>(&'a self, _: &'a GroupName, _: &'a BindingSpec, _: &'a Journal) -> BoxFuture<'a, Read> {
        async { Err(AdapterError::transient("read", "nothing")) }.boxed()
    }

    fn plan_claim(&self, _: &Actual, _: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        Ok(Vec::new())
    }

    fn plan(&self, _: &Actual, _: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        Ok(Vec::new())
    }

    fn write<'a>(&'a self, _: &'a Change, _: &'a Journal) -> BoxFuture<'a, Result<(), AdapterError>> {
        async { Ok(()) }.boxed()
    }
}

#[test]
fn what_shares_a_resource_with_any_other_is_moved_together() {
    let jobs = ["a-b", "x", "c-d", "never", "b-c", "y-x"].map(|name| MoveJob {
        group: "dmz".parse().unwrap(),
        token: Token(10),
        binding: BindingSpec {
            name: name.parse().unwrap(),
            kind: BindingKind::PublicIp {
                adapter: "sim".parse().unwrap(),
                resource: "pip".to_owned(),
                targets: BTreeMap::new(),
            },
        },
        to: "fw-b".parse().unwrap(),
    });
    let mut sets: Vec<Vec<String>> = entangled(&Named(ResourceLocks::default()), jobs.into())
        .into_iter()
        .map(|jobs| {
            let mut names: Vec<String> = jobs.iter().map(|job| job.binding.name.to_string()).collect();
            names.sort();
            names
        })
        .collect();
    sets.sort();
    assert_eq!(sets, [vec!["a-b", "b-c", "c-d"], vec!["never"], vec!["x", "y-x"]]);
}

#[test]
fn a_change_that_would_have_to_be_written_twice_waits_for_the_next_round() {
    let change = |resource: &str, attempt: &str| Change { resource: resource.to_owned(), ..change(attempt) };
    let mut merged = Merged::default();
    assert_eq!(merged.place("a", 0), Some(0));
    merged.add(0, 1, change("a", "detach 1"));
    assert_eq!(merged.place("b", 1), Some(1));
    merged.add(1, 1, change("b", "attach 1"));
    merged.add(0, 2, change("a", "detach 2"));
    assert_eq!(merged.place("b", 0), Some(1), "later than it must is as good");
    assert_eq!(merged.place("a", 1), None, "it is written before that");
    let layers = merged.take_layers();
    let shown: Vec<Vec<(&str, &str, &[usize])>> = layers
        .iter()
        .map(|layer| layer.iter().map(|(c, jobs)| (&*c.resource, &*c.attempt, &**jobs)).collect())
        .collect();
    let first: (&str, &str, &[usize]) = ("a", "detach 1, and detach 2", &[1, 2]);
    let second: (&str, &str, &[usize]) = ("b", "attach 1", &[1]);
    assert_eq!(shown, [vec![first], vec![second]]);
}
