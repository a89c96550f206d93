//! The configured adapters, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use coordinator_core::ids::AdapterName;
use coordinator_core::model::{BindingKind, BindingSpec};

use crate::azure::{AzureAdapter, AzureOptions, AzureSetupError};
use crate::contract::{Adapter, AdapterError, MoveJob, entangled};
use crate::simulated::{SimulatedAdapter, SimulatedAdapterError};

/// One configured connection to a cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSpec {
    /// The name that bindings use.
    pub name: AdapterName,
    /// Which cloud, and how to reach it.
    pub kind: AdapterKind,
}

/// The kinds of cloud.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterKind {
    /// The simulated cloud of this crate.
    Simulated {
        /// `http://` with a loopback address and a port: it is served nowhere else.
        url: String,
        /// The bearer token, if the cloud was started with one.
        token: Option<String>,
    },
    /// Azure.
    Azure(Box<AzureOptions>),
}

impl fmt::Debug for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdapterKind::Simulated { url, token } => f
                .debug_struct("Simulated")
                .field("url", url)
                .field("token", &token.as_ref().map(|_| "(not shown)"))
                .finish(),
            AdapterKind::Azure(options) => f.debug_tuple("Azure").field(options).finish(),
        }
    }
}

/// Why the adapters could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Two have one name.
    #[error("two adapters are called {0}: each needs its own name")]
    Duplicate(AdapterName),
    /// One could not be set up.
    #[error("could not set up adapter {name}")]
    Simulated {
        /// Which.
        name: AdapterName,
        /// Why.
        #[source]
        source: SimulatedAdapterError,
    },
    /// One could not be set up.
    #[error("could not set up adapter {name}")]
    Azure {
        /// Which.
        name: AdapterName,
        /// Why.
        #[source]
        source: AzureSetupError,
    },
}

/// Every configured adapter. Cheap to clone.
#[derive(Clone, Default)]
pub struct Adapters {
    by_name: Arc<BTreeMap<AdapterName, Arc<dyn Adapter>>>,
}

impl Adapters {
    /// Sets up all adapters, within a Tokio runtime. Waits for no connection; those that need
    /// tokens start to fetch them, so that they are there when this node comes to lead.
    ///
    /// # Errors
    /// [`RegistryError`] names the first one that cannot be set up.
    pub fn from_specs(specs: Vec<AdapterSpec>) -> Result<Self, RegistryError> {
        let mut by_name: BTreeMap<AdapterName, Arc<dyn Adapter>> = BTreeMap::new();
        for AdapterSpec { name, kind } in specs {
            let adapter: Arc<dyn Adapter> = match kind {
                AdapterKind::Simulated { url, token } => {
                    match SimulatedAdapter::new(&url, token.as_deref()) {
                        Ok(adapter) => Arc::new(adapter),
                        Err(source) => return Err(RegistryError::Simulated { name, source }),
                    }
                }
                AdapterKind::Azure(options) => match AzureAdapter::new(*options) {
                    Ok(adapter) => {
                        adapter.keep_token_fresh();
                        Arc::new(adapter)
                    }
                    Err(source) => return Err(RegistryError::Azure { name, source }),
                },
            };
            if by_name.insert(name.clone(), adapter).is_some() {
                return Err(RegistryError::Duplicate(name));
            }
        }
        Ok(Adapters { by_name: Arc::new(by_name) })
    }

    /// Adapters that are set up already: for tests, and for a cloud that is not in this crate.
    pub fn from_adapters(adapters: impl IntoIterator<Item = (AdapterName, Arc<dyn Adapter>)>) -> Self {
        Adapters { by_name: Arc::new(adapters.into_iter().collect()) }
    }

    /// The names of all adapters, in order.
    pub fn names(&self) -> impl Iterator<Item = &AdapterName> {
        self.by_name.keys()
    }

    /// The names of those that can power machines off, in order.
    pub fn with_power(&self) -> impl Iterator<Item = &AdapterName> {
        self.by_name.iter().filter(|(_, adapter)| adapter.power().is_some()).map(|(name, _)| name)
    }

