//! Who is behind the load balancers: NICs say it themselves, by references in their documents.
//!
//! The load balancers are not resources of the fake: what is kept is who gets traffic, and when. A
//! configuration that is taken out gets none from the moment at which the write is accepted; one
//! that is put in gets some when the write has been carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::{ArmCloud, text};

/// From `at` on, until the next entry for the same backend pool, `inside` got traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Since the start.
    pub at: Duration,
    /// The backend pool's id, in lower case.
    pub backend_pool: String,
    /// The ids of the IP configurations, in lower case.
    pub inside: BTreeSet<String>,
}

/// Who gets traffic now, and who did.
#[derive(Debug, Default)]
pub(super) struct BackendPools {
    /// By the backend pool's id; all in lower case.
    inside: BTreeMap<String, BTreeSet<String>>,
    history: Vec<Behind>,
}

impl ArmCloud {
    /// The IP configurations, in lower case, that get traffic from a backend pool.
    pub fn behind(&self, backend_pool: &str) -> BTreeSet<String> {
        self.pools.inside.get(&backend_pool.to_lowercase()).cloned().unwrap_or_default()
    }

    /// Who got traffic from which backend pool, and since when.
    pub fn behind_history(&self) -> &[Behind] {
        &self.pools.history
    }

    /// What the document of a NIC no longer names is out at once.
    pub(super) fn leave_pools(&mut self, nic: &str) {
        let named = self.pool_references(nic);
        let own = format!("{nic}/");
        for (pool, inside) in &mut self.pools.inside {
            inside.retain(|configuration| {
                !configuration.starts_with(&own) || named.contains(&(pool.clone(), configuration.clone()))
            });
        }
    }

    /// What the document of a NIC names is in.
    pub(super) fn join_pools(&mut self, nic: &str) {
        for (pool, configuration) in self.pool_references(nic) {
            self.pools.inside.entry(pool).or_default().insert(configuration);
        }
    }

    pub(super) fn note_pools(&mut self, at: Duration) {
        for (pool, inside) in &self.pools.inside {
            let newest = self.pools.history.iter().rev().find(|entry| entry.backend_pool == *pool);
            if newest.map(|entry| &entry.inside) != Some(inside) {
                let entry = Behind { at, backend_pool: pool.clone(), inside: inside.clone() };
                self.pools.history.push(entry);
            }
        }
    }

    /// The backend pools that a NIC's document names, each with the configuration that does.
    fn pool_references(&self, nic: &str) -> BTreeSet<(String, String)> {
        let Some(document) = self.resources.get(nic) else { return BTreeSet::new() };
        let list = |value: &Value, pointer: &str| {
            value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let mut found = BTreeSet::new();
        for configuration in list(document, "/properties/ipConfigurations") {
            let name = format!("{nic}/ipconfigurations/{}", text(&configuration, "name").to_lowercase());
            for pool in list(&configuration, "/properties/loadBalancerBackendAddressPools") {
                found.insert((text(&pool, "id").to_lowercase(), name.clone()));
            }
        }
        found
    }
}
