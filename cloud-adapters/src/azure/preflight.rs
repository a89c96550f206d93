//! Before anything is at stake: would a move work? Each check is a harmless read.

mod resources;

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::ids::{ApplianceName, GroupName};
use coordinator_core::model::{BindingKind, BindingSpec};

use super::AzureAdapter;
use super::adapter::Declared;
use super::reading::Documents;
use super::resource_id::ResourceId;
use crate::contract::Journal;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is as it must be.
    Pass,
    /// A move would work, and something is not as it ought to be, or could not be found out.
    Warn,
    /// A move would fail.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// How it went.
    pub verdict: Verdict,
    /// What was looked at, for instance `rg-dmz/networkInterfaces/nic-a`.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do; empty for a pass.
    pub advice: String,
}

impl Item {
    fn new(verdict: Verdict, what: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Item { verdict, what: what.to_owned(), found: found.into(), advice: advice.into() }
    }

    fn pass(what: &str, found: impl Into<String>) -> Self {
        Item::new(Verdict::Pass, what, found, "")
    }

    fn warn(what: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Item::new(Verdict::Warn, what, found, advice)
    }

    fn fail(what: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Item::new(Verdict::Fail, what, found, advice)
    }
}

/// A look at everything that a move of a group needs.
struct Look<'a> {
    adapter: &'a AzureAdapter,
    group: &'a GroupName,
    documents: Documents,
    journal: &'a Journal,
    items: Vec<Item>,
}

impl AzureAdapter {
    /// Checks whether the bindings of a group could be moved: the token, every resource, each
    /// permission, and the state of every appliance's machine. Changes nothing. Bindings of other
    /// adapters are passed over.
    pub async fn preflight(
        &self,
        group: &GroupName,
        bindings: &[BindingSpec],
        journal: &Journal,
    ) -> Vec<Item> {
        let mut items = Vec::new();
        match self.tokens.bearer().await {
            Ok(_) => items.push(Item::pass("token", "the identity has a token for ARM")),
            Err(error) => {
                let found = crate::contract::AdapterError::permanent("get a token", error).chain();
                let advice =
                    "see that the identity exists, its secret is right, and the token endpoint is reachable";
                items.push(Item::fail("token", found, advice));
                // Everything else would fail for the same reason.
                return items;
            }
        }
        let mut look = Look { adapter: self, group, documents: Documents::default(), journal, items };
        let mut declared = Vec::new();
        for binding in bindings.iter().filter(|b| !matches!(b.kind, BindingKind::Vip { .. })) {
            match self.declared(binding) {
                Ok(known) => declared.push((binding, known)),
                Err(error) => {
                    let advice = "correct the declaration, or the adapter's allow-list";
                    look.items.push(Item::fail(binding.name.as_str(), error.chain(), advice));
                }
            }
        }
        let wanted: BTreeSet<ResourceId> = declared.iter().flat_map(|(_, d)| d.read()).collect();
        look.documents.fetch(&self.arm, wanted.clone(), journal).await;
        let readable: Vec<ResourceId> = wanted.into_iter().filter(|id| look.readable(id)).collect();
        for id in &readable {
            look.writable(id);
            look.permissions(id).await;
        }
        for (_, declared) in &declared {
            match declared {
                Declared::PublicIp(declared) => look.public_ip(declared),
                Declared::Route(declared) => look.route(declared),
            }
        }
        look.next_hops(&declared);
        look.machines(&declared).await;
        look.items
    }
}

/// The NICs of each appliance, and the addresses at which routes expect it.
#[derive(Default)]
struct Appliance {
    nics: BTreeSet<ResourceId>,
    hops: BTreeSet<std::net::IpAddr>,
}

fn appliances(declared: &[(&BindingSpec, Declared<'_>)]) -> BTreeMap<ApplianceName, Appliance> {
    let mut all: BTreeMap<ApplianceName, Appliance> = BTreeMap::new();
    for (_, declared) in declared {
        match declared {
            Declared::PublicIp(declared) => {
                for (appliance, target) in &declared.targets {
                    all.entry(appliance.clone()).or_default().nics.insert(target.nic.clone());
                }
            }
            Declared::Route(declared) => {
                for (appliance, hop) in declared.targets {
                    all.entry(appliance.clone()).or_default().hops.insert(*hop);
                }
            }
        }
    }
    all
}
