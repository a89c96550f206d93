//! The resources, one by one: each as a move needs it.

use coordinator_api::v1::{Check, CheckItem};
use serde_json::Value;

use super::{Look, sku};
use crate::azure::documents::{MOST_TAGS, State, entry, property, reference, tag, token_on};
use crate::azure::resource_id::{Kind, ResourceId};
use crate::azure::{public_ip, route};

impl Look<'_> {
    /// Whether a resource was read; an item says so or why not.
    pub(super) fn readable(&mut self, id: &ResourceId) -> bool {
        let what = id.short();
        match self.documents.require(id) {
            Ok(_) => {
                self.items.push(CheckItem::pass(Check::AzureResource, what, "it can be read"));
                true
            }
            Err(error) => {
                let found = error.into_adapter_error("read it").chain();
                let advice = "correct the id in the declaration, or the role of the identity";
                self.items.push(CheckItem::fail(Check::AzureResource, what, found, advice));
                false
            }
        }
    }

    /// The token has to fit on it, and the state has to be a good one.
    pub(super) fn writable(&mut self, id: &ResourceId) {
        let Some(document) = self.documents.get(id) else { return };
        let what = id.short();
        let state = State::of(document);
        let token = token_on(document, self.group);
        let tags = document.get("tags").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        // Nothing is written onto a public IP.
        if !id.is(Kind::PublicIp) {
            self.items.push(match token {
                Err(why) => {
                    let advice = "see which cluster wrote it before anything else";
                    CheckItem::fail(Check::AzureTags, &what, why, advice)
                }
                Ok(Some(found)) if found > self.token => {
                    let found = format!("it carries token {found}, and the group's is {}", self.token);
                    let advice =
                        "another cluster moves it as well, or this one was restored from an old copy";
                    CheckItem::fail(Check::AzureTags, &what, found, advice)
                }
                Ok(None) if tags >= MOST_TAGS => {
                    let advice = format!("remove one: the tag {} needs a place", tag(self.group));
                    CheckItem::fail(
                        Check::AzureTags,
                        &what,
                        format!("it has all of {MOST_TAGS} tags"),
                        advice,
                    )
                }
                Ok(_) => {
                    CheckItem::pass(Check::AzureTags, &what, format!("it has {tags} of {MOST_TAGS} tags"))
                }
            });
        }
        self.items.push(match state {
            State::Succeeded => CheckItem::pass(Check::AzureState, what, "its last change succeeded"),
            State::Updating => {
                let advice = "run this again when ARM has finished";
                CheckItem::warn(Check::AzureState, what, "someone is changing it", advice)
            }
            State::Failed => {
                let advice = "a move ends that by writing it again; find out what failed";
                CheckItem::warn(Check::AzureState, what, "its last change failed", advice)
            }
        });
    }

    pub(super) fn public_ip(&mut self, declared: &public_ip::Declared) {
        let what = declared.public_ip.short();
        if let Err(error) = declared.actual(&self.documents, self.group) {
            let found = error.into_adapter_error("make sense of it").chain();
            let advice = "correct what it says; a move would fail on it";
            self.items.push(CheckItem::fail(Check::AzurePublicIp, &what, found, advice));
        }
        let Some(document) = self.documents.get(&declared.public_ip) else { return };
        let method = property(document, "publicIPAllocationMethod").unwrap_or("Dynamic");
        self.items.push(if method.eq_ignore_ascii_case("Dynamic") {
            let advice = "make it static: a dynamic address is lost when it is detached";
            CheckItem::fail(Check::AzurePublicIp, &what, "its allocation is dynamic", advice)
        } else {
            CheckItem::pass(Check::AzurePublicIp, &what, format!("its allocation is {method}"))
        });
        let sku = sku(document);
        self.items.push(if sku.eq_ignore_ascii_case("Basic") {
            let advice = "upgrade it to Standard: Basic is retired, and has no zones";
            CheckItem::warn(Check::AzureSku, what, "its SKU is Basic", advice)
        } else {
            CheckItem::pass(Check::AzureSku, what, format!("its SKU is {sku}"))
        });
    }

    /// The IP configuration of each target is there, and free.
    pub(super) fn targets(&mut self, declared: &public_ip::Declared) {
        for (appliance, target) in &declared.targets {
            let Some(nic) = self.documents.get(&target.nic) else { continue };
            let place = target.configuration.short();
            let Some(found) = entry(nic, "ipConfigurations", target.configuration.name()) else {
                let advice =
                    format!("create it on {}, or correct the target of {appliance}", target.nic.name());
                let found = "there is no such IP configuration";
                self.items.push(CheckItem::fail(Check::AzureTarget, place, found, advice));
                continue;
            };
            self.items.push(
                match reference(found, "publicIPAddress").filter(|has| *has != declared.public_ip) {
                    Some(other) => {
                        let advice = "remove it: one IP configuration has one public IP";
                        let found = format!("it has another public IP, {}", other.short());
                        CheckItem::fail(Check::AzureTarget, place, found, advice)
                    }
                    None => {
                        let found = format!("{appliance} can take the public IP there");
                        CheckItem::pass(Check::AzureTarget, place, found)
                    }
                },
            );
        }
    }

    pub(super) fn route(&mut self, declared: &route::Declared<'_>) {
        let what = format!("{}/{}", declared.table.short(), declared.route);
        let Some(table) = self.documents.get(&declared.table) else { return };
        self.items.push(match entry(table, "routes", declared.route) {
            Some(found) if property(found, "nextHopType") == Some("VirtualAppliance") => {
                CheckItem::pass(Check::AzureRoute, what, "it is a route to an appliance")
            }
            Some(found) => {
                let hop = property(found, "nextHopType").unwrap_or("nothing");
                let advice = "see whether it is the right route: a move makes it one to an appliance";
                CheckItem::warn(Check::AzureRoute, what, format!("it leads to {hop}"), advice)
            }
            None => {
                let advice = "create it, with any next hop: its prefix is in no declaration";
                CheckItem::fail(Check::AzureRoute, what, "there is no such route", advice)
            }
        });
    }
}
