//! Starting an operation: the one place where the active role is granted.

use std::collections::BTreeMap;

use super::{About, Log, Rejection, fencing, paths, reliance};
use crate::command::{Actor, OperationKind, StartOperation};
use crate::event::{EventBody, Level};
use crate::ids::OperationId;
use crate::model::Trigger;
use crate::observe::{Evidence, Verdict};
use crate::reason::Reason;
use crate::state::{Ending, Group, KEPT_OPERATIONS, Operation, Step};
use crate::text::{MAX_TEXT, clip};
use crate::time::WallTime;

/// Pieces of evidence and reasons kept per operation: every vantage of a large cluster on every
/// appliance of a large group.
const MAX_EVIDENCE: usize = 256;

pub(super) fn start(group: &mut Group, log: &mut Log, start: &StartOperation) -> Result<(), Rejection> {
    check_reason(&start.reason)?;
    check_place(group, start)?;
    check_running(group, start, log.at)?;
    check_kind(group, start, &log.actor)?;
    check_health(group, start)?;
    if automatic(start.kind, &log.actor) {
        check_drain(group, start, log.at)?;
        check_automatic(group, start.kind, log.at)?;
    }
    grant(group, log, start);
    Ok(())
}

/// Whether a move counts against the flap budget: one between appliances that nobody asked for.
fn automatic(kind: OperationKind, actor: &Actor) -> bool {
    matches!(actor, Actor::Coordinator(_)) && kind != OperationKind::ForcedSwitchover
}

pub(crate) fn check_reason(reason: &str) -> Result<(), Rejection> {
    if reason.len() <= MAX_TEXT {
        return Ok(());
    }
    Err(Rejection::ReasonTooLong { bytes: reason.len() as u64, limit: MAX_TEXT as u64 })
}

fn check_place(group: &Group, start: &StartOperation) -> Result<(), Rejection> {
    let name = || group.spec.name.clone();
    if start.expected != group.token {
        return Err(Rejection::StaleToken { group: name(), expected: start.expected, current: group.token });
    }
    if group.spec.appliance(&start.to).is_none() {
        return Err(Rejection::UnknownAppliance { group: name(), appliance: start.to.clone() });
    }
    if group.active.as_ref() == Some(&start.to) {
        return Err(Rejection::AlreadyActive { group: name(), appliance: start.to.clone() });
    }
    Ok(())
}

/// At most one operation runs, and it gives way only to one that names it, and only when it is
/// stalled or its target has died.
fn check_running(group: &Group, start: &StartOperation, time: WallTime) -> Result<(), Rejection> {
    let name = || group.spec.name.clone();
    match (&group.operation, start.supersedes) {
        (None, None) => Ok(()),
        (None, Some(asked)) => Err(Rejection::NotRunning { group: name(), asked }),
        (Some(running), None) => Err(Rejection::OperationRunning { group: name(), operation: running.id }),
        (Some(running), Some(asked)) if running.id != asked => {
            Err(Rejection::NotRunning { group: name(), asked })
        }
        (Some(running), Some(_)) => {
            let target_down = group.verdict(&running.to) == Verdict::Down;
            if target_down || running.stalled(time, group.spec.policy.operation_timeout) {
                return Ok(());
            }
            Err(Rejection::NotSupersedable { group: name(), operation: running.id })
        }
    }
}

fn check_kind(group: &Group, start: &StartOperation, actor: &Actor) -> Result<(), Rejection> {
    let kind = start.kind.word().to_owned();
    let operator = matches!(actor, Actor::Operator(_));
    let allowed = match start.kind {
        OperationKind::Activation | OperationKind::Failover => !operator,
        OperationKind::ForcedSwitchover => operator,
        OperationKind::Switchover | OperationKind::Failback => true,
    };
    if !allowed {
        return Err(Rejection::WrongActor { kind, operator });
    }
    let active = group.active.is_some();
    let fits = match start.kind {
        OperationKind::Activation => !active,
        OperationKind::ForcedSwitchover => true,
        _ => active,
    };
    if !fits {
        return Err(Rejection::WrongKind { group: group.spec.name.clone(), active, kind });
    }
    if start.kind == OperationKind::Failback && group.preferred() != Some(&start.to) {
        return Err(Rejection::NotPreferred { group: group.spec.name.clone(), appliance: start.to.clone() });
    }
    Ok(())
}

fn check_health(group: &Group, start: &StartOperation) -> Result<(), Rejection> {
    if start.kind == OperationKind::ForcedSwitchover {
        return Ok(());
    }
    if group.in_maintenance(&start.to) {
        return Err(Rejection::InMaintenance { appliance: start.to.clone() });
    }
    if group.verdict(&start.to) != Verdict::Up {
        return Err(Rejection::TargetNotUp { appliance: start.to.clone() });
    }
    match &group.active {
        Some(active) if start.kind == OperationKind::Failover => {
            let dead = group.verdict(active) == Verdict::Down || paths::decides(group);
            if dead { Ok(()) } else { Err(Rejection::ActiveNotDown { appliance: active.clone() }) }
        }
        _ => Ok(()),
    }
}

