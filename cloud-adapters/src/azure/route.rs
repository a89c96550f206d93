//! A user-defined route is an entry of its table, which is written as a whole: every other route
//! goes back as it came.

use std::collections::BTreeMap;
use std::net::IpAddr;

use coordinator_core::ids::{ApplianceName, GroupName};
use coordinator_core::state::Difference;
use serde_json::{Value, json};

use super::documents::{NOTHING, State, entry, entry_properties_mut, property};
use super::public_ip::change;
use super::reading::{Documents, ReadError, seen};
use super::resource_id::{IdError, Kind, ResourceId, short_of_path};
use crate::contract::{Actual, AdapterError, Change, MoveJob, Pointing};

const ROUTES: &str = "routes";
/// The type of next hop that is an address; all others are places of Azure's own.
const APPLIANCE: &str = "VirtualAppliance";

/// The declaration, with its ids checked.
pub(super) struct Declared<'a> {
    pub(super) table: ResourceId,
    pub(super) route: &'a str,
    pub(super) targets: &'a BTreeMap<ApplianceName, IpAddr>,
}

impl<'a> Declared<'a> {
    pub(super) fn new(
        table: &str,
        route: &'a str,
        targets: &'a BTreeMap<ApplianceName, IpAddr>,
    ) -> Result<Self, IdError> {
        Ok(Declared { table: ResourceId::of_kind(table, Kind::RouteTable)?, route, targets })
    }

    /// Puts together where it points from the table's document.
    pub(super) fn actual(&self, documents: &Documents, group: &GroupName) -> Result<Actual, ReadError> {
        let seen = seen(documents, &self.table, group)?;
        let pointing = match entry(&seen.document, ROUTES, self.route) {
            None => Pointing::Nowhere,
            Some(route) => self.pointing(route),
        };
        let settled = State::of(&seen.document) != State::Updating;
        Ok(Actual { pointing, token: seen.token, settled, resources: vec![seen] })
    }

    fn pointing(&self, route: &Value) -> Pointing {
        let hop = property(route, "nextHopType").unwrap_or("nothing");
        let address = property(route, "nextHopIpAddress");
        if !hop.eq_ignore_ascii_case(APPLIANCE) {
            return Pointing::Elsewhere(hop.to_owned());
        }
        let address = address.unwrap_or("no address");
        match self.targets.iter().find(|(_, target)| address.parse() == Ok(**target)) {
            Some((appliance, _)) => Pointing::At(appliance.clone()),
            None => Pointing::Elsewhere(address.to_owned()),
        }
    }
}

/// What differs in the table's document when the route is to lead to `active`.
pub(super) fn differences(
    actual: &Actual,
    declared: &Declared<'_>,
    active: &ApplianceName,
) -> Vec<Difference> {
    let (Some(target), Some(seen)) = (declared.targets.get(active), actual.resources.first()) else {
        return Vec::new();
    };
    let place = format!("properties.{ROUTES}[{}]", declared.route);
    let difference = |field: String, expected: &str, found: &str| Difference {
        resource: short_of_path(&seen.id),
        field,
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    let Some(route) = entry(&seen.document, ROUTES, declared.route) else {
        return vec![difference(place, "a route", NOTHING)];
    };
    let mut differences = Vec::new();
    let hop = property(route, "nextHopType").unwrap_or(NOTHING);
    if !hop.eq_ignore_ascii_case(APPLIANCE) {
        differences.push(difference(format!("{place}.properties.nextHopType"), APPLIANCE, hop));
    }
    let address = property(route, "nextHopIpAddress").unwrap_or(NOTHING);
    if address.parse() != Ok(*target) {
        let field = format!("{place}.properties.nextHopIpAddress");
        differences.push(difference(field, &target.to_string(), address));
    }
    differences
}

pub(super) fn plan(
    actual: &Actual,
    job: &MoveJob,
    declared: &Declared<'_>,
) -> Result<Vec<Change>, AdapterError> {
    let attempt = format!("update route `{}` in table `{}`", declared.route, declared.table.name());
    let refuse = |why: String| AdapterError::permanent(attempt.clone(), why);
    let target = declared.targets.get(&job.to);
    let target = target.ok_or_else(|| refuse(format!("no next hop is declared for {}", job.to)))?;
    let seen = actual.resources.first().ok_or_else(|| refuse("the table was not read".to_owned()))?;
    let route = entry(&seen.document, ROUTES, declared.route);
    // Its prefix is in no declaration, so it cannot be made here.
    let route =
        route.ok_or_else(|| refuse("there is no such route: create it, with any next hop".to_owned()))?;
    let right = declared.pointing(route) == Pointing::At(job.to.clone());
    let mut document = seen.document.clone();
    if right && State::of(&seen.document) != State::Failed {
        return Ok(Vec::new());
    }
    // A route that is right in a table that is in a failed state: the write alone ends that.
    if !right {
        let properties = entry_properties_mut(&mut document, ROUTES, declared.route);
        let properties = properties.ok_or_else(|| refuse("the route has no properties".to_owned()))?;
        properties.insert("nextHopType".to_owned(), json!(APPLIANCE));
        properties.insert("nextHopIpAddress".to_owned(), json!(target.to_string()));
    }
    Ok(vec![change(attempt, seen, document, job)?])
}
