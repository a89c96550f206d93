//! Coordinators are killed at random while operators change things: nothing that was
//! acknowledged is lost, and all replicas end up equal.
//!
//! `POINTSMAN_KILLS` sets the number of kills (default 30), `POINTSMAN_SEED` repeats a run's
//! choices, though not its timing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coordinator_api::v1::{Changed, Code, Cursor, GroupList, GroupStatus, HistoryEvent, MaintenanceRequest};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tests::api::{Api, Failure};
use tests::cluster::Cluster;
use tests::groups;
use tests::privileged::say;
use tests::wait::{Look, PATIENCE};
use tokio::time::sleep;

/// One operator per group, so that each knows what its group must look like.
const OPERATORS: usize = 8;

/// Between two changes of one operator: 200 kills must not make more records than are kept.
const PAUSE: Duration = Duration::from_millis(5);

/// A killed coordinator stays down for up to this long.
const LONGEST_DOWN: Duration = Duration::from_millis(300);

/// One in so many kills takes all coordinators at once, as a power cut does.
const POWER_CUT: u32 = 12;

/// One in so many restarted coordinators is killed again while it starts.
const KILLED_STARTING: u32 = 5;

/// What a coordinator says when it is between leaders or ending, and has done nothing.
const NOT_DONE: [Code; 2] = [Code::NoLeader, Code::ShuttingDown];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_change_is_lost_when_coordinators_are_killed_at_random() -> Result<()> {
    let kills = number("POINTSMAN_KILLS")?.unwrap_or(30);
    let seed = number("POINTSMAN_SEED")?.unwrap_or_else(|| rand::rng().random());
    say(&format!("kill loop: {kills} kills, POINTSMAN_SEED={seed}"));
    let names: Vec<String> = (0..OPERATORS).map(|n| format!("dmz-{n}")).collect();
    let groups: String = names.iter().enumerate().map(|(n, name)| groups::unwatched(name, n)).collect();
    let mut cluster = Cluster::on_loopback(&groups)?;
    let outcome = kill_loop(&mut cluster, &names, kills, seed).await;
    cluster.explain(outcome)
}

async fn kill_loop(cluster: &mut Cluster, names: &[String], kills: u64, seed: u64) -> Result<()> {
    cluster.start_coordinators()?;
    let apis: Vec<Api> = cluster.node_ids().into_iter().map(|id| cluster.api(id)).collect::<Result<_>>()?;
    ready(&apis, "the cluster is up").await?;

    let stop = Arc::new(AtomicBool::new(false));
    let operators: Vec<_> =
        names.iter().map(|name| tokio::spawn(Operator::new(name, &apis, Arc::clone(&stop)).work())).collect();
    let began = Instant::now();
    let killed = kill_at_random(cluster, &apis, kills, seed).await;
    stop.store(true, Ordering::Relaxed);
    let mut diaries = Vec::new();
    for operator in operators {
        diaries.push(operator.await??);
    }
    let mut rejoined = killed?;
    let took = began.elapsed();

    let histories = equal_replicas(&apis).await?;
    let acknowledged = compare(&diaries, &histories)?;
    let sum = |count: fn(&Diary) -> usize| diaries.iter().map(count).sum::<usize>();
    let reads = sum(|d| d.reads);
    // A loop that nobody worked through, or one without a kill in it, proves nothing.
    ensure!(acknowledged > names.len() && reads > 0, "only {acknowledged} changes were acknowledged");
    rejoined.sort_unstable();
    say(&format!(
        "kill loop: {kills} kills in {:.1} s; {acknowledged} changes acknowledged and all of them in the \
         history of each node, {} of unknown outcome, {} not done for want of a node or a leader; {reads} linearizable reads, none stale; \
         rejoined within {} ms at the median, {} ms at most; 3 replicas equal, {} records each",
        took.as_secs_f64(),
        sum(|d| d.unknown.len()),
        sum(|d| d.refused),
        rejoined.get(rejoined.len() / 2).map_or(0, Duration::as_millis),
        rejoined.last().map_or(0, Duration::as_millis),
        histories.first().map_or(0, Vec::len),
    ));
    Ok(())
}

