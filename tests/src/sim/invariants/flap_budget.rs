//! No group moves by itself more often than its flap budget allows.

use std::collections::BTreeMap;

use coordinator_core::command::{Actor, Command, CommandBody, OperationKind};
use coordinator_core::event::{Event, EventBody};
use coordinator_core::ids::GroupName;
use coordinator_core::state::State;
use coordinator_core::time::WallTime;

pub(crate) const NAME: &str = "flap-budget";

/// When each group moved by itself, since it was last unfrozen.
pub(super) type Moves = BTreeMap<GroupName, Vec<WallTime>>;

/// `command` was accepted, with these events, and `state` is what it led to.
pub(super) fn judge(
    moves: &mut Moves,
    command: &Command,
    events: &[Event],
    state: &State,
) -> Result<(), String> {
    if let CommandBody::Unfreeze { group, .. } = &command.body
        && events.iter().any(|event| matches!(event.body, EventBody::Unfrozen { .. }))
    {
        moves.remove(group);
    }
    let CommandBody::StartOperation(start) = &command.body else { return Ok(()) };
    let by_itself = matches!(command.actor, Actor::Coordinator(_));
    if !by_itself || !matches!(start.kind, OperationKind::Failover | OperationKind::Failback) {
        return Ok(());
    }
    let Some(group) = state.groups.get(&start.group) else { return Ok(()) };
    let policy = &group.spec.policy;
    let moves = moves.entry(start.group.clone()).or_default();
    moves.retain(|at| state.time.since(*at) < policy.flap_window);
    moves.push(state.time);
    if moves.len() as u64 <= u64::from(policy.flap_moves) {
        return Ok(());
    }
    Err(format!(
        "group {} moved by itself {} times within {:?}, and {} are allowed",
        start.group,
        moves.len(),
        policy.flap_window,
        policy.flap_moves
    ))
}
