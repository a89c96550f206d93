//! Watches one life of a node and takes what it shows to the judge.

use std::sync::Arc;
use std::time::Duration;

use coordinator::raft::{Replica, Role, StorageHealth};
use tokio::sync::broadcast::error::RecvError;

use super::world::World;

/// The longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Runs until that life is over.
pub(super) async fn run(world: Arc<World>, id: u64, life: u64, replica: Replica) {
    let mut states = replica.watch_state();
    let mut leadership = replica.leadership();
    let mut events = replica.subscribe_events();
    let mut led = None;
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(event) => {
                    let verdict = world.core().judge.event(id, &event);
                    world.rule(verdict);
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            changed = leadership.changed() => if changed.is_err() { return },
            changed = states.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if world.core().nodes.get(&id).is_none_or(|node| node.life != life || node.stopping) {
            return;
        }
        look(&world, id, &replica, &mut led);
    }
}

fn look(world: &World, id: u64, replica: &Replica, led: &mut Option<u64>) {
    let leading = replica.leading();
    if let Some(leading) = leading {
        if *led != Some(leading.term) {
            *led = Some(leading.term);
            world.line(format_args!("node {id} leads in term {}", leading.term));
        }
        let verdict = world.core().judge.leader(id, leading.term, world.now());
        world.rule(verdict);
        if let Some(acked) = leading.quorum_acked_at {
            let acked = acked.saturating_duration_since(world.origin.into_std());
            let verdict = world.core().judge.quorum(id, leading.term, acked);
            world.rule(verdict);
        }
    }
    if let Some((index, state)) = replica.applied() {
        let verdict = world.core().judge.state(id, index, &state);
        world.rule(verdict);
    }
    let status = replica.status();
    if status.role == Role::Stopped && status.storage == StorageHealth::Ok {
        world.violated("keeps-running", format!("node {id} stopped by itself: {status:?}"));
    }
}