    /// The names of those that fill backend pools of load balancers, in order.
    pub fn with_backend_pools(&self) -> impl Iterator<Item = &AdapterName> {
        self.by_name.iter().filter(|(_, adapter)| adapter.backend_pools().is_some()).map(|(name, _)| name)
    }

    /// The adapter of that name.
    pub fn named(&self, name: &AdapterName) -> Option<Arc<dyn Adapter>> {
        self.by_name.get(name).cloned()
    }

    /// Puts jobs together that may write the same resource, and so are moved together.
    pub fn entangled(&self, jobs: Vec<MoveJob>) -> Vec<Vec<MoveJob>> {
        let mut by_adapter: BTreeMap<Option<AdapterName>, Vec<MoveJob>> = BTreeMap::new();
        for job in jobs {
            let name = adapter_of(&job.binding.kind).filter(|name| self.by_name.contains_key(*name));
            by_adapter.entry(name.cloned()).or_default().push(job);
        }
        let sets = by_adapter.into_iter().flat_map(|(name, jobs)| {
            match name.and_then(|name| self.by_name.get(&name)) {
                Some(adapter) => entangled(&**adapter, jobs),
                // Each is alone with its error.
                None => jobs.into_iter().map(|job| vec![job]).collect(),
            }
        });
        sets.collect()
    }

    /// The adapter of that name, to `attempt` something with.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when none of that name is configured on this node.
    pub fn require(&self, name: &AdapterName, attempt: String) -> Result<Arc<dyn Adapter>, AdapterError> {
        self.named(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().map(AdapterName::as_str).collect();
            let known = if known.is_empty() { "none at all".to_owned() } else { known.join(", ") };
            let why = format!(
                "no adapter `{name}` is configured on this coordinator (there is {known}): add it to its \
                 configuration"
            );
            AdapterError::permanent(attempt, why)
        })
    }

    /// The adapter that moves `binding`.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when none of that name is configured on this node, or when
    /// the binding is a VIP, which its agent moves.
    pub fn for_binding(&self, binding: &BindingSpec) -> Result<Arc<dyn Adapter>, AdapterError> {
        let attempt = || format!("move {} `{}`", binding.kind.word(), binding.name);
        let Some(name) = adapter_of(&binding.kind) else {
            let why = "it is held by nva-agent under its lease, not moved by an adapter";
            return Err(AdapterError::permanent(attempt(), why));
        };
        self.require(name, attempt())
    }
}

/// The adapter that moves such a binding; `None` for what the appliances hold themselves.
pub fn adapter_of(kind: &BindingKind) -> Option<&AdapterName> {
    match kind {
        BindingKind::PublicIp { adapter, .. } | BindingKind::Route { adapter, .. } => Some(adapter),
        BindingKind::Vip { .. } | BindingKind::ProbeGate(_) => None,
    }
}

impl fmt::Debug for Adapters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn name(text: &str) -> AdapterName {
        AdapterName::new(text).unwrap()
    }

    fn spec(text: &str) -> AdapterSpec {
        let kind = AdapterKind::Simulated { url: "http://127.0.0.1:1".into(), token: Some("s3cret".into()) };
        AdapterSpec { name: name(text), kind }
    }

    #[test]
    fn an_unknown_adapter_is_named_with_those_that_exist() {
        let adapters = Adapters::from_specs(vec![spec("sim"), spec("west")]).unwrap();
        let kind = BindingKind::PublicIp {
            adapter: name("azure"),
            resource: "pip".into(),
            targets: BTreeMap::new(),
        };
        let binding = BindingSpec { name: "web".parse().unwrap(), kind };
        let error = adapters.for_binding(&binding).err().unwrap();
        assert_eq!(
            error.chain(),
            "could not move public-ip `web`: no adapter `azure` is configured on this coordinator \
             (there is sim, west): add it to its configuration"
        );
    }

    #[test]
    fn two_adapters_of_one_name_are_refused() {
        let error = Adapters::from_specs(vec![spec("sim"), spec("sim")]).unwrap_err();
        assert!(error.to_string().contains("two adapters are called sim"));
    }

    #[test]
    fn the_token_is_not_shown() {
        assert!(!format!("{:?}", spec("sim")).contains("s3cret"));
    }
}
