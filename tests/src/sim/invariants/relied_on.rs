//! While promises may be relied on, no group is removed and none of its VIPs leaves it.

use coordinator_core::command::{Command, CommandBody};
use coordinator_core::model::{BindingKind, GroupSpec};
use coordinator_core::state::State;

use crate::sim::agent::Agent;
use crate::sim::clock::At;

pub(crate) const NAME: &str = "relied-on";

/// `command` was accepted in the state `before`.
pub(super) fn judge(before: &State, command: &Command, agents: &[Agent], now: At) -> Result<(), String> {
    let (name, next) = match &command.body {
        CommandBody::PutGroup(spec) => (&spec.name, Some(spec)),
        CommandBody::RemoveGroup(name) => (name, None),
        _ => return Ok(()),
    };
    let Some(group) = before.groups.get(name) else { return Ok(()) };
    let stays = |spec: &GroupSpec| vips(&group.spec).iter().all(|vip| vips(spec).contains(vip));
    if next.is_some_and(stays) {
        return Ok(());
    }
    let relying =
        agents.iter().find(|a| a.carries(now) && a.lease.relying() && group.relies.contains(&a.name));
    match (relying, group.relies.first()) {
        (Some(agent), _) => Err(format!("{} relies on promises, and {name} loses its VIPs", agent.name)),
        (None, Some(holder)) => Err(format!("{holder} may rely on promises, and {name} loses its VIPs")),
        (None, None) => Ok(()),
    }
}

fn vips(spec: &GroupSpec) -> Vec<&BindingKind> {
    spec.bindings.iter().map(|b| &b.kind).filter(|kind| matches!(kind, BindingKind::Vip { .. })).collect()
}
