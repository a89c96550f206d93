//! Manual mode, a freeze and maintenance are respected by every move that nobody asked for.

use coordinator_core::command::{Actor, Command, CommandBody, OperationKind};
use coordinator_core::model::Trigger;
use coordinator_core::state::State;

pub(crate) const NAME: &str = "operators-respected";

/// `command` was accepted in the state `before`.
pub(super) fn judge(before: &State, command: &Command) -> Result<(), String> {
    let CommandBody::StartOperation(start) = &command.body else { return Ok(()) };
    let Some(group) = before.groups.get(&start.group) else {
        return Err(format!("a move of {}, which does not exist", start.group));
    };
    if start.kind != OperationKind::ForcedSwitchover && group.in_maintenance(&start.to) {
        return Err(format!("{} got the active role while in maintenance", start.to));
    }
    if matches!(command.actor, Actor::Operator(_)) {
        return Ok(());
    }
    if group.mode == Trigger::Manual {
        return Err(format!("group {} moved by itself in manual mode", start.group));
    }
    if group.frozen.is_some() {
        return Err(format!("group {} moved by itself while frozen", start.group));
    }
    Ok(())
}
