//! A commit on three replicas, as a multiple of the fastest durable write.
//!
//! Rounds of floor writes, one client and many clients take turns.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench::cluster::Cluster;
use bench::disk::{self, Floor};
use bench::fixture::{batch_bytes, command, entry, groups, turn};
use bench::stats::{Samples, micros, print, quartiles};
use coordinator::raft::Replica;
use coordinator_core::command::CommandBody;
use coordinator_core::model::GroupSpec;

/// Many and short: a disk's mood lasts for longer than a round.
const ROUNDS: u64 = 60;
const MANY: usize = 32;
/// Commits in a round: of the one client, and of each of the many. Even, so that each changes
/// the mode that the one before it left.
const COMMITS_ALONE: u64 = 60;
const COMMITS_EACH: u64 = 20;
/// Floor writes in a round.
const FLOOR_WRITES: usize = 60;
/// As many logs as there are replicas: on this one disk they sync at once.
const LOGS: usize = 3;
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = disk::scratch()?;
    let groups: Arc<[GroupSpec]> = groups(MANY as u16)?.into();
    let bytes = batch_bytes(&[entry(&groups[0], 0)])?;
    let (mut one, mut three) = (floors(dir.path(), 1, bytes)?, floors(dir.path(), LOGS, bytes)?);
    let cluster = Cluster::start(dir.path()).await?;
    let leader = cluster.leader().await?;
    leader
        .propose(command(CommandBody::Seed { groups: groups.to_vec(), pools: Vec::new() }), DEADLINE)
        .await?;
    // Connections, caches and the next segments of the logs are made.
    clients(&leader, &groups, 1, 0..100).await?;

    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut now = Round::default();
        one = sync(one, &mut now.one).await?;
        now.alone = clients(&leader, &groups, 1, numbers(round, COMMITS_ALONE)).await?;
        three = sync(three, &mut now.three).await?;
        now.many = clients(&leader, &groups, MANY, numbers(round, COMMITS_EACH)).await?;
        rounds.push(now);
    }
    cluster.stop().await;
    println!(
        "commit of {bytes} bytes, three replicas in one process, {ROUNDS} rounds in {}",
        dir.path().display()
    );
    report(&rounds);
    Ok(())
}

/// What was measured in turn.
#[derive(Default)]
struct Round {
    /// One log that syncs, and three at once.
    one: Samples,
    three: Samples,
    /// One client, and many at once.
    alone: Run,
    many: Run,
}

/// Percentiles over everything; ratios of each round's medians, of which the median and the
/// quartiles are shown.
fn report(rounds: &[Round]) {
    let row = |what: &str, of: &dyn Fn(&Round) -> &Samples| {
        let mut all = Samples::default();
        rounds.iter().for_each(|round| all.extend(of(round).clone()));
        let over = |floor: fn(&Round) -> &Samples| {
            let each = |r| of(r).p50().as_secs_f64() / floor(r).p50().as_secs_f64();
            quartiles(rounds.iter().map(each))
        };
        let (one, three) = (over(|r| &r.one), over(|r| &r.three));
        vec![what.to_owned(), all.len().to_string(), micros(all.p50()), micros(all.p99()), one, three]
    };
    let rows = [
        row("floor: one log syncs", &|r| &r.one),
        row("floor: three logs at once", &|r| &r.three),
        row("commit, 1 client", &|r| &r.alone.latency),
        row(&format!("commit, {MANY} clients"), &|r| &r.many.latency),
    ];
    print(&["", "samples", "p50 µs", "p99 µs", "÷ one log", "÷ three logs"], &rows);
    let per_sync = |of: fn(&Round) -> &Run| {
        quartiles(rounds.iter().map(|r| of(r).per_second() * r.one.p50().as_secs_f64()))
    };
    println!("commits in the time of one floor write:");
    println!("  1 client    {}", per_sync(|r| &r.alone));
    println!("  {MANY} clients  {}", per_sync(|r| &r.many));
}

/// Numbers that no other round uses, beginning with the same parity.
fn numbers(round: u64, count: u64) -> std::ops::Range<u64> {
    let first = 1000 + round * count;
    first..first + count
}

/// What clients saw.
#[derive(Default)]
struct Run {
    latency: Samples,
    /// From the first proposal to the last answer.
    lasted: Duration,
}

impl Run {
    fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.lasted.as_secs_f64()
    }
}

/// `count` clients at once, each changing a group of its own as often as there are `numbers`.
async fn clients(
    leader: &Replica,
    groups: &Arc<[GroupSpec]>,
    count: usize,
    numbers: std::ops::Range<u64>,
) -> anyhow::Result<Run> {
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for client in 0..count {
        let (leader, groups, numbers) = (leader.clone(), groups.clone(), numbers.clone());
        tasks.spawn(async move {
            let mut latency = Samples::default();
            for number in numbers {
                let command = turn(&groups[client], number);
                let asked = Instant::now();
                let committed = leader.propose(command, DEADLINE).await;
                committed.context("a proposal failed: is the machine too busy for a stable leader?")?;
                latency.push(asked.elapsed());
            }
            anyhow::Ok(latency)
        });
    }
    let mut run = Run::default();
    while let Some(latency) = tasks.join_next().await {
        run.latency.extend(latency??);
    }
    run.lasted = started.elapsed();
    Ok(run)
}

fn floors(dir: &Path, count: usize, bytes: usize) -> std::io::Result<Vec<Floor>> {
    (0..count).map(|log| Floor::create(dir, &format!("floor-{log}-of-{count}"), bytes)).collect()
}

/// Adds the durable writes of all `floors`, at once, each on a thread of its own.
async fn sync(floors: Vec<Floor>, samples: &mut Samples) -> anyhow::Result<Vec<Floor>> {
    let writing = floors.into_iter().map(|mut floor| {
        tokio::task::spawn_blocking(move || {
            let took = (0..FLOOR_WRITES).map(|_| floor.write()).collect::<Result<Vec<_>, _>>()?;
            std::io::Result::Ok((took, floor))
        })
    });
    let mut back = Vec::new();
    for task in writing.collect::<Vec<_>>() {
        let (took, floor) = task.await??;
        samples.extend(took);
        back.push(floor);
    }
    Ok(back)
}
