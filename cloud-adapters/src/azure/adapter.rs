//! The adapter: what the contract asks for, in Azure's terms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, GroupName};
use coordinator_core::model::{BindingKind, BindingSpec};
use coordinator_core::state::Difference;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Url;

use super::arm::ArmClient;
use super::identity::{TokenSource, Tokens, spawn_keeper};
use super::options::{AzureOptions, Endpoints, Identity};
use super::public_ip;
use super::reading::{Documents, ReadError};
use super::resource_id::{AllowList, IdError, ResourceId, short_of_path};
use super::route;
use super::transport::{HttpTransport, Transport, TransportSetupError};
use crate::contract::{
    Actual, Adapter, AdapterError, BackendPools, Change, Checks, Endpoint, Journal, MoveJob, Power, READINGS,
    ResourceLocks, ResourceSeen,
};

/// Why an Azure adapter could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum AzureSetupError {
    /// An entry of the allow-list.
    #[error("an entry of `allow` cannot be used")]
    Allow(#[source] IdError),
    /// Nothing is allowed.
    #[error("`allow` is empty, so nothing could ever be moved: list the resource groups, or the resources")]
    AllowsNothing,
    /// A token would travel in the clear.
    #[error("{url} must be https: tokens and secrets go there (http is accepted for this machine itself)")]
    Clear {
        /// The URL.
        url: String,
    },
    /// The HTTP client.
    #[error("could not set up the HTTP client")]
    Transport(#[from] TransportSetupError),
}

/// Moves public IPs and user-defined routes of one Azure tenant.
#[derive(Debug)]
pub struct AzureAdapter {
    pub(super) arm: ArmClient,
    pub(super) tokens: Arc<Tokens>,
    pub(super) endpoints: Vec<Endpoint>,
    locks: ResourceLocks,
}

impl AzureAdapter {
    /// An adapter that talks HTTP. Connects to nothing yet.
    ///
    /// # Errors
    /// [`AzureSetupError`].
    pub fn new(options: AzureOptions) -> Result<Self, AzureSetupError> {
        let transport = Arc::new(HttpTransport::new(options.ca.as_deref())?);
        AzureAdapter::with_transport(options, transport)
    }

    /// An adapter whose requests `transport` carries: a cloud in the same process, for tests.
    ///
    /// # Errors
    /// [`AzureSetupError`].
    pub fn with_transport(
        options: AzureOptions,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, AzureSetupError> {
        let AzureOptions { endpoints, identity, allow, ca: _, pace } = options;
        if allow.is_empty() {
            return Err(AzureSetupError::AllowsNothing);
        }
        let allow = AllowList::new(allow).map_err(AzureSetupError::Allow)?;
        for url in [&endpoints.arm, &endpoints.authority] {
            let local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
            if url.scheme() != "https" && !local {
                return Err(AzureSetupError::Clear { url: url.to_string() });
            }
        }
        let base = endpoints.arm.clone();
        let called = called(&endpoints, &identity);
        let tokens = Arc::new(Tokens::new(TokenSource::new(transport.clone(), endpoints, identity)));
        let arm = ArmClient::new(transport, tokens.clone(), base, pace, allow);
        Ok(AzureAdapter { arm, tokens, endpoints: called, locks: ResourceLocks::default() })
    }

    /// Starts to fetch a token, and keeps it fresh for as long as the adapter exists. Needs a
    /// Tokio runtime. Without it a token is fetched when the first call needs it.
    pub fn keep_token_fresh(&self) {
        spawn_keeper(&self.tokens);
    }

    /// The declaration of a binding, with its ids checked, and on the allow-list.
    pub(super) fn declared<'a>(&self, binding: &'a BindingSpec) -> Result<Declared<'a>, AdapterError> {
        let attempt = || attempt(binding);
        let refuse = |error: IdError| AdapterError::permanent(attempt(), error);
        let declared = match &binding.kind {
            BindingKind::PublicIp { resource, targets, .. } => {
                Declared::PublicIp(public_ip::Declared::new(resource, targets).map_err(refuse)?)
            }
            BindingKind::Route { table, route, targets, .. } => {
                Declared::Route(route::Declared::new(table, route, targets).map_err(refuse)?)
            }
            _ => return Err(AdapterError::permanent(attempt(), "Azure has public IPs and routes only")),
        };
        for id in declared.written() {
            self.arm.check_allowed(&id).map_err(|failure| failure.into_adapter_error(attempt()))?;
        }
        Ok(declared)
    }

    async fn read_bindings(
        &self,
        asks: &[(&GroupName, &BindingSpec)],
        journal: &Journal,
    ) -> Vec<Result<Actual, AdapterError>> {
        let declared: Vec<_> = asks.iter().map(|(_, binding)| self.declared(binding)).collect();
        let mut documents = Documents::default();
        let wanted = declared.iter().flatten().flat_map(Declared::read);
        documents.fetch(&self.arm, wanted.collect(), journal).await;
        // A NIC of no appliance that has the public IP: it has to be claimed as well.
        let others = declared.iter().flatten().filter_map(|d| d.other_holder(&documents));
        let others: BTreeSet<ResourceId> = others.collect();
        documents.fetch(&self.arm, others, journal).await;
        let asks = asks.iter().zip(declared);
        asks.map(|((group, binding), declared)| {
            let declared = declared?;
            if let Some(nic) = declared.other_holder(&documents) {
                let allowed = self.arm.check_allowed(&nic);
                allowed.map_err(|failure| failure.into_adapter_error(attempt(binding)))?;
            }
            let actual = declared.actual(&documents, group);
            actual.map_err(|error| error.into_adapter_error(&attempt(binding)))
        })
        .collect()
    }
}

