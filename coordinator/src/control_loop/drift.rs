//! Compares, for as long as the leader leads, what the log wants with what the clouds say.
//!
//! A difference is recorded, and so is its end. What is done about it is decided elsewhere, from
//! what is recorded.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::Adapters;
use cloud_adapters::contract::{Actual, Adapter, Journal, Pointing, READINGS};
use cloud_adapters::registry::adapter_of;
use coordinator_core::action::{Desired, desired};
use coordinator_core::command::CommandBody;
use coordinator_core::ids::AdapterName;
use coordinator_core::model::BindingSpec;
use coordinator_core::state::{Difference, Drift, State};
use futures::future::join_all;
use tracing::debug;

use super::propose::Proposer;
use super::shared::Shared;

/// How long reading all bindings of one adapter may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs until it is dropped. One adapter that is slow keeps no other from being watched.
pub(super) async fn watch(shared: &Shared, adapters: &Arc<Adapters>, proposer: &Proposer) {
    let each = adapters.names().filter_map(|name| Some((name, adapters.named(name)?)));
    join_all(each.map(|(name, adapter)| watch_one(shared, name, adapter, proposer))).await;
}

async fn watch_one(shared: &Shared, name: &AdapterName, adapter: Arc<dyn Adapter>, proposer: &Proposer) {
    loop {
        let wanted = of_adapter(&shared.replica.state(), name);
        let bindings: Vec<&BindingSpec> = wanted.iter().map(|wanted| &wanted.binding).collect();
        let rest = if bindings.is_empty() { READINGS } else { adapter.rest_between_readings(&bindings) };
        tokio::time::sleep(rest).await;
        // What was wanted before the rest may be so no more.
        compare(shared, name, &*adapter, proposer).await;
    }
}

fn of_adapter(state: &State, name: &AdapterName) -> Vec<Desired> {
    let mut wanted = desired(state);
    wanted.retain(|wanted| adapter_of(&wanted.binding.kind) == Some(name));
    wanted
}

/// Reads everything that one adapter moves, each resource once, and records what has changed.
async fn compare(shared: &Shared, name: &AdapterName, adapter: &dyn Adapter, proposer: &Proposer) {
    let wanted = of_adapter(&shared.replica.state(), name);
    if wanted.is_empty() {
        return;
    }
    let asks: Vec<_> = wanted.iter().map(|wanted| (&wanted.group, &wanted.binding)).collect();
    let journal = Journal::default();
    let Ok(read) = tokio::time::timeout(DEADLINE, adapter.read_all(&asks, &journal)).await else {
        debug!(adapter = %name, "could not compare with the cloud: it took longer than {DEADLINE:?}");
        return;
    };
    for (wanted, found) in wanted.iter().zip(read) {
        let (group, binding) = (&wanted.group, &wanted.binding.name);
        match found {
            Ok(found) => record(shared, adapter, proposer, wanted, &found).await,
            Err(error) => {
                debug!(%group, %binding, error = error.chain(), "could not compare with the cloud");
            }
        }
    }
}

async fn record(
    shared: &Shared,
    adapter: &dyn Adapter,
    proposer: &Proposer,
    wanted: &Desired,
    found: &Actual,
) {
    let (group, binding) = (&wanted.group, &wanted.binding.name);
    // A change that is still under way says nothing.
    if !found.settled {
        return;
    }
    // What was read is only news if the group has been at rest under one token all along.
    let state = shared.replica.state();
    let Some(now) = state.groups.get(group) else { return };
    if now.token != wanted.token || now.operation.is_some() {
        return;
    }
    let drift = describe(adapter, found, wanted);
    if drift.as_ref() != now.drift.get(binding) {
        let record = CommandBody::RecordDrift { group: group.clone(), binding: binding.clone(), drift };
        if let Err(error) = proposer.propose(record).await {
            debug!(%group, %binding, %error, "could not record a drift");
        }
    }
}

/// How what was found differs from what is wanted; `None` if it does not.
fn describe(adapter: &dyn Adapter, found: &Actual, wanted: &Desired) -> Option<Drift> {
    let active = &wanted.active;
    let mut differences = adapter.differences(found, &wanted.binding, active);
    let mut summary = match &found.pointing {
        Pointing::At(appliance) if appliance == active => None,
        Pointing::At(appliance) => Some(format!("points at {appliance}, should point at {active}")),
        Pointing::Nowhere => Some(format!("points at nothing, should point at {active}")),
        Pointing::Elsewhere(what) => Some(format!("points at {what}, should point at {active}")),
    };
    let newer = found.resources.iter().filter(|r| r.token.is_some_and(|token| token > wanted.token));
    for resource in newer {
        differences.push(Difference {
            resource: resource.id.clone(),
            field: format!("the token of group {}", wanted.group),
            expected: format!("{} or older", wanted.token),
            found: resource.token.unwrap_or_default().to_string(),
        });
        summary = summary.or_else(|| Some("carries the token of another cluster".to_owned()));
    }
    summary.map(|summary| Drift { summary, differences }.bounded())
}
