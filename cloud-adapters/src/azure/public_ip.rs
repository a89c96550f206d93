//! A public IP is associated with one IP configuration of one NIC, by a reference in the NIC's
//! document. So it moves by two writes: off the NIC that has it, and onto the one that is to have
//! it. Both sides are named by resource id.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::ids::{ApplianceName, GroupName};
use coordinator_core::state::Difference;
use serde_json::{Value, json};

use super::documents::NOTHING;
use super::documents::{State, entry, entry_properties_mut, list, property, reference, with_token};
use super::reading::{Documents, ReadError, seen};
use super::resource_id::{IdError, Kind, ResourceId, short_of_path};
use crate::contract::{Actual, AdapterError, Change, MoveJob, Pointing, ResourceSeen};

const CONFIGURATIONS: &str = "ipConfigurations";
const PUBLIC_IP: &str = "publicIPAddress";

/// The declaration, with its ids checked.
pub(super) struct Declared {
    /// The public IP.
    pub(super) public_ip: ResourceId,
    /// Where each appliance takes it.
    pub(super) targets: BTreeMap<ApplianceName, Target>,
}

/// An IP configuration.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) configuration: ResourceId,
    pub(super) nic: ResourceId,
}

impl Declared {
    pub(super) fn new(public_ip: &str, targets: &BTreeMap<ApplianceName, String>) -> Result<Self, IdError> {
        let public_ip = ResourceId::of_kind(public_ip, Kind::PublicIp)?;
        let target = |text: &String| {
            let configuration = ResourceId::of_kind(text, Kind::IpConfiguration)?;
            let nic = configuration.parent().ok_or_else(|| IdError::Malformed(text.clone()))?;
            Ok(Target { configuration, nic })
        };
        let targets = targets.iter().map(|(appliance, text)| Ok((appliance.clone(), target(text)?)));
        Ok(Declared { public_ip, targets: targets.collect::<Result<_, IdError>>()? })
    }

    /// The NICs of all appliances.
    pub(super) fn nics(&self) -> BTreeSet<ResourceId> {
        self.targets.values().map(|target| target.nic.clone()).collect()
    }

    /// The NIC that has the public IP by the public IP's own document, if it is no appliance's.
    pub(super) fn other_holder(&self, documents: &Documents) -> Option<ResourceId> {
        let holder = reference(documents.get(&self.public_ip)?, "ipConfiguration")?;
        let nic = holder.parent().filter(|_| holder.is(Kind::IpConfiguration))?;
        (!self.nics().contains(&nic)).then_some(nic)
    }

    /// Puts together where it points from the documents.
    pub(super) fn actual(&self, documents: &Documents, group: &GroupName) -> Result<Actual, ReadError> {
        let public_ip = documents.require(&self.public_ip)?;
        let associated = reference(public_ip, "ipConfiguration");
        let mut nics = self.nics();
        nics.extend(self.other_holder(documents));
        let resources: Vec<ResourceSeen> =
            nics.iter().map(|nic| seen(documents, nic, group)).collect::<Result<_, _>>()?;
        self.check_versions(public_ip, documents)?;

        let holder = resources.iter().find_map(|seen| holder_on(&seen.document, &self.public_ip));
        let states = resources.iter().map(|seen| &seen.document).chain([public_ip]).map(State::of);
        let working = states.into_iter().any(|state| state == State::Updating);
        let failed = resources.iter().any(|seen| State::of(&seen.document) == State::Failed);
        // The documents are of different moments: only if they agree are they of one state. After
        // a failed change they may disagree for good, and only another write helps.
        let settled = !working && (holder == associated || failed);
        let pointing = match holder.or(associated) {
            None => Pointing::Nowhere,
            Some(holder) => match self.targets.iter().find(|(_, t)| t.configuration == holder) {
                Some((appliance, _)) => Pointing::At(appliance.clone()),
                None => Pointing::Elsewhere(holder.short()),
            },
        };
        let token = resources.iter().filter_map(|seen| seen.token).max();
        Ok(Actual { pointing, token, settled, resources })
    }

    /// ARM refuses an IPv6 address on an IPv4 configuration, and would do so after the detach.
    fn check_versions(&self, public_ip: &Value, documents: &Documents) -> Result<(), ReadError> {
        let version = property(public_ip, "publicIPAddressVersion").unwrap_or("IPv4");
        for Target { configuration, nic } in self.targets.values() {
            let found = documents.get(nic).and_then(|nic| entry(nic, CONFIGURATIONS, configuration.name()));
            let of = found.map(|c| property(c, "privateIPAddressVersion").unwrap_or("IPv4"));
            if let Some(of) = of.filter(|of| !of.eq_ignore_ascii_case(version)) {
                return Err(ReadError::Unfit(format!(
                    "public IP `{}` is {version} and {} is {of}: it can never be attached there",
                    self.public_ip.name(),
                    configuration.short(),
                )));
            }
        }
        Ok(())
    }
}

