//! Writes of Microsoft.Network: a `PUT` replaces the whole document, and what it does not name is
//! reset. That is how careless programs lose other people's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Answer, ArmCloud, Manner, is_nic, text};

/// Properties that ARM sets itself, and ignores in a `PUT`.
const READ_ONLY: [&str; 14] = [
    "provisioningState",
    "resourceGuid",
    "macAddress",
    "primary",
    "virtualMachine",
    "vnetEncryptionSupported",
    "linkedResourceType",
    "hostedWorkloads",
    "dscpConfiguration",
    "tapConfigurations",
    "privateEndpoint",
    "subnets",
    "ipConfiguration",
    "hasBgpOverride",
];
/// Switches that are off when a `PUT` does not name them.
const NIC_SWITCHES: [&str; 3] =
    ["enableAcceleratedNetworking", "enableIPForwarding", "disableTcpStateTracking"];

impl ArmCloud {
    pub(super) fn put(
        &mut self,
        now: Duration,
        id: &str,
        if_match: Option<&str>,
        body: &[u8],
        manner: Manner,
    ) -> Answer {
        let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            return Answer::error(400, "InvalidRequestContent", "the body is no JSON object");
        };
        let old = self.resources.get(id).cloned().unwrap_or_default();
        if if_match.is_some_and(|version| version != "*" && version != text(&old, "etag")) {
            let message = format!("Precondition failed: the resource {id} has changed.");
            return Answer::error(412, "PreconditionFailed", message);
        }
        if let Some(busy) = self.busy(id) {
            return busy;
        }
        let tags = body.get("tags").and_then(Value::as_object).map_or(0, Map::len);
        if tags > 50 {
            return Answer::error(400, "InvalidTagsCount", "a resource can have 50 tags at most");
        }
        if body.get("location") != old.get("location") {
            return Answer::error(409, "InvalidResourceLocation", "the location cannot be changed");
        }
        let mut new = replaced(&old, &body);
        let refused = if is_nic(id) { self.check_nic(id, &old, &mut new) } else { check_routes(&new) };
        if let Err(refused) = refused {
            return refused;
        }
        let before: BTreeSet<String> = self.references(id).into_iter().map(|(_, ip)| ip).collect();
        let rewired = bare(&old["properties"]) != bare(&new["properties"]);
        let etag = self.next_etag();
        stamp(&mut new, &etag);
        self.resources.insert(id.to_owned(), new);
        self.leave_pools(id);
        let references = self.references(id);
        let after: BTreeMap<String, String> =
            references.into_iter().map(|(configuration, ip)| (configuration.to_lowercase(), ip)).collect();
        // What is detached stops at once.
        self.carrying.retain(|configuration, ip| {
            !configuration.starts_with(&format!("{id}/")) || after.get(configuration) == Some(ip)
        });
        let releases = before.into_iter().filter(|ip| !after.values().any(|has| has == ip)).collect();
        let takes = if rewired { manner.takes } else { manner.tags_take };
        self.begin(now, id, releases, takes, manner)
    }

    fn check_nic(&self, id: &str, old: &Value, new: &mut Value) -> Result<(), Answer> {
        for switch in NIC_SWITCHES {
            if new["properties"].get(switch).is_none() {
                new["properties"][switch] = json!(false);
            }
        }
        let had = old["properties"]["ipConfigurations"].as_array().cloned().unwrap_or_default();
        let list = new["properties"]["ipConfigurations"].as_array_mut();
        let list = list.filter(|list| !list.is_empty()).ok_or_else(|| {
            Answer::error(400, "NetworkInterfaceMustHaveIpConfiguration", "a NIC needs an IP configuration")
        })?;
        let (mut primaries, mut taken) = (0, BTreeSet::new());
        for configuration in list {
            let name = text(configuration, "name").to_owned();
            if configuration.pointer("/properties/subnet/id").is_none() {
                let message = format!("IP configuration {name} names no subnet");
                return Err(Answer::error(400, "SubnetIsRequired", message));
            }
            primaries += u32::from(configuration.pointer("/properties/primary") == Some(&json!(true)));
            let same = had.iter().find(|c| text(c, "name").eq_ignore_ascii_case(&name));
            if let Some(same) = same {
                *configuration = replaced(same, configuration);
            }
            let reference = configuration.pointer("/properties/publicIPAddress/id");
            if let Some(public_ip) = reference.and_then(Value::as_str) {
                let public_ip = public_ip.to_lowercase();
                self.check_attachable(id, &public_ip)?;
                if !taken.insert(public_ip) {
                    let code = "PublicIPReferencedByMultipleIPConfigs";
                    return Err(Answer::error(400, code, "two configurations name one public IP"));
                }
            }
        }
        if primaries != 1 {
            let code = "NetworkInterfaceMustHaveOnePrimaryIpConfiguration";
            return Err(Answer::error(400, code, "exactly one IP configuration must be primary"));
        }
        Ok(())
    }

    fn check_attachable(&self, nic: &str, public_ip: &str) -> Result<(), Answer> {
        let Some(document) = self.resources.get(public_ip) else {
            let message = format!("Resource {public_ip} referenced by resource {nic} was not found.");
            return Err(Answer::error(400, "InvalidResourceReference", message));
        };
        if self.is_released_by_work(public_ip) {
            let message = format!(
                "Cannot proceed with operation because resource {public_ip} used by resource {nic} is not in \
                 Succeeded state. Resource is in Updating state and the last operation that updated/is updating \
                 the resource is PutNicOperation."
            );
            return Err(Answer::retryable("ReferencedResourceNotProvisioned", message));
        }
        let others = self.resources.keys().filter(|id| is_nic(id) && *id != nic);
        let holder = others.flat_map(|id| self.references(id)).find(|(_, ip)| ip == public_ip);
        let elsewhere = document
            .pointer("/properties/ipConfiguration/id")
            .and_then(Value::as_str)
            .filter(|holder| !is_nic(&holder.to_lowercase()))
            .map(str::to_owned);
        match holder.map(|(configuration, _)| configuration).or(elsewhere) {
            Some(holder) => {
                let message = format!(
                    "Resource {nic} is referencing public IP address {public_ip} that is already allocated to \
                     resource {holder}."
                );
                Err(Answer::error(400, "PublicIPAddressInUse", message))
            }
            None => Ok(()),
        }
    }

    pub(super) fn instance_view(&self, id: &str) -> Answer {
        let view = self.document(id).and_then(|vm| vm.pointer("/properties/instanceView")).cloned();
        Answer::ok(view.unwrap_or_default())
    }

    /// Sets the power state of a virtual machine when the work on it is done. As the fake is only
    /// asked afterwards, it is set at once and the operation just takes its time.
    pub(super) fn power(&mut self, now: Duration, id: &str, code: &str, manner: Manner) -> Answer {
        if let Some(vm) = self.resources.get_mut(id) {
            vm["properties"]["instanceView"] = json!({ "statuses": [
                { "code": "ProvisioningState/succeeded", "level": "Info" },
                { "code": code, "level": "Info" },
            ] });
        }
        let manner = Manner { style: super::Style::Accepted, ..manner };
        self.announce(now + manner.takes, manner, Value::Null, id)
    }

    /// Azure's own routes, and those of the tables of the NIC's subnets, which take precedence over
    /// Azure's own of the same prefix.
    pub(super) fn effective_routes(&mut self, now: Duration, id: &str, manner: Manner) -> Answer {
        let subnets: BTreeSet<String> = self.subnets(id).collect();
        let applies = |table: &Value| {
            let of = table["properties"]["subnets"].as_array();
            of.into_iter().flatten().any(|subnet| subnets.contains(&text(subnet, "id").to_lowercase()))
        };
        let tables =
            self.resources.iter().filter(|(id, table)| id.contains("/routetables/") && applies(table));
        let declared: Vec<&Value> =
            tables.flat_map(|(_, table)| table["properties"]["routes"].as_array()).flatten().collect();
        let route = |source: &str, state: &str, prefix: &Value, properties: &Value| {
            let hop = properties.get("nextHopIpAddress").into_iter().collect::<Vec<_>>();
            json!({
                "source": source,
                "state": state,
                "addressPrefix": [prefix],
                "nextHopType": properties["nextHopType"],
                "nextHopIpAddress": hop,
            })
        };
        let own = [("10.0.0.0/8", "VnetLocal"), ("0.0.0.0/0", "Internet")].map(|(prefix, hop)| {
            let replaced = declared.iter().any(|route| text(&route["properties"], "addressPrefix") == prefix);
            let state = if replaced { "Invalid" } else { "Active" };
            route("Default", state, &json!(prefix), &json!({ "nextHopType": hop }))
        });
        let users = declared.iter().map(|entry| {
            let properties = &entry["properties"];
            route("User", "Active", &properties["addressPrefix"], properties)
        });
        let effective: Vec<Value> = own.into_iter().chain(users).collect();
        let manner = Manner { style: super::Style::Accepted, fails: false, ..manner };
        self.announce(now + manner.tags_take, manner, json!({ "value": effective }), id)
    }

    /// The subnets of a NIC, in lower case.
    fn subnets(&self, nic: &str) -> impl Iterator<Item = String> + use<'_> {
        let nic = self.resources.get(nic).and_then(|nic| nic["properties"]["ipConfigurations"].as_array());
        let subnets = nic.into_iter().flatten().filter_map(|c| c.pointer("/properties/subnet/id")?.as_str());
        subnets.map(str::to_lowercase)
    }
}

