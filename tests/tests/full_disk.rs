//! Disks that fill up: changes are refused, everything that was acknowledged stays, and work goes
//! on once there is room again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use coordinator_api::v1::{Changed, Code, HistoryEvent, MaintenanceRequest};
use tests::api::{Api, Failure};
use tests::cluster::Cluster;
use tests::groups;
use tests::privileged::{say, skip_unless_privileged};
use tests::tiny_disk::TinyDisk;
use tests::wait::PATIENCE;
use tokio::time::sleep;

const GROUP: &str = "dmz-0";

/// Two segments of the log, the state store, and the reserve below which a disk counts as full.
const DISK_MIB: usize = 192;

/// How much vanishes between two changes.
const STEP_MIB: usize = 4;

/// Before the same is tried again.
const RETRY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_changes_and_loses_none() -> Result<()> {
    if skip_unless_privileged("a_full_disk_refuses_changes_and_loses_none")? {
        return Ok(());
    }
    let mut cluster = Cluster::on_loopback(&groups::unwatched(GROUP, 0))?;
    let mut disks = Vec::new();
    for id in cluster.node_ids() {
        disks.push(TinyDisk::mount(&cluster.data_dir_of(id)?, DISK_MIB)?);
    }
    let outcome = full_disk(&mut cluster, &mut disks).await;
    // The disks are dropped before the cluster: its directory cannot be removed under a mount.
    cluster.explain(outcome)
}

async fn full_disk(cluster: &mut Cluster, disks: &mut [TinyDisk]) -> Result<()> {
    cluster.start_coordinators()?;
    cluster.leader()?;
    let apis: Vec<Api> = cluster.node_ids().into_iter().map(|id| cluster.api(id)).collect::<Result<_>>()?;
    let mut operator = Operator { apis, enabled: true, acknowledged: Vec::new(), asked: 0 };
    ensure!(operator.change().await?, "a change was refused on disks that are not full");

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

    // To the last byte: what is there can still be read, and nothing is accepted.
    disks.iter_mut().try_for_each(|disk| disk.fill_by(DISK_MIB))?;
    ensure!(!operator.change().await?, "a change was accepted on a full disk");
    operator.readable().await?;
    cluster.check()?;

    disks.iter_mut().try_for_each(TinyDisk::empty)?;
    let deadline = Instant::now() + PATIENCE;
    while !operator.change().await? {
        ensure!(Instant::now() < deadline, "there is room again and changes are still refused");
        sleep(RETRY).await;
    }
    for id in cluster.node_ids() {
        cluster.kill_coordinator(id)?;
    }
    cluster.start_coordinators()?;
    cluster.leader()?;
    operator.everywhere().await?;
    say(&format!(
        "full disk: {before} changes acknowledged before the disks were full and {} after, none lost",
        operator.acknowledged.len() - before
    ));
    Ok(())
}

/// Puts an appliance into maintenance and takes it out again.
struct Operator {
    apis: Vec<Api>,
    enabled: bool,
    acknowledged: Vec<String>,
    asked: usize,
}

impl Operator {
    /// Makes a change, at one node after the other. False when it was refused for a full disk.
    async fn change(&mut self) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.asked += 1;
            let reason = format!("change-{}.", self.asked);
            let request = MaintenanceRequest { enabled: self.enabled, reason: reason.clone() };
            let path = format!("/v1/groups/{GROUP}/appliances/{GROUP}-a/maintenance");
            match self.apis[self.asked % self.apis.len()].post::<Changed>(&path, &request).await {
                Ok(changed) => {
                    self.acknowledged.extend((!changed.events.is_empty()).then_some(reason));
                    self.enabled = !self.enabled;
                    return Ok(true);
                }
                Err(Failure::Problem(problem)) if problem.code == Code::StorageFull => {
                    ensure!(problem.status == 507 && problem.detail.contains("MiB"), "{problem:?}");
                    return Ok(false);
                }
                // A change of leader; what was not acknowledged does not count.
                Err(failure) => ensure!(Instant::now() < deadline, "{failure}"),
            }
        }
    }

    /// Demands that the cluster still shows every acknowledged change. A node alone may not: while
    /// its disk is full it takes nothing in, and two of three are enough for an acknowledgement.
    async fn readable(&self) -> Result<()> {
        let history = self.apis[0].cluster_history().await?;
        let lost = self.missing(&history);
        ensure!(lost.is_empty(), "{lost:?} are not in {history:?}");
        Ok(())
    }

    /// Waits until each node's own history has every acknowledged change.
    async fn everywhere(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for api in &self.apis {
            loop {
                let seen = match api.own_history().await.map(|history| self.missing(&history)) {
                    Ok(lost) if lost.is_empty() => break,
                    Ok(lost) => format!("{lost:?} are not there"),
                    Err(error) => format!("{error:#}"),
                };
                ensure!(Instant::now() < deadline, "waited {PATIENCE:?} for every change, in vain: {seen}");
                sleep(RETRY).await;
            }
        }
        Ok(())
    }

    fn missing(&self, history: &[HistoryEvent]) -> Vec<String> {
        let said: String = history.iter().map(|event| event.sentence.clone() + "\n").collect();
        self.acknowledged.iter().filter(|change| !said.contains(*change)).cloned().collect()
    }
}
