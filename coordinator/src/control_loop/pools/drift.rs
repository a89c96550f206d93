//! Compares who is in by the log with who is in by the cloud.
//!
//! A difference is recorded, and so is its end. It is not repaired: someone may have had a reason.
//! To put a member in or to take it out sets it right in any case.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::{Journal, Place, PlaceJob};
use cloud_adapters::{Adapters, places};
use coordinator_core::command::CommandBody;
use coordinator_core::pool::action::{Placed, placed};
use coordinator_core::pool::{Placement, PoolCommand};
use futures::{StreamExt, stream};
use tracing::debug;

use crate::control_loop::propose::Proposer;
use crate::control_loop::shared::Shared;

/// From the end of one comparison to the start of the next. Each reads one NIC per member and side.
const EVERY: Duration = Duration::from_secs(15);

/// How long reading one member's side may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Members read at once.
const AT_ONCE: usize = 4;

/// Runs until it is dropped.
pub(in crate::control_loop) async fn watch(shared: &Shared, adapters: &Arc<Adapters>, proposer: &Proposer) {
    loop {
        tokio::time::sleep(EVERY).await;
        let wanted = placed(&shared.replica.state());
        stream::iter(wanted)
            .for_each_concurrent(AT_ONCE, |wanted| compare(shared, adapters, proposer, wanted))
            .await;
    }
}

async fn compare(shared: &Shared, adapters: &Arc<Adapters>, proposer: &Proposer, wanted: Placed) {
    let Placed { pool, member, side, .. } = &wanted;
    // Nobody else is looked for: this job only reads.
    let job = PlaceJob {
        pool: pool.clone(),
        token: wanted.token,
        member: member.clone(),
        inside: true,
        places: vec![Place { side: *side, way: wanted.way.clone() }],
        others: [].into(),
    };
    let adapter = adapters.require(wanted.way.adapter(), format!("read where {member} is"));
    let found = match adapter {
        Ok(adapter) => places(&*adapter, &job, &Journal::default(), DEADLINE).await,
        Err(error) => Err(error),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            debug!(%pool, %member, %side, error = error.chain(), "could not compare with the cloud");
            return;
        }
    };
    let Some(seen) = found.sides.first().filter(|_| found.settled) else { return };
    // What was read is only news if nothing has changed the member since.
    let state = shared.replica.state();
    if !placed(&state).contains(&wanted) {
        return;
    }
    let drift = match (seen.inside, wanted.inside) {
        (true, false) => Some("it is in the backend pool, and should be out".to_owned()),
        (false, true) => Some("it is not in the backend pool, and should be".to_owned()),
        _ => None,
    };
    let placement = Placement { member: member.clone(), side: *side };
    let known = state.pools.get(pool).and_then(|pool| pool.drift.get(&placement));
    if drift.as_ref() != known {
        let (pool, member) = (pool.clone(), member.clone());
        let record = PoolCommand::RecordDrift { pool, member, side: *side, drift };
        if let Err(error) = proposer.propose(CommandBody::Pool(record)).await {
            debug!(pool = %wanted.pool, member = %wanted.member, %error, "could not record a drift");
        }
    }
}