/// Kills, restarts and waits for the rejoin, again and again. Returns how long each took.
async fn kill_at_random(cluster: &mut Cluster, apis: &[Api], kills: u64, seed: u64) -> Result<Vec<Duration>> {
    let mut random = StdRng::seed_from_u64(seed);
    let nodes = cluster.node_ids();
    let mut rejoined = Vec::new();
    let mut killed = 0;
    while killed < kills {
        // Let some changes through, up to a random point of the next one.
        sleep(Duration::from_micros(random.random_range(0..100_000))).await;
        let down = if random.random_ratio(1, POWER_CUT) {
            nodes.clone()
        } else {
            vec![nodes[random.random_range(0..nodes.len())]]
        };
        for node in &down {
            cluster.kill_coordinator(*node)?;
            killed += 1;
        }
        sleep(LONGEST_DOWN.mul_f64(random.random())).await;
        for node in &down {
            cluster.start_coordinator(*node)?;
            if random.random_ratio(1, KILLED_STARTING) {
                sleep(Duration::from_micros(random.random_range(0..150_000))).await;
                cluster.kill_coordinator(*node)?;
                killed += 1;
                cluster.start_coordinator(*node)?;
            }
        }
        let restarted = Instant::now();
        ready(apis, &format!("{down:?} rejoined after kill {killed}")).await?;
        cluster.check()?;
        rejoined.push(restarted.elapsed());
    }
    Ok(rejoined)
}

/// What an operator did and was told.
#[derive(Debug, Default)]
struct Diary {
    acknowledged: Vec<(String, Cursor)>,
    unknown: BTreeSet<String>,
    refused: usize,
    reads: usize,
}

/// Puts one appliance into maintenance and takes it out again, with a reason of its own each time.
struct Operator {
    group: String,
    apis: Vec<Api>,
    stop: Arc<AtomicBool>,
    diary: Diary,
}

impl Operator {
    fn new(group: &str, apis: &[Api], stop: Arc<AtomicBool>) -> Operator {
        Operator { group: group.to_owned(), apis: apis.to_vec(), stop, diary: Diary::default() }
    }

    async fn work(mut self) -> Result<Diary> {
        let path = format!("/v1/groups/{}/appliances/{}-a/maintenance", self.group, self.group);
        let mut enabled = true;
        for number in 0_usize.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let reason = format!("{}-change-{number}", self.group);
            let request = MaintenanceRequest { enabled, reason: reason.clone() };
            let api = &self.apis[number % self.apis.len()];
            match api.post::<Changed>(&path, &request).await {
                Ok(changed) => {
                    let event = changed.events.first();
                    self.diary.acknowledged.extend(event.map(|event| (reason.clone(), event.id)));
                    if event.is_some() {
                        let expected = enabled.then_some(reason);
                        self.read(number + 1, expected).await?;
                    }
                    // No event: an earlier change of unknown outcome was made after all.
                    enabled = !enabled;
                }
                Err(Failure::Unreachable(_)) => self.diary.refused += 1,
                Err(Failure::Problem(problem)) if NOT_DONE.contains(&problem.code) => self.diary.refused += 1,
                Err(Failure::Lost(_)) => self.unknown(reason),
                Err(Failure::Problem(problem)) if problem.code == Code::OutcomeUnknown => {
                    self.unknown(reason)
                }
                Err(other) => return Err(other).with_context(|| format!("{reason} was refused")),
            }
            sleep(PAUSE).await;
        }
        Ok(self.diary)
    }

    fn unknown(&mut self, reason: String) {
        self.diary.unknown.insert(reason);
    }

    /// A linearizable read at another node must show the change that was just acknowledged, or
    /// one of unknown outcome that was made in the meantime.
    async fn read(&mut self, at: usize, expected: Option<String>) -> Result<()> {
        let Ok(group) = self.apis[at % self.apis.len()].group(&self.group).await else { return Ok(()) };
        self.diary.reads += 1;
        let shown = group.members.first().and_then(|member| member.maintenance.clone());
        let late = match &shown {
            Some(reason) => self.diary.unknown.contains(reason),
            None => !self.diary.unknown.is_empty(),
        };
        ensure!(shown == expected || late, "read {shown:?} after {expected:?} was acknowledged");
        Ok(())
    }
}

