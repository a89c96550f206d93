//! Whether a NIC is in a load balancer's backend pool is said in the NIC's own document, by a
//! reference in one of its IP configurations. So a member is put in or taken out by a write of its
//! NIC, under the same conditions as a public IP, and references to other pools stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::ids::ApplianceName;
use coordinator_core::pool::Way;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::AzureAdapter;
use super::documents::{State, entry, entry_properties_mut, with_token};
use super::public_ip::Target;
use super::reading::{Documents, seen};
use super::resource_id::{IdError, Kind, ResourceId, short_of_path};
use crate::contract::{
    AdapterError, BackendPools, Change, Journal, Place, PlaceJob, PlacesSeen, ResourceSeen, SideSeen,
};

const CONFIGURATIONS: &str = "ipConfigurations";
const POOLS: &str = "loadBalancerBackendAddressPools";

/// A side's declaration, with its ids checked.
struct Declared {
    backend_pool: ResourceId,
    targets: BTreeMap<ApplianceName, Target>,
}

impl Declared {
    fn new(place: &Place) -> Result<Self, IdError> {
        let Way::BackendPool { backend_pool, targets, .. } = &place.way;
        let target = |(member, text): (&ApplianceName, &String)| {
            let configuration = ResourceId::of_kind(text, Kind::IpConfiguration)?;
            let nic = configuration.parent().ok_or_else(|| IdError::Malformed(text.clone()))?;
            Ok((member.clone(), Target { configuration, nic }))
        };
        Ok(Declared {
            backend_pool: ResourceId::of_kind(backend_pool, Kind::BackendPool)?,
            targets: targets.iter().map(target).collect::<Result<_, IdError>>()?,
        })
    }
}

/// One side of the job, with its declaration.
struct Part {
    declared: Declared,
    target: Target,
}

impl AzureAdapter {
    /// The sides of the job, with their ids checked, and on the allow-list.
    fn parts(&self, job: &PlaceJob) -> Result<Vec<Part>, AdapterError> {
        job.places.iter().map(|place| self.part(job, place)).collect()
    }

    fn part(&self, job: &PlaceJob, place: &Place) -> Result<Part, AdapterError> {
        let attempt = || format!("place {} on the {} side", job.member, place.side);
        let refuse = |error: IdError| AdapterError::permanent(attempt(), error);
        let declared = Declared::new(place).map_err(refuse)?;
        let allowed =
            |id| self.arm.check_allowed(id).map_err(|failure| failure.into_adapter_error(attempt()));
        allowed(&declared.backend_pool)?;
        let mut nics: BTreeMap<&ResourceId, &ApplianceName> = BTreeMap::new();
        for (member, target) in &declared.targets {
            allowed(&target.nic)?;
            // A write of one would be a write of the other, under another token.
            if let Some(other) = nics.insert(&target.nic, member) {
                let why = format!("{member} and {other} share {}", target.nic.short());
                return Err(AdapterError::permanent(attempt(), why));
            }
        }
        let target = declared.targets.get(&job.member).cloned();
        let none = || AdapterError::permanent(attempt(), "no target is declared for it");
        Ok(Part { target: target.ok_or_else(none)?, declared })
    }

    async fn read_places(&self, job: &PlaceJob, journal: &Journal) -> Result<PlacesSeen, AdapterError> {
        let parts = self.parts(job)?;
        let own: BTreeSet<ResourceId> = parts.iter().map(|part| part.target.nic.clone()).collect();
        let mut wanted = own.clone();
        if !job.inside {
            let others = parts.iter().flat_map(|part| part.declared.targets.iter());
            wanted.extend(
                others.filter(|(name, _)| job.others.contains(*name)).map(|(_, target)| target.nic.clone()),
            );
        }
        let mut documents = Documents::default();
        documents.fetch(&self.arm, wanted, journal).await;
        let failed = |error: super::reading::ReadError| {
            error.into_adapter_error(&format!("read where {} is", job.member))
        };
        let resources = own.iter().map(|nic| seen(&documents, nic, &job.pool).map_err(failed));
        let resources: Vec<ResourceSeen> = resources.collect::<Result<_, _>>()?;
        let settled = resources.iter().all(|seen| State::of(&seen.document) != State::Updating);
        let mut sides = Vec::with_capacity(parts.len());
        for (place, part) in job.places.iter().zip(&parts) {
            let document = documents.require(&part.target.nic).map_err(failed)?;
            let inside = is_in(document, &part.target, &part.declared.backend_pool).ok_or_else(|| {
                let (nic, name) = (part.target.nic.name(), part.target.configuration.name());
                let attempt = format!("place {} on the {} side", job.member, place.side);
                AdapterError::permanent(attempt, format!("NIC `{nic}` has no IP configuration `{name}`"))
            })?;
            let (others, doubts) = others(job, part, &documents);
            let resource = part.target.nic.key().to_owned();
            sides.push(SideSeen { side: place.side, resource, inside, others, doubts });
        }
        Ok(PlacesSeen { resources, settled, sides })
    }
}

