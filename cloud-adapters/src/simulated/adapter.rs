//! The adapter for the simulated cloud.
//!
//! The token is a tag on each NIC or route table, one tag per group: several groups may share a
//! NIC or a table, and each has tokens of its own.

mod documents;
mod power;
mod public_ip;
mod route;

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator_core::ids::GroupName;
use coordinator_core::model::{BindingKind, BindingSpec};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::client::{CloudClient, SimulatedAdapterError, Versioned};
use crate::contract::{
    Actual, Adapter, AdapterError, Backoff, Change, Journal, MoveJob, Power, ResourceLocks, ResourceSeen,
};
use documents::{is_settled, token_on, with_token};

/// Moves public IPs and routes of one simulated cloud.
#[derive(Debug)]
pub struct SimulatedAdapter {
    client: CloudClient,
    locks: ResourceLocks,
}

impl SimulatedAdapter {
    /// An adapter for the cloud at `url`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`SimulatedAdapterError`] when the URL is not plain HTTP on a loopback address, or the
    /// token cannot stand in a header.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, SimulatedAdapterError> {
        Ok(SimulatedAdapter { client: CloudClient::new(url, token)?, locks: ResourceLocks::default() })
    }

    async fn read_resource(
        &self,
        id: String,
        group: &GroupName,
        journal: &Journal,
    ) -> Result<ResourceSeen, AdapterError> {
        let attempt = format!("read {id}");
        let Versioned { etag, document } = self.client.get(&id, &attempt, journal).await?;
        let token = token_on(&document, group).map_err(|why| AdapterError::permanent(attempt, why))?;
        Ok(ResourceSeen { id, etag, token, document })
    }

    /// Waits until the cloud has finished the newest change of `resource`.
    async fn wait_until_settled(
        &self,
        resource: &str,
        attempt: &str,
        first: Versioned,
        journal: &Journal,
    ) -> Result<Versioned, AdapterError> {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
        let mut newest = first;
        while !is_settled(&newest.document) {
            tokio::time::sleep(backoff.next_wait(None)).await;
            newest = self.client.get(resource, attempt, journal).await?;
        }
        Ok(newest)
    }
}

impl Adapter for SimulatedAdapter {
    fn resources(&self, binding: &BindingSpec) -> Result<BTreeSet<String>, AdapterError> {
        match &binding.kind {
            BindingKind::PublicIp { targets, .. } => public_ip::nics(binding, targets),
            BindingKind::Route { table, .. } => Ok(BTreeSet::from([route::table_id(table)])),
            BindingKind::Vip { .. } | BindingKind::ProbeGate(_) => Err(not_mine(binding)),
        }
    }

    fn locks(&self) -> &ResourceLocks {
        &self.locks
    }

    fn power(&self) -> Option<&dyn Power> {
        Some(self)
    }

    fn read<'a>(
        &'a self,
        group: &'a GroupName,
        binding: &'a BindingSpec,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<Actual, AdapterError>> {
        async move {
            match &binding.kind {
                BindingKind::PublicIp { resource, targets, .. } => {
                    self.read_public_ip(group, binding, resource, targets, journal).await
                }
                BindingKind::Route { table, route, targets, .. } => {
                    self.read_route(group, table, route, targets, journal).await
                }
                BindingKind::Vip { .. } | BindingKind::ProbeGate(_) => Err(not_mine(binding)),
            }
        }
        .boxed()
    }

    fn plan_claim(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        let unclaimed =
            actual.resources.iter().filter(|seen| seen.token.is_none_or(|token| token < job.token));
        Ok(unclaimed
            .map(|seen| Change {
                attempt: format!("claim {} for `{}` with token {}", seen.id, job.binding.name, job.token),
                resource: seen.id.clone(),
                etag: seen.etag.clone(),
                document: with_token(seen.document.clone(), job),
            })
            .collect())
    }

    fn plan(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        match &job.binding.kind {
            BindingKind::PublicIp { resource, targets, .. } => {
                public_ip::plan(actual, job, resource, targets)
            }
            BindingKind::Route { table, route, targets, .. } => {
                route::plan(actual, job, table, route, targets)
            }
            BindingKind::Vip { .. } | BindingKind::ProbeGate(_) => Err(not_mine(&job.binding)),
        }
    }

    fn write<'a>(
        &'a self,
        change: &'a Change,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        async move {
            let Change { attempt, resource, etag, document } = change;
            let accepted = self.client.put(resource, etag, document, attempt, journal).await?;
            self.wait_until_settled(resource, attempt, accepted, journal).await.map(|_| ())
        }
        .boxed()
    }
}

fn not_mine(binding: &BindingSpec) -> AdapterError {
    let attempt = format!("move {} `{}`", binding.kind.word(), binding.name);
    AdapterError::permanent(attempt, "the simulated cloud has public IPs and routes only")
}
