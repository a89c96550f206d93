//! A leader whose disk answers no more.

use std::time::Instant;

use anyhow::{Result, ensure};
use tests::cluster::Cluster;
use tests::groups;
use tests::loop_disk::LoopDisk;
use tests::privileged::{go_first, say, skip_unless_privileged};
use tests::wait::{self, is};

use crate::operator::{GROUP, Operator};

const NAME: &str = "a_leader_whose_disk_hangs_hands_leadership_over_and_comes_back";

/// Two segments of the log, the state store, and the reserve below which a disk counts as full.
const DISK_MIB: u64 = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_hangs_hands_leadership_over_and_comes_back() -> Result<()> {
    if skip_unless_privileged(NAME)? {
        return Ok(());
    }
    if let Some(why) = LoopDisk::missing() {
        say(&format!("{NAME}: skipped, {why}"));
        return Ok(());
    }
    go_first()?;
    let mut cluster = Cluster::on_loopback(&groups::unwatched(GROUP, 0))?;
    let ids = cluster.node_ids();
    let mut disks: Vec<_> = ids
        .into_iter()
        .map(|id| LoopDisk::mount(&cluster.data_dir_of(id)?, DISK_MIB))
        .collect::<Result<_>>()?;
    let outcome = hung(&mut cluster, &mut disks).await;
    cluster.explain(outcome)
}

async fn hung(cluster: &mut Cluster, disks: &mut [LoopDisk]) -> Result<()> {
    cluster.start_coordinators()?;
    let leader = cluster.leader()?;
    let mut operator = Operator::of(cluster)?;
    operator.change_at_last().await?;
    let of_leader = cluster.node_ids().iter().position(|id| *id == leader).unwrap_or_default();
    disks[of_leader].hang()?;
    let began = Instant::now();
    operator.change_at_last().await?;
    let changed = began.elapsed();
    wait::until("a node whose disk answers leads", || {
        let seen = cluster.leader()?;
        Ok(is(seen != leader, || format!("{seen} leads")))
    })?;
    let took = began.elapsed();
    for _ in 0..20 {
        operator.change_at_last().await?;
    }
    // The node itself knows that it does not lead, although it cannot note who does.
    let status = cluster.api(leader)?.status().await?;
    ensure!(status.leader.is_none_or(|seen| seen != leader), "it says that it leads: {status:?}");

    disks[of_leader].heal()?;
    operator.change_at_last().await?;
    operator.everywhere().await?;
    cluster.check()?;
    say(&format!(
        "a leader's disk hangs: the next change took {} ms, another node leads after {} ms",
        changed.as_millis(),
        took.as_millis()
    ));
    Ok(())
}
