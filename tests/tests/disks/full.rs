//! Disks that fill up: changes are refused while the coordinators still decide, everything that was
//! acknowledged stays, and work goes on once there is room again.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use coordinator_api::v1::GroupStatus;
use coordinator_core::observe::Verdict;
use tests::cluster::{Cluster, free_ports};
use tests::groups;
use tests::privileged::{go_first, say, skip_unless_privileged};
use tests::tiny_disk::TinyDisk;
use tests::wait::{self, PATIENCE, is};

use crate::operator::{GROUP, Operator};

/// A group one of whose appliances is a port on loopback, and the other does not exist.
const SEEN: &str = "seen";

/// Two segments of the log, the state store, and the reserve below which a disk counts as full.
const DISK_MIB: usize = 192;

/// How much vanishes between two changes.
const STEP_MIB: usize = 4;

/// A disk is filled at 80 MiB a second.
const A_STEP_TAKES: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disks_refuse_changes_decisions_go_on_and_nothing_is_lost() -> Result<()> {
    if skip_unless_privileged("full_disks_refuse_changes_decisions_go_on_and_nothing_is_lost")? {
        return Ok(());
    }
    let port = free_ports(1)?[0];
    let groups = groups::unwatched(GROUP, 0) + &port_watched(port);
    go_first()?;
    let mut cluster = Cluster::on_loopback(&groups)?;
    let mut disks = mount(&cluster)?;
    let outcome = all_full(&mut cluster, &mut disks, port).await;
    // The disks are dropped before the cluster: its directory cannot be removed under a mount.
    cluster.explain(outcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_full_disk_hands_leadership_over() -> Result<()> {
    if skip_unless_privileged("a_leader_with_a_full_disk_hands_leadership_over")? {
        return Ok(());
    }
    go_first()?;
    let mut cluster = Cluster::on_loopback(&groups::unwatched(GROUP, 0))?;
    let mut disks = mount(&cluster)?;
    let outcome = leader_full(&mut cluster, &mut disks).await;
    cluster.explain(outcome)
}

async fn all_full(cluster: &mut Cluster, disks: &mut [TinyDisk], port: u16) -> Result<()> {
    cluster.start_coordinators()?;
    cluster.leader()?;
    let mut operator = Operator::of(cluster)?;
    ensure!(operator.change().await?, "a change was refused on disks that are not full");
    verdict(cluster, Verdict::Down).await?;

    let deadline = Instant::now() + PATIENCE;
    while operator.change().await? {
        ensure!(Instant::now() < deadline, "the disks are full and changes are still accepted");
        disks.iter_mut().try_for_each(|disk| disk.fill_by(STEP_MIB))?;
        tokio::task::yield_now().await;
    }
    let before = operator.acknowledged.len();
    let said = cluster.cli(&["maintenance", GROUP, "dmz-0-a", "on", "--reason", "on a full disk"])?;
    ensure!(said.code() == 1 && said.output().contains("full"), "{}", said.output());
    ensure!(said.output().contains("MiB"), "it does not say how much is missing: {}", said.output());

    // What the coordinators find out and decide by themselves is still stored.
    let appliance = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    verdict(cluster, Verdict::Up).await?;
    ensure!(!operator.change().await?, "a change was accepted on a full disk");
    drop(appliance);

    // To the last byte: what is there can still be read, and nothing is accepted.
    for _ in 0..DISK_MIB / STEP_MIB {
        disks.iter_mut().try_for_each(|disk| disk.fill_by(STEP_MIB))?;
        tokio::time::sleep(A_STEP_TAKES).await;
    }
    ensure!(!operator.change().await?, "a change was accepted on a full disk");
    operator.readable().await?;
    cluster.check()?;

    disks.iter_mut().try_for_each(TinyDisk::empty)?;
    operator.change_at_last().await?;
    verdict(cluster, Verdict::Down).await?;
    for id in cluster.node_ids() {
        cluster.kill_coordinator(id)?;
    }
    cluster.start_coordinators()?;
    cluster.leader()?;
    operator.everywhere().await?;
    say(&format!(
        "full disks: {before} changes acknowledged before the disks were full and {} after, none lost",
        operator.acknowledged.len() - before
    ));
    Ok(())
}

async fn leader_full(cluster: &mut Cluster, disks: &mut [TinyDisk]) -> Result<()> {
    cluster.start_coordinators()?;
    let leader = cluster.leader()?;
    let mut operator = Operator::of(cluster)?;
    operator.change_at_last().await?;
    let of_leader = cluster.node_ids().iter().position(|id| *id == leader);
    disks[of_leader.unwrap_or_default()].fill_by(DISK_MIB)?;
    let began = Instant::now();
    wait::until("a node with room on its disk leads", || {
        let seen = cluster.leader()?;
        Ok(is(seen != leader, || format!("{seen} leads")))
    })?;
    let took = began.elapsed();
    ensure!(operator.change().await?, "a change was refused although two nodes have room");
    ensure!(cluster.leader()? != leader, "the node with the full disk leads again");
    disks.iter_mut().try_for_each(TinyDisk::empty)?;
    operator.everywhere().await?;
    cluster.check()?;
    say(&format!("a full disk on the leader: handed over after {} ms", took.as_millis()));
    Ok(())
}

fn mount(cluster: &Cluster) -> Result<Vec<TinyDisk>> {
    let ids = cluster.node_ids().into_iter();
    ids.map(|id| TinyDisk::mount(&cluster.data_dir_of(id)?, DISK_MIB)).collect()
}

/// Waits until the group verdict on the port is in the log.
async fn verdict(cluster: &Cluster, wanted: Verdict) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut seen = Vec::new();
        for id in cluster.node_ids() {
            match cluster.api(id)?.group(SEEN).await {
                Ok(GroupStatus { members, .. }) if members[0].verdict == wanted => {
                    return Ok(());
                }
                answer => seen.push(answer.map(|group| group.members)),
            }
        }
        ensure!(Instant::now() < deadline, "it is not recorded as {wanted:?}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn port_watched(port: u16) -> String {
    format!(
        r#"
[[group]]
name = "{SEEN}"

[[group.binding]]
name = "inside"
kind = "vip"
address = "127.0.0.100/24"
interface = "eth0"

[[group.appliance]]
name = "seen-a"
address = "127.0.0.1"
probe = [{{ kind = "tcp", port = {port}, interval = "200ms", timeout = "150ms", rise = 2, fall = 2 }}]

[[group.appliance]]
name = "seen-b"
address = "127.0.0.2"
probe = [{{ kind = "agent-heartbeat" }}]
"#
    )
}