/// A coordinator switches over by itself only ahead of something that is announced for the active,
/// and only to where it is not in for the same.
fn check_drain(group: &Group, start: &StartOperation, time: WallTime) -> Result<(), Rejection> {
    let Some(active) = group.active.as_ref().filter(|_| start.kind == OperationKind::Switchover) else {
        return Ok(());
    };
    if group.drain_due(active, time).is_none() {
        return Err(Rejection::NothingAnnounced {
            group: group.spec.name.clone(),
            appliance: active.clone(),
        });
    }
    match group.disturbed_with(&start.to, active) {
        None => Ok(()),
        Some(_) => Err(Rejection::UnderNotice { appliance: start.to.clone() }),
    }
}

fn check_automatic(group: &Group, kind: OperationKind, time: WallTime) -> Result<(), Rejection> {
    let policy = &group.spec.policy;
    let because = if group.mode == Trigger::Manual {
        Reason::ManualMode
    } else if group.frozen.is_some() {
        Reason::Frozen
    } else if matches!(kind, OperationKind::Failover | OperationKind::Switchover)
        && policy.failover == Trigger::Manual
    {
        Reason::FailoverManual
    } else if kind == OperationKind::Failback && policy.failback == Trigger::Manual {
        Reason::FailbackManual
    } else if kind != OperationKind::Activation && group.flap_budget_spent(time) {
        let window_ms = u64::try_from(policy.flap_window.as_millis()).unwrap_or(u64::MAX);
        Reason::FlapBudgetSpent { moves: policy.flap_moves, window_ms }
    } else {
        return Ok(());
    };
    Err(Rejection::NotAutomatic { group: group.spec.name.clone(), because })
}

/// Ends the running operation, if any, in favour of the one that starts at this index.
/// Returns what a cloud may still be at work on: that goes on, whatever it was for.
fn supersede(group: &mut Group, log: &mut Log) -> BTreeMap<String, String> {
    let Some(mut old) = group.operation.take() else { return BTreeMap::new() };
    let under_way = std::mem::take(&mut old.under_way);
    let by = OperationId(log.index);
    old.ended = Some((log.at, Ending::Superseded(by)));
    let took = log.at.since(old.started);
    let body = EventBody::OperationSuperseded { kind: old.kind, to: old.to.clone(), by, took };
    log.push(Level::Warning, &group.spec.name, About::appliance(&old.to).during(Some(old.id)), body);
    keep_ended(group, old);
    under_way
}

/// Moves an ended operation to the group's list of them.
pub(super) fn keep_ended(group: &mut Group, operation: Operation) {
    group.ended.push_back(operation);
    while group.ended.len() > KEPT_OPERATIONS {
        group.ended.pop_front();
    }
}

fn grant(group: &mut Group, log: &mut Log, start: &StartOperation) {
    let id = OperationId(log.index);
    let fence = group.active.clone().filter(|from| fencing::due_at_start(group, start.kind, from));
    let under_way = supersede(group, log);
    paths::on_move(group, start.kind);
    let from = group.active.replace(start.to.clone());
    if let Some(from) = &from {
        // While anyone else was unreleased, `from` was never granted the lease: it waited (see
        // `LeaseTable::answer`). So a move that is turned back halfway waits for nobody.
        let never_granted = group.unreleased.keys().any(|holder| holder != from);
        if group.spec.needs_lease() && !never_granted {
            group.unreleased.insert(from.clone(), group.token);
        }
    }
    // The new active may keep what it has: it waits for the others, not for itself.
    group.unreleased.remove(&start.to);
    group.fencing.remove(&start.to);
    reliance::granted(group, &start.to);
    group.token = id.token();
    group.hold = None;
    if automatic(start.kind, &log.actor) && start.kind != OperationKind::Activation {
        let window = group.spec.policy.flap_window;
        group.automatic_moves.retain(|at| log.at.since(*at) < window);
        group.automatic_moves.push_back(log.at);
    }
    let step = |name: &crate::ids::BindingName| Step {
        binding: name.clone(),
        done: None,
        attempts: 0,
        took: std::time::Duration::ZERO,
        error: None,
    };
    let operation = Operation {
        id,
        kind: start.kind,
        from,
        to: start.to.clone(),
        actor: log.actor.clone(),
        reason: start.reason.clone(),
        because: start.because.iter().take(MAX_EVIDENCE).cloned().collect(),
        evidence: bounded(&start.evidence),
        started: log.at,
        ended: None,
        released: None,
        under_way,
        traffic: None,
        steps: group.spec.bindings.iter().map(|b| step(&b.name)).collect(),
    };
    let body = EventBody::OperationStarted {
        kind: operation.kind,
        from: operation.from.clone(),
        to: operation.to.clone(),
        supersedes: start.supersedes,
        reason: operation.reason.clone(),
        because: operation.because.clone(),
        evidence: operation.evidence.clone(),
    };
    let level = match start.kind {
        OperationKind::Failover | OperationKind::ForcedSwitchover => Level::Alert,
        _ => Level::Info,
    };
    log.push(level, &group.spec.name, About::appliance(&start.to).during(Some(id)), body);
    group.operation = Some(operation);
    if let Some(from) = fence {
        fencing::ask(group, log, &from);
    }
}

/// Evidence as it goes into the log: bounded in number and in length.
pub(crate) fn bounded(evidence: &[Evidence]) -> Vec<Evidence> {
    let clipped = |e: &Evidence| Evidence { detail: clip(&e.detail), ..e.clone() };
    evidence.iter().take(MAX_EVIDENCE).map(clipped).collect()
}