/// The hosts that calls go to. The metadata service is at a link-local address, which no route
/// leads away from.
fn called(endpoints: &Endpoints, identity: &Identity) -> Vec<Endpoint> {
    let mut urls = vec![&endpoints.arm];
    if !matches!(identity, Identity::ManagedIdentity { .. }) {
        urls.push(&endpoints.authority);
    }
    let endpoint = |url: &Url| {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Endpoint { host, port: url.port_or_known_default()? })
    };
    let mut called: Vec<Endpoint> = urls.into_iter().filter_map(endpoint).collect();
    called.dedup();
    called
}

/// A declaration, with its ids checked.
pub(super) enum Declared<'a> {
    /// Of a public IP.
    PublicIp(public_ip::Declared),
    /// Of a route.
    Route(route::Declared<'a>),
}

impl Declared<'_> {
    /// What a move may write, as far as the declaration tells.
    fn written(&self) -> BTreeSet<ResourceId> {
        match self {
            Declared::PublicIp(declared) => declared.nics(),
            Declared::Route(declared) => BTreeSet::from([declared.table.clone()]),
        }
    }

    /// What has to be read, as far as the declaration tells.
    pub(super) fn read(&self) -> BTreeSet<ResourceId> {
        let mut all = self.written();
        if let Declared::PublicIp(declared) = self {
            all.insert(declared.public_ip.clone());
        }
        all
    }

    fn other_holder(&self, documents: &Documents) -> Option<ResourceId> {
        match self {
            Declared::PublicIp(declared) => declared.other_holder(documents),
            Declared::Route(_) => None,
        }
    }

    fn actual(&self, documents: &Documents, group: &GroupName) -> Result<Actual, ReadError> {
        match self {
            Declared::PublicIp(declared) => declared.actual(documents, group),
            Declared::Route(declared) => declared.actual(documents, group),
        }
    }
}

impl Adapter for AzureAdapter {
    fn resources(&self, binding: &BindingSpec) -> Result<BTreeSet<String>, AdapterError> {
        Ok(self.declared(binding)?.written().iter().map(|id| id.key().to_owned()).collect())
    }

    fn locks(&self) -> &ResourceLocks {
        &self.locks
    }

    fn power(&self) -> Option<&dyn Power> {
        Some(self)
    }

    fn backend_pools(&self) -> Option<&dyn BackendPools> {
        Some(self)
    }

    fn checks(&self) -> Option<&dyn Checks> {
        Some(self)
    }

    fn read<'a>(
        &'a self,
        group: &'a GroupName,
        binding: &'a BindingSpec,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<Actual, AdapterError>> {
        async move {
            let mut all = self.read_bindings(&[(group, binding)], journal).await;
            all.pop().unwrap_or_else(|| Err(AdapterError::transient(attempt(binding), "nothing was read")))
        }
        .boxed()
    }

    fn read_all<'a>(
        &'a self,
        asks: &'a [(&'a GroupName, &'a BindingSpec)],
        journal: &'a Journal,
    ) -> BoxFuture<'a, Vec<Result<Actual, AdapterError>>> {
        self.read_bindings(asks, journal).boxed()
    }

    fn plan_claim(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        let unclaimed =
            actual.resources.iter().filter(|seen| seen.token.is_none_or(|token| token < job.token));
        let claim = |seen: &ResourceSeen| {
            let short = short_of_path(&seen.id);
            let attempt = format!("claim {short} for `{}` with token {}", job.binding.name, job.token);
            public_ip::change(attempt, seen, seen.document.clone(), job)
        };
        unclaimed.map(claim).collect()
    }

    fn plan(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        match self.declared(&job.binding)? {
            Declared::PublicIp(declared) => public_ip::plan(actual, job, &declared),
            Declared::Route(declared) => route::plan(actual, job, &declared),
        }
    }

    fn differences(&self, actual: &Actual, binding: &BindingSpec, active: &ApplianceName) -> Vec<Difference> {
        match self.declared(binding) {
            Ok(Declared::PublicIp(declared)) => public_ip::differences(actual, &declared, active),
            Ok(Declared::Route(declared)) => route::differences(actual, &declared, active),
            Err(_) => Vec::new(),
        }
    }

    /// So long that no subscription is read more often than its budget lets it.
    fn rest_between_readings(&self, bindings: &[&BindingSpec]) -> Duration {
        let declared = bindings.iter().filter_map(|binding| self.declared(binding).ok());
        let documents: BTreeSet<ResourceId> = declared.flat_map(|declared| declared.read()).collect();
        let mut reads: BTreeMap<String, u32> = BTreeMap::new();
        for id in &documents {
            *reads.entry(id.subscription().to_ascii_lowercase()).or_default() += 1;
        }
        let most = reads.into_values().max().unwrap_or_default();
        let an_hour = Duration::from_secs(3_600);
        READINGS.max(an_hour * most / self.arm.watch_reads_per_hour())
    }

    fn write<'a>(
        &'a self,
        change: &'a Change,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        async move {
            let Change { attempt, resource, etag, document } = change;
            let id = ResourceId::parse(resource).map_err(|error| AdapterError::permanent(attempt, error))?;
            let written = self.arm.put(&id, etag, document, journal).await;
            written.map_err(|failure| failure.into_adapter_error(attempt))
        }
        .boxed()
    }

    fn resume<'a>(&'a self, resource: &'a str, place: &'a str, journal: &'a Journal) -> BoxFuture<'a, ()> {
        async move {
            if let Ok(id) = ResourceId::parse(resource) {
                self.arm.resume(&id, place, journal).await;
            }
        }
        .boxed()
    }
}

fn attempt(binding: &BindingSpec) -> String {
    format!("move {} `{}`", binding.kind.word(), binding.name)
}
