//! An operator who makes changes and keeps book of what was acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use coordinator_api::v1::{Changed, Code, HistoryEvent, MaintenanceRequest};
use tests::api::{Api, Failure};
use tests::cluster::Cluster;
use tests::wait::PATIENCE;
use tokio::time::sleep;

/// The group that is changed.
pub(crate) const GROUP: &str = "dmz-0";

/// Before the same is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Puts an appliance into maintenance and takes it out again.
pub(crate) struct Operator {
    apis: Vec<Api>,
    enabled: bool,
    pub(crate) acknowledged: Vec<String>,
    asked: usize,
}

impl Operator {
    /// At all coordinators.
    pub(crate) fn of(cluster: &Cluster) -> Result<Operator> {
        let apis = cluster.node_ids().into_iter().map(|id| cluster.api(id)).collect::<Result<_>>()?;
        Ok(Operator { apis, enabled: true, acknowledged: Vec::new(), asked: 0 })
    }

    /// Makes a change as soon as one is accepted.
    pub(crate) async fn change_at_last(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.change().await? {
            ensure!(Instant::now() < deadline, "changes are still refused for a full disk");
            sleep(RETRY).await;
        }
        Ok(())
    }

    /// Makes a change, at one node after the other. False when it was refused for a full disk.
    pub(crate) async fn change(&mut self) -> Result<bool> {
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
    pub(crate) async fn readable(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let history = loop {
            match self.apis[0].cluster_history().await {
                Ok(history) => break history,
                // A change of leader.
                Err(error) => ensure!(Instant::now() < deadline, "the history cannot be read: {error:#}"),
            }
            sleep(RETRY).await;
        };
        let lost = self.missing(&history);
        ensure!(lost.is_empty(), "{lost:?} are not in {history:?}");
        Ok(())
    }

    /// Waits until each node's own history has every acknowledged change.
    pub(crate) async fn everywhere(&self) -> Result<()> {
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
