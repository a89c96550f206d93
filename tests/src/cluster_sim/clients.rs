//! Clients: they write, they read, and they remember what they were told.

use std::sync::Arc;
use std::time::Duration;

use coordinator::raft::{ProposeError, Replica};
use coordinator_core::command::Command;
use coordinator_core::time::WallTime;
use rand::RngExt as _;

use super::Mutation;
use super::commands::{GROUPS, due, group_name, named};
use super::world::World;

/// How many there are.
pub(super) const COUNT: u32 = 4;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Runs until all is to be quiet.
pub(super) async fn run(world: Arc<World>, client: u32) {
    let mut node = world.core().node();
    for number in 0_u64.. {
        let pause = world.core().span(20_000, 600_000);
        tokio::time::sleep(pause).await;
        if world.core().quiet {
            return;
        }
        let Some(replica) = world.replica(node) else {
            node = world.core().node();
            continue;
        };
        let reads = world.core().percent(30);
        let next = if reads {
            read(&world, node, &replica).await
        } else {
            write(&world, node, &replica, &format!("{client}/{number}")).await
        };
        if let Some(next) = next {
            node = next;
        }
    }
}

/// Where to ask next, unless here.
type Next = Option<u64>;

async fn read(world: &World, node: u64, replica: &Replica) -> Next {
    let at_least = world.core().judge.newest_acknowledged();
    let confirmed = if world.mutated(Mutation::ReadWithoutQuorum) {
        replica.leadership().borrow().is_self
    } else {
        replica.confirm_leadership(PATIENCE).await.is_ok()
    };
    if !confirmed {
        return Some(elsewhere(world, replica));
    }
    // A process that has ended meanwhile answers nobody.
    if let Some((index, _)) = replica.applied().filter(|_| is_same(world, node, replica)) {
        let verdict = world.core().judge.read(node, index, at_least);
        world.rule(verdict);
    }
    None
}

async fn write(world: &World, node: u64, replica: &Replica, id: &str) -> Next {
    let group = GROUPS[world.core().chance.random_range(0..GROUPS.len())];
    let moves = world.core().percent(40);
    let at = WallTime(1_800_000_000_000 + u64::try_from(world.now().as_millis()).unwrap_or_default());
    let state = replica.state();
    if let Ok(Some(command)) = due(&state, group, at) {
        return follow(world, replica, replica.propose(command, PATIENCE).await.map(drop));
    }
    let declared = group_name(group).ok().and_then(|name| state.groups.get(&name));
    let command: Command = declared.and_then(|group| named(group, moves, id, at))?;
    let outcome = match replica.leading() {
        Some(leading) if moves => replica.propose_in_term(command, leading.term, PATIENCE).await,
        _ => replica.propose(command, PATIENCE).await,
    };
    if let Ok(events) = &outcome
        && is_same(world, node, replica)
    {
        let verdict = world.core().judge.acknowledge(id, events);
        world.rule(verdict);
        let index = events.first().map_or(0, |event| event.index);
        world.line(format_args!("{id} is acknowledged at {index} by node {node}"));
    }
    follow(world, replica, outcome.map(drop))
}

/// Whether that very process still runs.
fn is_same(world: &World, node: u64, replica: &Replica) -> bool {
    // Two handles of one replica share their watch of the state.
    world.replica(node).is_some_and(|now| now.watch_state().same_channel(&replica.watch_state()))
}

fn follow(world: &World, replica: &Replica, outcome: Result<(), ProposeError>) -> Next {
    match outcome {
        Ok(()) | Err(ProposeError::Rejected(_)) => None,
        Err(ProposeError::NotLeader { leader: Some(leader) }) => Some(leader.0),
        Err(_) => Some(elsewhere(world, replica)),
    }
}

/// The leader that this node knows, or any node.
fn elsewhere(world: &World, replica: &Replica) -> u64 {
    let known = replica.leadership().borrow().leader.filter(|leader| *leader != replica.node_id());
    let any = world.core().node();
    known.map_or(any, |leader| leader.0)
}
