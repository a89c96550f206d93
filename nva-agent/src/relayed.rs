//! Reports through a peer, while this machine's own way to a coordinator fails.
//!
//! The reports on the own way go on all the time: the first that is answered ends this.

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::ids::ApplianceName;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::info;

use crate::changes::Changes;
use crate::clock;
use crate::reporter::{Reporter, ttl_of};

/// The pause after a failure through a peer, at first and at most: a coordinator that is down is
/// not reached through anybody.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(1_000);

/// The second task of each coordinator.
pub(crate) struct Relayed(pub(crate) Reporter);

impl Relayed {
    /// Runs until the agent has released everything, and reports that, too.
    pub(crate) async fn run(mut self) {
        let told = Arc::new(Notify::new());
        let mut changes: Option<(ApplianceName, Changes)> = None;
        let mut notices = self.0.life.board.watch();
        let (mut pause, mut turn) = (FIRST_PAUSE, 0_usize);
        loop {
            let closing = *self.0.closing.borrow_and_update();
            let started = Instant::now();
            let standing = self.0.standing.borrow_and_update().clone();
            notices.mark_unchanged();
            let interval = self.0.interval(&standing);
            let mut wait = interval / 2;
            let ways = if self.needed(ttl_of(&standing)) { self.0.links.up() } else { Vec::new() };
            // Another one each time that one fails.
            let way = ways.get(turn.checked_rem(ways.len()).unwrap_or_default());
            if let Some(link) = way {
                if self.0.exchange(standing, &link.relay, Some(&link.peer)).await {
                    (pause, wait) = (FIRST_PAUSE, interval);
                    if changes.as_ref().is_none_or(|(peer, _)| *peer != link.peer) {
                        let appliance = self.0.life.appliance.clone();
                        let url = &self.0.coordinator.base_url;
                        let waiting = Changes::watch(link.relay.clone(), url, appliance, told.clone());
                        changes = Some((link.peer.clone(), waiting));
                    }
                } else {
                    turn = turn.wrapping_add(1);
                    wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    changes = None;
                }
            } else {
                changes = None;
                if self.0.contacts.not_relayed(self.0.coordinator.node) {
                    info!(node = self.0.coordinator.node.0, "no longer through a peer");
                }
            }
            if closing {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(started + wait) => {}
                changed = self.0.standing.changed() => if changed.is_err() {
                    let _ = self.0.closing.wait_for(|closing| *closing).await;
                },
                () = told.notified() => {}
                Ok(()) = notices.changed() => {}
                _ = self.0.closing.changed() => {}
            }
        }
    }

    fn needed(&self, ttl: Duration) -> bool {
        // Early enough for several reports before a lease that was just renewed is over.
        self.0.contacts.way_is_lost(self.0.coordinator.node, clock::now(), ttl / 4)
    }
}
