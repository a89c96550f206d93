//! Before anything is at stake: would a move work? Each check is a harmless read.

mod appliances;
mod permissions;
mod resources;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::{ApplianceName, GroupName, Token};
use coordinator_core::model::BindingSpec;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::AzureAdapter;
use super::adapter::Declared;
use super::reading::Documents;
use super::resource_id::ResourceId;
use crate::contract::{AdapterError, Checks, Endpoint, Hop, Journal, Subject};

/// A look at everything that a move of a group needs.
struct Look<'a> {
    adapter: &'a AzureAdapter,
    group: &'a GroupName,
    token: Token,
    documents: Documents,
    journal: &'a Journal,
    items: Vec<CheckItem>,
}

impl Checks for AzureAdapter {
    fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.clone()
    }

    fn reach<'a>(&'a self, subject: Subject<'a>, journal: &'a Journal) -> BoxFuture<'a, Vec<CheckItem>> {
        self.reach_arm(subject, journal).boxed()
    }

    fn look<'a>(&'a self, subject: Subject<'a>, journal: &'a Journal) -> BoxFuture<'a, Vec<CheckItem>> {
        self.look_at_resources(subject, journal).boxed()
    }

    fn hops<'a>(
        &'a self,
        nic: &'a str,
        to: &'a [IpAddr],
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<Vec<Hop>, AdapterError>> {
        self.hops_from(nic, to, journal).boxed()
    }
}

impl AzureAdapter {
    /// Whether every resource is as a move needs it, and every appliance's machine runs. What is
    /// wrong with the identity is told by [`Checks::reach`].
    async fn look_at_resources(&self, subject: Subject<'_>, journal: &Journal) -> Vec<CheckItem> {
        let Subject { group, token, bindings } = subject;
        if self.tokens.bearer().await.is_err() {
            // Everything here would fail for that reason, which has an item of its own.
            return Vec::new();
        }
        let documents = Documents::default();
        let mut look = Look { adapter: self, group, token, documents, journal, items: Vec::new() };
        let mut declared = Vec::new();
        for binding in bindings {
            match self.declared(binding) {
                Ok(known) => declared.push((binding, known)),
                Err(error) => {
                    let advice = "correct the declaration, or the adapter's allow-list";
                    let what = binding.name.as_str();
                    look.items.push(CheckItem::fail(Check::AzureDeclaration, what, error.chain(), advice));
                }
            }
        }
        let wanted: BTreeSet<ResourceId> = declared.iter().flat_map(|(_, d)| d.read()).collect();
        look.documents.fetch(&self.arm, wanted.clone(), journal).await;
        for id in wanted {
            if look.readable(&id) {
                look.writable(&id);
            }
        }
        for (_, declared) in &declared {
            match declared {
                Declared::PublicIp(declared) => {
                    look.public_ip(declared);
                    look.targets(declared);
                    look.skus(declared).await;
                }
                Declared::Route(declared) => look.route(declared),
            }
        }
        look.appliances(&declared).await;
        look.items
    }
}

/// The NICs of each appliance, and the addresses at which routes expect it.
#[derive(Default)]
struct Appliance {
    nics: BTreeSet<ResourceId>,
    hops: BTreeSet<IpAddr>,
    public_ips: BTreeSet<ResourceId>,
}

fn appliances(declared: &[(&BindingSpec, Declared<'_>)]) -> BTreeMap<ApplianceName, Appliance> {
    let mut all: BTreeMap<ApplianceName, Appliance> = BTreeMap::new();
    for (_, declared) in declared {
        match declared {
            Declared::PublicIp(declared) => {
                for (appliance, target) in &declared.targets {
                    let appliance = all.entry(appliance.clone()).or_default();
                    appliance.nics.insert(target.nic.clone());
                    appliance.public_ips.insert(declared.public_ip.clone());
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

/// The zones of a document, in order.
fn zones(document: &Value) -> Vec<&str> {
    let zones = document.get("zones").and_then(Value::as_array);
    zones.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The SKU of a public IP's document. ARM leaves it out for what was made before there were two.
fn sku(document: &Value) -> &str {
    document.pointer("/sku/name").and_then(Value::as_str).unwrap_or("Basic")
}
