//! A follower tells the leader what it sees: at once on a change or a new leader, and regularly,
//! since only fresh reports count.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::clock::wall_now;
use super::handle::VantageUpdate;
use super::shared::Shared;
use crate::peers::Peers;

/// Where updates are posted, on the leader's cluster listener, as JSON.
pub const VANTAGE_PATH: &str = "/peer/v1/vantage";

/// Most bytes of an update.
pub const MAX_BODY: usize = 1024 * 1024;

/// How often an unchanged view is repeated. The shortest freshness that a policy may ask for is
/// several times this.
const REPEAT: Duration = Duration::from_millis(250);

/// How long one post may take before the view in it is not worth sending any more.
const DEADLINE: Duration = Duration::from_millis(500);

/// Runs until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, peers: Peers) {
    let mut leadership = shared.replica.leadership();
    // From the wall clock, so that it goes on rising after a restart.
    let mut seq = wall_now().0.saturating_mul(1000);
    loop {
        let leader = leadership.borrow_and_update().leader;
        if let Some(leader) = leader
            && leader != shared.node
        {
            seq = seq.saturating_add(1);
            let now = shared.clock.now().mono;
            let (sights, paths) = {
                let watch = &shared.lock().watch;
                (watch.sights(now), watch.path_sights(now))
            };
            let update = VantageUpdate { vantage: shared.node, seq, age_ms: 0, sights, paths };
            if let Err(error) = peers.post(leader, VANTAGE_PATH, &update, DEADLINE).await {
                debug!(%leader, %error, "could not tell the leader what this vantage sees");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(REPEAT) => {}
            () = shared.sights_changed.notified() => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}
