//! Once faults are over and operators have taken back what they had set, every group comes to
//! rest with all bindings on one ready appliance, and stays there.

use coordinator_core::observe::Verdict;
use coordinator_core::state::Group;

use crate::sim::coordinator::Coordinator;
use crate::sim::phases::CONVERGED;
use crate::sim::world::World;

pub(crate) const NAME: &str = "converges";

pub(super) fn judge(world: &World) -> Result<(), String> {
    let state = world.oracle.state();
    for (number, spec) in world.specs.iter().enumerate() {
        let name = &spec.name;
        let Some(group) = state.groups.get(name) else { return Err(format!("there is no group {name}")) };
        settled(world, number, group).map_err(|what| format!("group {name}: {what}; {}", cluster(world)))?;
    }
    Ok(())
}

fn settled(world: &World, number: usize, group: &Group) -> Result<(), String> {
    if let Some(operation) = &group.operation {
        return Err(format!("operation {} still runs: {:?}", operation.id, operation.steps));
    }
    let Some(active) = &group.active else { return Err("nothing is active".to_owned()) };
    if group.verdict(active) != Verdict::Up {
        return Err(format!("the active {active} is recorded as {}", group.verdict(active)));
    }
    let member = world.agents.iter().find(|a| a.name == *active);
    let Some(agent) = member else { return Err(format!("{active} does not exist")) };
    if !agent.carries(world.now) || agent.carried.is_none_or(|carried| carried.token != group.token) {
        return Err(format!("{active} does not carry the VIPs: {:?}", agent.carried));
    }
    if world.cloud.carriers(number) != [agent.place] {
        return Err(format!("the public IP is at {:?}, not at {active}", world.cloud.carriers(number)));
    }
    if world.cloud.hop(number) != Some(agent.place) {
        return Err(format!("the route points at {:?}, not at {active}", world.cloud.hop(number)));
    }
    Ok(())
}

/// A move has just begun.
pub(super) fn stays(world: &World) -> Result<(), String> {
    if world.calm && world.now >= world.calm_since + CONVERGED {
        return Err("a group moved long after the last fault was over".to_owned());
    }
    Ok(())
}

/// Who believes to be what: a cluster without a leader decides nothing.
fn cluster(world: &World) -> String {
    let one = |(i, c): (usize, &Coordinator)| {
        let (term, index) = c.raft.last();
        format!("c{} {:?} in term {} with log {term}/{index}", i + 1, c.raft.role, c.raft.term)
    };
    world.coordinators.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}
