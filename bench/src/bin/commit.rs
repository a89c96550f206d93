//! A commit on three replicas, as a multiple of the fastest durable write.
//!
//! Rounds of floor writes, one client and many clients take turns.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench::cluster::Cluster;
use bench::disk::{self, Floor};
use bench::fixture::{command, groups, turn};
use bench::stats::{Samples, micros, print, ratio};
use coordinator::raft::{Replica, codec};
use coordinator_core::command::CommandBody;
use coordinator_core::model::GroupSpec;

const ROUNDS: u64 = 8;
const MANY: usize = 32;
/// Commits in a round: of the one client, and of each of the many.
const COMMITS_ALONE: u64 = 400;
const COMMITS_EACH: u64 = 60;
/// Floor writes in a round.
const FLOOR_WRITES: usize = 400;
/// As many logs as there are replicas: on this one disk they sync at once.
const LOGS: usize = 3;
const DEADLINE: Duration = Duration::from_secs(10);
/// What the log adds to a batch of entries: its header.
const BATCH_HEADER: usize = 40;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = disk::scratch()?;
    let groups: Arc<[GroupSpec]> = groups(MANY as u16)?.into();
    let bytes = codec::encoded_command_len(&turn(&groups[0], 0))? + BATCH_HEADER;
    let (mut one, mut three) = (floors(dir.path(), 1, bytes)?, floors(dir.path(), LOGS, bytes)?);
    let cluster = Cluster::start(dir.path()).await?;
    let leader = cluster.leader().await?;
    leader.propose(command(CommandBody::Seed(groups.to_vec())), DEADLINE).await?;
    // Connections, caches and the next segments of the logs are made.
    clients(&leader, &groups, 1, 0..100).await?;

    let (mut floor, mut crowded) = (Samples::default(), Samples::default());
    let (mut alone, mut many) = (Run::default(), Run::default());
    for round in 0..ROUNDS {
        one = sync(one, &mut floor).await?;
        alone.add(clients(&leader, &groups, 1, numbers(round, COMMITS_ALONE)).await?);
        three = sync(three, &mut crowded).await?;
        many.add(clients(&leader, &groups, MANY, numbers(round, COMMITS_EACH)).await?);
    }
    cluster.stop().await;
    report(dir.path(), bytes, [&floor, &crowded], [&alone, &many]);
    Ok(())
}

fn report(dir: &Path, bytes: usize, [floor, crowded]: [&Samples; 2], [alone, many]: [&Run; 2]) {
    println!("commit of {bytes} bytes, three replicas in one process, {ROUNDS} rounds in {}", dir.display());
    let row = |what: &str, samples: &Samples, per_second: f64| {
        vec![
            what.to_owned(),
            samples.len().to_string(),
            micros(samples.p50()),
            micros(samples.p99()),
            ratio(samples.p50(), floor.p50()),
            ratio(samples.p99(), floor.p99()),
            ratio(samples.p50(), crowded.p50()),
            format!("{per_second:.0}"),
            format!("{:.2}", per_second * floor.p50().as_secs_f64()),
        ]
    };
    let per_second = |p50: Duration| p50.as_secs_f64().recip();
    let rows = [
        row("floor: one log syncs", floor, per_second(floor.p50())),
        row("floor: three logs at once", crowded, LOGS as f64 * per_second(crowded.p50())),
        row("commit, 1 client", &alone.latency, alone.per_second()),
        row(&format!("commit, {MANY} clients"), &many.latency, many.per_second()),
    ];
    let heading =
        ["", "samples", "p50 µs", "p99 µs", "÷ floor p50", "p99", "÷ three p50", "per s", "per floor sync"];
    print(&heading, &rows);
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
    fn add(&mut self, other: Run) {
        self.latency.extend(other.latency);
        self.lasted += other.lasted;
    }

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
