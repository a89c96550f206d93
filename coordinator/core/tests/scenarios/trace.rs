//! How a story writes down what happened.

use coordinator_core::action::{Action, pending_actions};
use coordinator_core::command::{CommandBody, StartOperation};
use coordinator_core::state::{Group, State};

/// A proposal in a few words; its effect stands in the events below it.
pub(crate) fn proposal(body: &CommandBody) -> String {
    match body {
        CommandBody::RecordVerdict { appliance, verdict, .. } => {
            format!("propose: record that {appliance} is {verdict}")
        }
        CommandBody::StartOperation(StartOperation { kind, to, expected, supersedes, .. }) => {
            let instead = supersedes.map(|id| format!(" instead of operation {id}")).unwrap_or_default();
            format!("propose: {} to {to} on token {expected}{instead}", kind.word())
        }
        CommandBody::RecordPath { verdict, .. } => format!("propose: record that the path is {verdict}"),
        CommandBody::RecordTraffic { operation, .. } => {
            format!("propose: settle whether traffic passes after operation {operation}")
        }
        CommandBody::RecordHeartbeat { path, up, .. } => {
            let state = if *up { "up" } else { "down" };
            format!("propose: record that {} to {} by way {} is {state}", path.from, path.to, path.path)
        }
        CommandBody::RecordNotices { appliance, source, notices, unknown, .. } => {
            let state = if unknown.is_some() { ", and cannot be heard" } else { "" };
            format!("propose: record that {source} announces {} for {appliance}{state}", notices.len())
        }
        CommandBody::Freeze { .. } => "propose: freeze".to_owned(),
        CommandBody::RecordHold { hold: Some(_), .. } => "propose: record a hold".to_owned(),
        CommandBody::RecordHold { hold: None, .. } => "propose: end the hold".to_owned(),
        other => format!("propose: {other:?}"),
    }
}

/// What remains to be done, one line each.
pub(crate) fn pending(state: &State) -> Vec<String> {
    let line = |action: Action| match action {
        Action::MoveBinding { binding, from, to, operation, .. } => {
            let from = from.map(|f| format!(" from {f}")).unwrap_or_default();
            format!("to do: move {}{from} to {to} with token {operation}", binding.name)
        }
        Action::AwaitRelease { appliance, token, .. } => {
            format!("to do: await the release of {appliance} under token {token}")
        }
        Action::AwaitHold { binding, to, operation, .. } => {
            format!("to do: await {to} holding {binding} under token {operation}")
        }
        Action::AwaitAcknowledgement { appliance, revision, .. } => {
            format!("to do: await {appliance} acting on declaration {revision}")
        }
        Action::Fence { appliance, spec, .. } => format!("to do: switch {appliance} off by {spec}"),
    };
    pending_actions(state).into_iter().map(line).collect()
}

/// The group in a few lines.
pub(crate) fn summary(group: &Group) -> Vec<String> {
    let mut lines = vec![match &group.active {
        Some(active) => format!("active: {active} under token {}", group.token),
        None => "active: none".to_owned(),
    }];
    for (name, known) in &group.appliances {
        let maintenance = if known.maintenance.is_some() { ", in maintenance" } else { "" };
        lines.push(format!("{name}: {}{maintenance}", known.verdict));
    }
    if !group.relies.is_empty() {
        let names: Vec<_> = group.relies.iter().map(ToString::to_string).collect();
        lines.push(format!("may rely on promises: {}", names.join(", ")));
    }
    if !group.spec.path_probes.is_empty() {
        lines.push(format!("path: {}", group.path.verdict));
    }
    if let Some(hold) = &group.hold {
        lines.push(format!("held: {hold}"));
    }
    if let Some(frozen) = &group.frozen {
        lines.push(format!("frozen: {frozen}"));
    }
    lines.push(match &group.operation {
        Some(o) => format!("running: operation {}, {} to {}", o.id, o.kind.word(), o.to),
        None => "running: nothing".to_owned(),
    });
    lines
}
