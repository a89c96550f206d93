//! Compares, for as long as the leader leads, what the log wants with what the clouds say.
//!
//! A difference is recorded, and so is its end. It is not repaired: someone may have had a
//! reason, and the next move sets it right in any case.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::Adapters;
use cloud_adapters::contract::{Journal, Pointing};
use coordinator_core::action::{Desired, desired};
use coordinator_core::command::CommandBody;
use futures::{StreamExt, stream};
use tracing::debug;

use super::propose::Proposer;
use super::shared::Shared;

/// From the end of one comparison to the start of the next.
const EVERY: Duration = Duration::from_secs(5);

/// How long reading one binding may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bindings read at once.
const AT_ONCE: usize = 4;

/// Runs until it is dropped.
pub(super) async fn watch(shared: &Shared, adapters: &Arc<Adapters>, proposer: &Proposer) {
    loop {
        tokio::time::sleep(EVERY).await;
        let state = shared.replica.state();
        let wanted = desired(&state);
        stream::iter(wanted)
            .for_each_concurrent(AT_ONCE, |wanted| compare(shared, adapters, proposer, wanted))
            .await;
    }
}

async fn compare(shared: &Shared, adapters: &Arc<Adapters>, proposer: &Proposer, wanted: Desired) {
    let (group, binding) = (&wanted.group, &wanted.binding.name);
    let found = match adapters.for_binding(&wanted.binding) {
        Ok(adapter) => {
            cloud_adapters::inspect(&*adapter, group, &wanted.binding, &Journal::default(), DEADLINE).await
        }
        Err(error) => Err(error),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            debug!(%group, %binding, error = error.chain(), "could not compare with the cloud");
            return;
        }
    };
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
    let drift = describe(&found.pointing, &wanted);
    if drift.as_ref() != now.drift.get(binding) {
        let record = CommandBody::RecordDrift { group: group.clone(), binding: binding.clone(), drift };
        if let Err(error) = proposer.propose(record).await {
            debug!(%group, %binding, %error, "could not record a drift");
        }
    }
}

fn describe(found: &Pointing, wanted: &Desired) -> Option<String> {
    let active = &wanted.active;
    match found {
        Pointing::At(appliance) if appliance == active => None,
        Pointing::At(appliance) => Some(format!("points at {appliance}, should point at {active}")),
        Pointing::Nowhere => Some(format!("points at nothing, should point at {active}")),
        Pointing::Elsewhere(what) => Some(format!("points at {what}, should point at {active}")),
    }
}