/// Waits until every node is ready and has applied what the others had when this began.
async fn ready(apis: &[Api], what: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut goal = 0;
    for api in apis {
        goal = api.status().await.map_or(goal, |status| goal.max(status.applied));
    }
    for api in apis {
        loop {
            let seen = match api.status().await {
                Ok(status) if status.quorum_ok && status.applied >= goal => break,
                Ok(status) => format!("leader {:?}, applied {} of {goal}", status.leader, status.applied),
                Err(failure) => failure.to_string(),
            };
            ensure!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} for this, in vain: {what}; at the end: {seen}"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// Waits until all nodes have applied the same entry, and demands that they then say the same.
/// Returns their histories.
async fn equal_replicas(apis: &[Api]) -> Result<Vec<Vec<HistoryEvent>>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = applied(apis).await?;
        let look =
            if before.len() == 1 { read_replicas(apis).await? } else { Look::NotYet(format!("{before:?}")) };
        let seen = match look {
            Look::Yes(_) if applied(apis).await? != before => "entries are still being applied".to_owned(),
            Look::Yes(histories) => return Ok(histories),
            Look::NotYet(seen) => seen,
        };
        ensure!(Instant::now() < deadline, "the replicas did not become equal in {PATIENCE:?}: {seen}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn applied(apis: &[Api]) -> Result<BTreeSet<u64>> {
    let mut all = BTreeSet::new();
    for api in apis {
        all.insert(api.status().await?.applied);
    }
    Ok(all)
}

async fn read_replicas(apis: &[Api]) -> Result<Look<Vec<Vec<HistoryEvent>>>> {
    let (mut states, mut histories) = (Vec::new(), Vec::new());
    for api in apis {
        states.push(replicated_state(api).await?);
        histories.push(api.own_history().await?);
    }
    let equal = states.windows(2).all(|pair| pair[0] == pair[1])
        && histories.windows(2).all(|pair| pair[0] == pair[1]);
    let lengths: Vec<_> = histories.iter().map(Vec::len).collect();
    Ok(if equal {
        Look::Yes(histories)
    } else {
        Look::NotYet(format!("{states:?}, histories of {lengths:?}"))
    })
}

/// Everything that a node says of the groups, but for what it observes itself.
async fn replicated_state(api: &Api) -> Result<Vec<Value>> {
    let list: GroupList = api.stale("/v1/groups").await?;
    let mut groups = vec![serde_json::to_value(&list)?];
    for summary in list.groups {
        let mut group: GroupStatus = api.stale(&format!("/v1/groups/{}", summary.name)).await?;
        group.why.clear();
        for member in &mut group.members {
            member.vantages.clear();
            member.agent = None;
        }
        groups.push(serde_json::to_value(&group)?);
    }
    Ok(groups)
}

/// Demands that every acknowledged change stands in every history, once and where it was said to
/// be, and that nothing stands there that nobody asked for. Returns how many were acknowledged.
fn compare(diaries: &[Diary], histories: &[Vec<HistoryEvent>]) -> Result<usize> {
    let unknown: BTreeSet<_> = diaries.iter().flat_map(|diary| &diary.unknown).collect();
    let acknowledged: BTreeSet<_> = diaries.iter().flat_map(|diary| &diary.acknowledged).cloned().collect();
    for history in histories {
        let mut recorded = BTreeSet::new();
        for event in history {
            let reason = event.body.pointer("/maintenance_set/reason").and_then(Value::as_str);
            let Some(reason) = reason else { continue };
            ensure!(
                recorded.insert((reason.to_owned(), event.id)),
                "{reason} is recorded twice at {}",
                event.id
            );
        }
        let lost: Vec<_> = acknowledged.difference(&recorded).collect();
        ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let extra: Vec<_> =
            recorded.difference(&acknowledged).filter(|(reason, _)| !unknown.contains(reason)).collect();
        ensure!(extra.is_empty(), "recorded and never asked for: {extra:?}");
    }
    Ok(acknowledged.len())
}

fn number(variable: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    text.parse().map(Some).with_context(|| format!("{variable} is {text:?}; it must be a number"))
}