/// Which of the others are in for certain, and why the rest does not count.
fn others(job: &PlaceJob, part: &Part, documents: &Documents) -> (BTreeSet<ApplianceName>, Vec<String>) {
    let (mut found, mut doubts) = (BTreeSet::new(), Vec::new());
    if job.inside {
        return (found, doubts);
    }
    let pool = &part.declared.backend_pool;
    for name in &job.others {
        let Some(target) = part.declared.targets.get(name) else { continue };
        let doubt = match documents.get(&target.nic) {
            None => "its NIC could not be read",
            Some(nic) if State::of(nic) != State::Succeeded => "its NIC is being changed, or failed to be",
            Some(nic) => match is_in(nic, target, pool) {
                Some(true) => {
                    found.insert(name.clone());
                    continue;
                }
                Some(false) => "it is not in it",
                None => "its IP configuration is gone",
            },
        };
        doubts.push(format!("{name}: {doubt}"));
    }
    (found, doubts)
}

/// Whether a NIC's document says that the configuration is in the pool; `None` when there is no
/// such configuration.
fn is_in(nic: &Value, target: &Target, pool: &ResourceId) -> Option<bool> {
    let configuration = entry(nic, CONFIGURATIONS, target.configuration.name())?;
    let pools = configuration.pointer(&format!("/properties/{POOLS}")).and_then(Value::as_array);
    Some(pools.into_iter().flatten().any(|reference| names(reference, pool)))
}

fn names(reference: &Value, pool: &ResourceId) -> bool {
    let id = reference.get("id").and_then(Value::as_str).and_then(|text| ResourceId::parse(text).ok());
    id.as_ref() == Some(pool)
}

/// Puts a reference into a configuration, or takes it out. Other references stay.
fn set(properties: &mut Map<String, Value>, pool: &ResourceId, inside: bool) {
    let list = properties.entry(POOLS).or_insert_with(|| json!([]));
    if list.is_null() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    list.retain(|reference| !names(reference, pool));
    if inside {
        list.push(json!({ "id": pool.as_str() }));
    }
}

fn change(
    attempt: String,
    seen: &ResourceSeen,
    document: Value,
    job: &PlaceJob,
) -> Result<Change, AdapterError> {
    match with_token(document, &job.pool, job.token) {
        Ok(document) => Ok(Change { attempt, resource: seen.id.clone(), etag: seen.etag.clone(), document }),
        Err(why) => Err(AdapterError::permanent(attempt, why)),
    }
}

impl BackendPools for AzureAdapter {
    fn resources(&self, job: &PlaceJob) -> Result<BTreeSet<String>, AdapterError> {
        Ok(self.parts(job)?.iter().map(|part| part.target.nic.key().to_owned()).collect())
    }

    fn read<'a>(
        &'a self,
        job: &'a PlaceJob,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<PlacesSeen, AdapterError>> {
        self.read_places(job, journal).boxed()
    }

    fn plan_claim(&self, seen: &PlacesSeen, job: &PlaceJob) -> Result<Vec<Change>, AdapterError> {
        let unclaimed = seen.resources.iter().filter(|seen| seen.token.is_none_or(|token| token < job.token));
        let claim = |seen: &ResourceSeen| {
            let short = short_of_path(&seen.id);
            let attempt = format!("claim {short} for pool `{}` with token {}", job.pool, job.token);
            change(attempt, seen, seen.document.clone(), job)
        };
        unclaimed.map(claim).collect()
    }

    fn plan(&self, seen: &PlacesSeen, job: &PlaceJob) -> Result<Vec<Change>, AdapterError> {
        let parts = self.parts(job)?;
        let mut changes = Vec::new();
        for resource in &seen.resources {
            let mut document = resource.document.clone();
            let mut what = Vec::new();
            // Two sides of one NIC are one write.
            for (part, side) in parts.iter().zip(&seen.sides).filter(|(_, side)| side.resource == resource.id)
            {
                let (pool, place) = (&part.declared.backend_pool, &part.target.configuration);
                if side.inside == job.inside {
                    continue;
                }
                if let Some(properties) = entry_properties_mut(&mut document, CONFIGURATIONS, place.name()) {
                    set(properties, pool, job.inside);
                }
                let (verb, where_to) = if job.inside { ("put", "into") } else { ("take", "out of") };
                what.push(format!("{verb} {} {where_to} {}", place.short(), pool.short()));
            }
            if what.is_empty() {
                if State::of(&resource.document) != State::Failed {
                    continue;
                }
                // Right by its references: the write alone is what ends the failed state.
                what.push(format!("reset the failed state of {}", short_of_path(&resource.id)));
            }
            changes.push(change(what.join(", and "), resource, document, job)?);
        }
        Ok(changes)
    }
}
