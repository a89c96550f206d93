//! A public IP is associated with one NIC IP configuration at a time, by a field of the NIC. So
//! it moves by two writes: off the NIC that has it, and onto the one that is to have it.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::ids::{ApplianceName, GroupName};
use coordinator_core::model::BindingSpec;
use futures::future::try_join_all;
use serde_json::Value;

use super::SimulatedAdapter;
use super::documents::{is_settled, list, set_in_list, text, with_token};
use crate::contract::{Actual, AdapterError, Change, Journal, MoveJob, Pointing, ResourceSeen};

/// Where each appliance takes the public IP: `nic/ip-configuration`.
type Targets = BTreeMap<ApplianceName, String>;

const CONFIGURATIONS: &str = "ip_configurations";

fn nic_id(nic: &str) -> String {
    format!("nics/{nic}")
}

/// The NICs of all targets, by id.
pub(super) fn nics(binding: &BindingSpec, targets: &Targets) -> Result<BTreeSet<String>, AdapterError> {
    targets
        .values()
        .map(|target| match target.split_once('/') {
            Some((nic, configuration)) if !nic.is_empty() && !configuration.is_empty() => Ok(nic_id(nic)),
            _ => {
                let attempt = format!("move {} `{}`", binding.kind.word(), binding.name);
                let why = format!("target {target:?} is not of the form `nic/ip-configuration`");
                Err(AdapterError::permanent(attempt, why))
            }
        })
        .collect()
}

impl SimulatedAdapter {
    pub(super) async fn read_public_ip(
        &self,
        group: &GroupName,
        binding: &BindingSpec,
        public_ip: &str,
        targets: &Targets,
        journal: &Journal,
    ) -> Result<Actual, AdapterError> {
        let attempt = format!("read public IP `{public_ip}`");
        let found = self.client.get(&format!("public-ips/{public_ip}"), &attempt, journal).await?;
        let associated = text(&found.document, "ip_configuration").map(str::to_owned);
        let mut ids = nics(binding, targets)?;
        // Also a NIC of no appliance of this group, if that has it: it must be claimed as well.
        ids.extend(associated.as_deref().and_then(|id| id.split_once('/')).map(|(nic, _)| nic_id(nic)));
        let reads = ids.into_iter().map(|id| self.read_resource(id, group, journal));
        let resources = try_join_all(reads).await?;

        let holder = resources.iter().find_map(|seen| holder_on(seen, public_ip));
        // The two reads are of different moments: only if they agree is this the state of one.
        let settled = holder == associated && resources.iter().all(|seen| is_settled(&seen.document));
        let pointing = match holder {
            None => Pointing::Nowhere,
            Some(holder) => match targets.iter().find(|(_, target)| **target == holder) {
                Some((appliance, _)) => Pointing::At(appliance.clone()),
                None => Pointing::Elsewhere(holder),
            },
        };
        let token = resources.iter().filter_map(|seen| seen.token).max();
        Ok(Actual { pointing, token, settled, resources })
    }
}

/// The IP configuration of a NIC that has the public IP, as `nic/ip-configuration`.
fn holder_on(seen: &ResourceSeen, public_ip: &str) -> Option<String> {
    let configuration = list(&seen.document, CONFIGURATIONS)
        .iter()
        .find(|configuration| text(configuration, "public_ip") == Some(public_ip))?;
    Some(format!("{}/{}", text(&seen.document, "name")?, text(configuration, "name")?))
}

pub(super) fn plan(
    actual: &Actual,
    job: &MoveJob,
    public_ip: &str,
    targets: &Targets,
) -> Result<Vec<Change>, AdapterError> {
    let attempt = format!("move public IP `{public_ip}` to {}", job.to);
    let refuse = |why: String| AdapterError::permanent(attempt.clone(), why);
    let target =
        targets.get(&job.to).ok_or_else(|| refuse(format!("no target is declared for {}", job.to)))?;
    let (nic, configuration) = target.split_once('/').unwrap_or((target, ""));
    let wanted = nic_id(nic);
    let mut changes = Vec::new();

    for seen in &actual.resources {
        let Some(holder) = holder_on(seen, public_ip).filter(|holder| holder != target) else { continue };
        if seen.id == wanted {
            // The other configuration of the same NIC: one write does both, below.
            continue;
        }
        let name = holder.split_once('/').map_or("", |(_, name)| name);
        let mut document = seen.document.clone();
        set_in_list(&mut document, CONFIGURATIONS, name, "public_ip", Value::Null);
        changes.push(change(format!("detach public IP `{public_ip}` from {holder}"), seen, document, job));
    }

    let seen = actual.resources.iter().find(|seen| seen.id == wanted);
    let seen = seen.ok_or_else(|| refuse(format!("{wanted} was not read")))?;
    let entry =
        list(&seen.document, CONFIGURATIONS).iter().find(|entry| text(entry, "name") == Some(configuration));
    let entry =
        entry.ok_or_else(|| refuse(format!("NIC `{nic}` has no IP configuration `{configuration}`")))?;
    match text(entry, "public_ip") {
        Some(has) if has == public_ip => return Ok(changes),
        Some(other) => {
            return Err(refuse(format!("{target} has another public IP, `{other}`: remove it first")));
        }
        None => {}
    }
    let mut document = seen.document.clone();
    if let Some((_, name)) = holder_on(seen, public_ip).as_deref().and_then(|holder| holder.split_once('/')) {
        set_in_list(&mut document, CONFIGURATIONS, name, "public_ip", Value::Null);
    }
    set_in_list(
        &mut document,
        CONFIGURATIONS,
        configuration,
        "public_ip",
        Value::String(public_ip.to_owned()),
    );
    changes.push(change(format!("attach public IP `{public_ip}` to {target}"), seen, document, job));
    Ok(changes)
}

fn change(attempt: String, seen: &ResourceSeen, document: Value, job: &MoveJob) -> Change {
    Change {
        attempt,
        resource: seen.id.clone(),
        etag: seen.etag.clone(),
        document: with_token(document, job),
    }
}
