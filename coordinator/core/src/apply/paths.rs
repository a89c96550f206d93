//! What is recorded of paths: through the active appliance, and between agents.

use super::operations::bounded;
use super::{About, Log, Rejection};
use crate::command::OperationKind;
use crate::event::{EventBody, Level};
use crate::ids::{OperationId, Token};
use crate::model::GroupSpec;
use crate::observe::{Evidence, Verdict};
use crate::state::{Ending, Group, HeartbeatPath, Path, Traffic};
use crate::time::WallTime;

pub(super) fn verdict(
    group: &mut Group,
    log: &mut Log,
    token: Token,
    verdict: Verdict,
    evidence: &[Evidence],
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    if token != group.token {
        return Err(Rejection::StaleToken { group: name, expected: token, current: group.token });
    }
    // While bindings move, a path that fails is no news.
    if let Some(running) = &group.operation {
        return Err(Rejection::OperationRunning { group: name, operation: running.id });
    }
    let Some(active) = group.active.clone().filter(|_| !group.spec.path_probes.is_empty()) else {
        return Err(Rejection::NoPathProbes { group: name });
    };
    let before = group.path;
    if before.verdict == verdict {
        return Ok(());
    }
    let stable =
        before.verdict == Verdict::Up && log.at.since(before.since) >= group.spec.policy.stabilisation;
    group.path = Path { verdict, since: log.at, down_before_move: before.down_before_move && !stable };
    if verdict == Verdict::Up
        && let Some(known) = group.appliances.get_mut(&active)
    {
        known.path_failed = false;
    }
    let level = match verdict {
        Verdict::Up => Level::Info,
        Verdict::Down => Level::Alert,
        Verdict::Unknown => Level::Warning,
    };
    let body = EventBody::PathChanged { from: before.verdict, to: verdict, evidence: bounded(evidence) };
    log.push(level, &name, About::appliance(&active), body);
    Ok(())
}

pub(super) fn traffic(
    group: &mut Group,
    log: &mut Log,
    id: OperationId,
    traffic: Traffic,
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    if group.spec.path_probes.is_empty() {
        return Err(Rejection::NoPathProbes { group: name });
    }
    let limit = group.spec.policy.operation_timeout;
    let at_rest = group.operation.is_none();
    let newest = group.ended.back_mut().filter(|o| at_rest && o.id == id && o.traffic.is_none());
    let open = newest.filter(|o| match o.ended {
        Some((ended, Ending::Completed)) => traffic == Traffic::Restored || log.at.since(ended) >= limit,
        _ => false,
    });
    let Some(operation) = open else {
        return Err(Rejection::TrafficNotOpen { group: name, operation: id });
    };
    operation.traffic = Some((log.at, traffic));
    let level = match traffic {
        Traffic::Restored => Level::Info,
        Traffic::NotRestored => Level::Alert,
    };
    let body = EventBody::TrafficSettled { traffic, after: log.at.since(operation.started) };
    log.push(level, &name, About::appliance(&operation.to).during(Some(id)), body);
    Ok(())
}

pub(super) fn heartbeat(
    group: &mut Group,
    log: &mut Log,
    path: &HeartbeatPath,
    up: bool,
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    if !path.is_declared(&group.spec) {
        return Err(Rejection::UnknownHeartbeat { group: name, path: path.clone() });
    }
    let (level, was_down) = match (group.heartbeats_down.get(path), up) {
        (None, true) | (Some(_), false) => return Ok(()),
        (None, false) => {
            group.heartbeats_down.insert(path.clone(), log.at);
            (Level::Warning, std::time::Duration::ZERO)
        }
        (Some(since), true) => {
            let was_down = log.at.since(*since);
            group.heartbeats_down.remove(path);
            (Level::Info, was_down)
        }
    };
    let body = EventBody::HeartbeatChanged { path: path.clone(), up, was_down };
    log.push(level, &name, About::appliance(&path.from), body);
    Ok(())
}

/// Whether the path alone counts as the active appliance being down.
pub(super) fn decides(group: &Group) -> bool {
    let path = &group.path;
    let asked = group.spec.policy.path_decides && group.operation.is_none();
    asked && path.verdict == Verdict::Down && !path.down_before_move
}

/// The group is about to leave its active appliance.
pub(super) fn on_move(group: &mut Group, kind: OperationKind) {
    match group.path.verdict {
        Verdict::Up => group.path.down_before_move = false,
        Verdict::Down => group.path.down_before_move = true,
        // Another move, before anything was known of the path through this one, proves nothing.
        Verdict::Unknown => {}
    }
    let Some(active) = group.active.clone() else { return };
    let for_the_path = kind == OperationKind::Failover && group.verdict(&active) != Verdict::Down;
    if let Some(known) = group.appliances.get_mut(&active).filter(|_| for_the_path) {
        known.path_failed = true;
    }
}

/// Another declaration: what was seen on other probes says nothing of these.
pub(super) fn on_declaration(group: &mut Group, spec: &GroupSpec, time: WallTime) {
    if group.spec.path_probes != spec.path_probes {
        group.path = Path { down_before_move: group.path.down_before_move, ..Path::unknown(time) };
    }
    group.heartbeats_down.retain(|path, _| path.is_declared(spec));
}
