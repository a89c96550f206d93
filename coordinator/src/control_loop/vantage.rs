//! A follower tells the leader what it sees: at once on a change or a new leader, and regularly,
//! since only fresh reports count.
//!
//! Each answer carries a reading of the leader's clock, and the next update says how long ago that
//! came in: the leader dates the view by it (`coordinator_core::observe::made_at`). A new leader's
//! first answer is the cue to tell it again at once, since what has no date does not count.

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::ids::NodeId;
use tokio::time::Instant;
use tracing::debug;

use super::clock::wall_now;
use super::handle::{Reading, Since, VantageReply, VantageUpdate};
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

/// The newest reading of a leader's clock, and when it came in.
struct Known {
    leader: NodeId,
    reading: Reading,
    at: Instant,
}

impl Known {
    /// What dates a view for `leader` that is made at `now`.
    fn since(&self, leader: NodeId, now: Instant) -> Option<Since> {
        let elapsed = now.saturating_duration_since(self.at);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        (self.leader == leader).then_some(Since { reading: self.reading, elapsed_us })
    }
}

/// Runs until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, peers: Peers) {
    let mut leadership = shared.replica.leadership();
    // From the wall clock, so that it goes on rising after a restart.
    let mut seq = wall_now().0.saturating_mul(1000);
    let mut known: Option<Known> = None;
    loop {
        let leader = leadership.borrow_and_update().leader;
        if let Some(leader) = leader
            && leader != shared.node
        {
            seq = seq.saturating_add(1);
            let update = view(&shared, seq, leader, known.as_ref());
            let dated = update.since.is_some();
            match peers.post::<_, VantageReply>(leader, VANTAGE_PATH, &update, DEADLINE).await {
                Ok(reply) => {
                    // A leader that started anew does not know its own reading any more.
                    let same = known.as_ref().is_some_and(|k| k.reading.life == reply.now.life);
                    known = Some(Known { leader, reading: reply.now, at: Instant::now() });
                    if !(dated && same) {
                        continue;
                    }
                }
                Err(error) => debug!(%leader, %error, "could not tell the leader what this vantage sees"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(REPEAT) => {}
            () = shared.sights_changed.notified() => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

fn view(shared: &Shared, seq: u64, leader: NodeId, known: Option<&Known>) -> VantageUpdate {
    // The clock is read before the view is made: what comes later makes it older, not younger.
    let made = Instant::now();
    let now = shared.clock.mono(made);
    let watch = &shared.lock().watch;
    VantageUpdate {
        vantage: shared.node,
        seq,
        since: known.and_then(|known| known.since(leader, made)),
        sights: watch.sights(now),
        paths: watch.path_sights(now),
    }
}
