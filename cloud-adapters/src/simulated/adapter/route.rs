//! A route is a field of its table, which is written as a whole: every other route goes back as
//! it came.

use std::collections::BTreeMap;
use std::net::IpAddr;

use coordinator_core::ids::{ApplianceName, GroupName};
use serde_json::Value;

use super::SimulatedAdapter;
use super::documents::{is_settled, list, set_in_list, text, with_token};
use crate::contract::{Actual, AdapterError, Change, Journal, MoveJob, Pointing};

/// The next hop of each appliance.
type Targets = BTreeMap<ApplianceName, IpAddr>;

const ROUTES: &str = "routes";

pub(super) fn table_id(table: &str) -> String {
    format!("route-tables/{table}")
}

impl SimulatedAdapter {
    pub(super) async fn read_route(
        &self,
        group: &GroupName,
        table: &str,
        route: &str,
        targets: &Targets,
        journal: &Journal,
    ) -> Result<Actual, AdapterError> {
        let seen = self.read_resource(table_id(table), group, journal).await?;
        let pointing = match next_hop(&seen.document, route) {
            None => Pointing::Nowhere,
            Some(text) => match targets.iter().find(|(_, target)| text.parse() == Ok(**target)) {
                Some((appliance, _)) => Pointing::At(appliance.clone()),
                None => Pointing::Elsewhere(text.to_owned()),
            },
        };
        Ok(Actual { pointing, token: seen.token, settled: is_settled(&seen.document), resources: vec![seen] })
    }
}

fn next_hop<'a>(table: &'a Value, route: &str) -> Option<&'a str> {
    let entry = list(table, ROUTES).iter().find(|entry| text(entry, "name") == Some(route))?;
    text(entry, "next_hop")
}

pub(super) fn plan(
    actual: &Actual,
    job: &MoveJob,
    table: &str,
    route: &str,
    targets: &Targets,
) -> Result<Vec<Change>, AdapterError> {
    let attempt = format!("update route `{route}` in table `{table}`");
    let refuse = |why: String| AdapterError::permanent(attempt.clone(), why);
    let target =
        targets.get(&job.to).ok_or_else(|| refuse(format!("no next hop is declared for {}", job.to)))?;
    let Some(seen) = actual.resources.first() else {
        return Err(refuse("the table was not read".to_owned()));
    };
    match next_hop(&seen.document, route) {
        // Its prefix is in no declaration, so it cannot be made here.
        None => Err(refuse("there is no such route: create it, with any next hop".to_owned())),
        Some(text) if text.parse() == Ok(*target) => Ok(Vec::new()),
        Some(_) => {
            let mut document = seen.document.clone();
            set_in_list(&mut document, ROUTES, route, "next_hop", Value::String(target.to_string()));
            let document = with_token(document, job);
            Ok(vec![Change { attempt, resource: seen.id.clone(), etag: seen.etag.clone(), document }])
        }
    }
}