/// What a `PUT` of `body` makes of `old`: all of the body but what is read-only, and of the old
/// document only that.
fn replaced(old: &Value, body: &Value) -> Value {
    let mut new = body.clone();
    for field in ["id", "name", "type", "etag"] {
        copy(old, &mut new, field);
    }
    let (was, is) = (&old["properties"], &mut new["properties"]);
    for field in READ_ONLY {
        // `primary` is ARM's on a NIC and the caller's on an IP configuration.
        if field == "primary" && body["properties"].get("subnet").is_some() {
            continue;
        }
        copy(was, is, field);
    }
    new
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    let Some(to) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => to.insert(field.to_owned(), value.clone()),
        None => to.remove(field),
    };
}

fn check_routes(table: &Value) -> Result<(), Answer> {
    let mut names = BTreeSet::new();
    for route in table["properties"]["routes"].as_array().into_iter().flatten() {
        let name = text(route, "name");
        if !names.insert(name.to_lowercase()) {
            return Err(Answer::error(400, "DuplicateRouteName", format!("there are two routes {name}")));
        }
        let properties = &route["properties"];
        let appliance = text(properties, "nextHopType") == "VirtualAppliance";
        if appliance == text(properties, "nextHopIpAddress").is_empty() {
            let message =
                format!("route {name}: an address goes with the type VirtualAppliance and no other");
            return Err(Answer::error(400, "InvalidRouteNextHop", message));
        }
    }
    Ok(())
}

/// Gives a document and its parts the version of this write.
fn stamp(document: &mut Value, etag: &str) {
    document["etag"] = json!(etag);
    for list in ["ipConfigurations", "routes"] {
        for entry in document["properties"][list].as_array_mut().into_iter().flatten() {
            entry["etag"] = json!(etag);
        }
    }
    // Indexing to change makes what is not there.
    if let Some(properties) = document["properties"].as_object_mut() {
        properties.retain(|_, value| !value.is_null());
    }
}

/// Without what every write changes.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| *name != "etag" && *name != "provisioningState");
            Value::Object(kept.map(|(name, value)| (name.clone(), bare(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(bare).collect()),
        other => other.clone(),
    }
}