/// What differs in the NICs' documents when the public IP is to be at `active`.
pub(super) fn differences(actual: &Actual, declared: &Declared, active: &ApplianceName) -> Vec<Difference> {
    let public_ip = &declared.public_ip;
    let Some(target) = declared.targets.get(active) else { return Vec::new() };
    let field = |name: &str| format!("properties.{CONFIGURATIONS}[{name}].properties.{PUBLIC_IP}.id");
    let mut differences = Vec::new();
    for seen in &actual.resources {
        let mut differs = |name: &str, expected: &str, found: &str| {
            differences.push(Difference {
                resource: short_of_path(&seen.id),
                field: field(name),
                expected: expected.to_owned(),
                found: found.to_owned(),
            });
        };
        let wanted = target.configuration.name();
        if seen.id == target.nic.key() {
            let has = entry(&seen.document, CONFIGURATIONS, wanted).map(|found| reference(found, PUBLIC_IP));
            match has {
                None => differs(wanted, public_ip.as_str(), "no such IP configuration"),
                Some(None) => differs(wanted, public_ip.as_str(), NOTHING),
                Some(Some(other)) if other != *public_ip => {
                    differs(wanted, public_ip.as_str(), other.as_str());
                }
                Some(Some(_)) => {}
            }
        }
        let holder = holder_on(&seen.document, public_ip).filter(|holder| *holder != target.configuration);
        if let Some(holder) = holder {
            differs(holder.name(), NOTHING, public_ip.as_str());
        }
    }
    differences
}

/// The IP configuration in a NIC's document that has the public IP.
fn holder_on(nic: &Value, public_ip: &ResourceId) -> Option<ResourceId> {
    let has = |configuration: &&Value| reference(configuration, PUBLIC_IP).as_ref() == Some(public_ip);
    let holder = list(nic, CONFIGURATIONS).iter().find(has)?;
    let (nic, name) = (nic.get("id")?.as_str()?, holder.get("name")?.as_str()?);
    ResourceId::parse(&format!("{nic}/ipConfigurations/{name}")).ok()
}

pub(super) fn plan(actual: &Actual, job: &MoveJob, declared: &Declared) -> Result<Vec<Change>, AdapterError> {
    let public_ip = &declared.public_ip;
    let attempt = format!("move public IP `{}` to {}", public_ip.name(), job.to);
    let refuse = |why: String| AdapterError::permanent(attempt.clone(), why);
    let target = declared.targets.get(&job.to);
    let target = target.ok_or_else(|| refuse(format!("no target is declared for {}", job.to)))?;
    let to = actual.resources.iter().find(|seen| seen.id == target.nic.key());
    let to = to.ok_or_else(|| refuse(format!("{} was not read", target.nic.short())))?;

    if let Pointing::Elsewhere(what) = &actual.pointing
        && !actual.resources.iter().any(|seen| holder_on(&seen.document, public_ip).is_some())
    {
        let why = format!("it belongs to {what}, which is no virtual machine's NIC: free it there first");
        return Err(refuse(why));
    }
    // Before any detach: an address that cannot arrive does not leave either.
    let wanted = entry(&to.document, CONFIGURATIONS, target.configuration.name());
    let wanted = wanted.ok_or_else(|| {
        let (nic, name) = (target.nic.name(), target.configuration.name());
        refuse(format!("NIC `{nic}` has no IP configuration `{name}`"))
    })?;
    let has = reference(wanted, PUBLIC_IP);
    if let Some(other) = has.as_ref().filter(|has| *has != public_ip) {
        let place = target.configuration.short();
        return Err(refuse(format!("{place} has another public IP, `{}`: remove it first", other.name())));
    }

    let mut changes = Vec::new();
    for seen in actual.resources.iter().filter(|seen| seen.id != to.id) {
        let Some(holder) = holder_on(&seen.document, public_ip) else { continue };
        let mut document = seen.document.clone();
        detach(&mut document, &holder);
        let what = format!("detach public IP `{}` from {}", public_ip.name(), holder.short());
        changes.push(change(what, seen, document, job)?);
    }
    let failed = State::of(&to.document) == State::Failed;
    if has.is_some() && !failed {
        return Ok(changes);
    }
    let mut document = to.document.clone();
    // Another configuration of the same NIC may have it: one write does both.
    if let Some(holder) = holder_on(&to.document, public_ip) {
        detach(&mut document, &holder);
    }
    if let Some(properties) = entry_properties_mut(&mut document, CONFIGURATIONS, target.configuration.name())
    {
        properties.insert(PUBLIC_IP.to_owned(), json!({ "id": public_ip.as_str() }));
    }
    let place = target.configuration.short();
    let what = if has.is_some() {
        // As it was, reference for reference: the write alone is what ends the failed state.
        document.clone_from(&to.document);
        format!("reset the failed state of {}", target.nic.short())
    } else {
        format!("attach public IP `{}` to {place}", public_ip.name())
    };
    changes.push(change(what, to, document, job)?);
    Ok(changes)
}

fn detach(nic: &mut Value, holder: &ResourceId) {
    if let Some(properties) = entry_properties_mut(nic, CONFIGURATIONS, holder.name()) {
        properties.remove(PUBLIC_IP);
    }
}

pub(super) fn change(
    attempt: String,
    seen: &ResourceSeen,
    document: Value,
    job: &MoveJob,
) -> Result<Change, AdapterError> {
    match with_token(document, &job.group, job.token) {
        Ok(document) => Ok(Change { attempt, resource: seen.id.clone(), etag: seen.etag.clone(), document }),
        Err(why) => Err(AdapterError::permanent(attempt, why)),
    }
}
