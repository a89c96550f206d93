//! A durable append to the write-ahead log, as a multiple of the fastest durable write.
//!
//! One append and one floor write take turns, so that whatever else the disk does strikes both.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench::disk::{self, Floor};
use bench::fixture::{batch_bytes, entry, groups};
use bench::stats::{Samples, micros, print, ratio};
use coordinator::raft::types::{Entry, TypeConfig};
use coordinator::raft::wal::Wal;
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use tokio::runtime::{Builder, Runtime};

/// Pairs of one append and one floor write, after as many unmeasured ones as `WARM_UP` says.
const PAIRS: usize = 1500;
const WARM_UP: usize = 200;

fn main() -> anyhow::Result<()> {
    let dir = disk::scratch()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    println!("durable append, {PAIRS} pairs each, in {}", dir.path().display());
    let heading = ["append of", "bytes", "wal p50 µs", "p99", "floor p50 µs", "p99", "ratio p50", "p99"];
    let rows = [1, 64].map(|entries| measure(&runtime, dir.path(), entries));
    print(&heading, &rows.into_iter().collect::<anyhow::Result<Vec<_>>>()?);
    Ok(())
}

fn measure(runtime: &Runtime, dir: &Path, entries: u64) -> anyhow::Result<Vec<String>> {
    let bytes = batch_bytes(&batch(0, entries)?)?;
    let mut floor = Floor::create(dir, &format!("floor-{entries}"), bytes)?;
    let log = dir.join(format!("wal-{entries}"));
    std::fs::create_dir(&log)?;
    let mut wal = Wal::open(log)?;
    let (mut ours, mut floors) = (Samples::default(), Samples::default());
    for pair in 0..WARM_UP + PAIRS {
        let took = runtime.block_on(append(&mut wal, batch(pair as u64 * entries, entries)?))?;
        let least = floor.write()?;
        if pair >= WARM_UP {
            ours.push(took);
            floors.push(least);
        }
    }
    runtime.block_on(wal.close());
    Ok(vec![
        if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") },
        bytes.to_string(),
        micros(ours.p50()),
        micros(ours.p99()),
        micros(floors.p50()),
        micros(floors.p99()),
        ratio(ours.p50(), floors.p50()),
        ratio(ours.p99(), floors.p99()),
    ])
}

fn batch(first: u64, entries: u64) -> anyhow::Result<Vec<Entry>> {
    let groups = groups(1)?;
    let group = groups.first().context("one group")?;
    Ok((first..first + entries).map(|index| entry(group, index)).collect())
}

/// From handing the entries over until they are reported as durable.
async fn append(wal: &mut Wal, entries: Vec<Entry>) -> anyhow::Result<Duration> {
    let (flushed, outcome) = TypeConfig::oneshot();
    let started = Instant::now();
    wal.append(entries, IOFlushed::signal(flushed)).await?;
    outcome.await.context("the log gave no answer")??;
    Ok(started.elapsed())
}
