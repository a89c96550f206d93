//! The progress of a running operation: releases, steps, and its end.

use super::operations::keep_ended;
use super::{About, Log, Rejection};
use crate::command::{CallRecord, RecordStep, ReleaseProof, StepOutcome};
use crate::event::{EventBody, Level};
use crate::ids::{ApplianceName, Token};
use crate::state::{Ending, Group};
use crate::text::clip;

/// Calls kept per attempt: a cloud move takes a handful, and this leaves room for its retries.
const MAX_CALLS: usize = 64;

pub(super) fn release(
    group: &mut Group,
    log: &mut Log,
    appliance: &ApplianceName,
    token: Token,
    proof: ReleaseProof,
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    if token != group.token {
        return Err(Rejection::StaleToken { group: name, expected: token, current: group.token });
    }
    if group.unreleased.remove(appliance).is_none() {
        return Err(Rejection::NothingToRelease { group: name, appliance: appliance.clone() });
    }
    let running = group.operation.as_mut();
    let took = running.as_ref().map(|o| log.at.since(o.started)).unwrap_or_default();
    let about = About::appliance(appliance).during(running.as_ref().map(|o| o.id));
    log.push(Level::Info, &name, about, EventBody::Released { token, proof, took });
    if let Some(operation) = running
        && group.unreleased.is_empty()
    {
        operation.released = Some((log.at, proof));
    }
    complete(group, log);
    Ok(())
}

pub(super) fn step(group: &mut Group, log: &mut Log, record: &RecordStep) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    let not_running = || Rejection::NotRunning { group: name.clone(), asked: record.operation };
    let Some(binding) = group.spec.binding(&record.binding) else {
        return Err(Rejection::UnknownBinding { group: name, binding: record.binding.clone() });
    };
    let leased = binding.kind.needs_lease();
    let operation = group.operation.as_mut().filter(|o| o.id == record.operation).ok_or_else(not_running)?;
    if leased
        && record.outcome == StepOutcome::Done
        && let Some(holder) = group.unreleased.keys().next()
    {
        let (binding, holder) = (record.binding.clone(), holder.clone());
        return Err(Rejection::NotReleased { group: name, binding, holder });
    }
    let Some(step) = operation.steps.iter_mut().find(|s| s.binding == record.binding) else {
        return Err(Rejection::UnknownBinding { group: name, binding: record.binding.clone() });
    };
    if step.done.is_some() {
        // A repeat, or the late failure of an attempt that another one overtook.
        return Ok(());
    }
    step.attempts = step.attempts.saturating_add(1);
    step.took = record.took;
    let about = About::appliance(&operation.to).during(Some(operation.id));
    let (binding, took, calls) = (record.binding.clone(), record.took, bounded(&record.calls));
    match &record.outcome {
        StepOutcome::Done => {
            step.done = Some(log.at);
            step.error = None;
            let body = EventBody::StepDone { binding, attempts: step.attempts, took, calls };
            log.push(Level::Info, &name, about, body);
        }
        StepOutcome::Failed { error } => {
            let error = clip(error);
            step.error = Some(error.clone());
            let body = EventBody::StepFailed { binding, attempt: step.attempts, error, took, calls };
            log.push(Level::Warning, &name, about, body);
        }
    }
    complete(group, log);
    Ok(())
}

/// Ends the running operation once every binding has moved and nobody else may hold the lease.
fn complete(group: &mut Group, log: &mut Log) {
    if !group.unreleased.is_empty() {
        return;
    }
    let Some(mut operation) = group.operation.take_if(|o| o.all_done()) else { return };
    operation.ended = Some((log.at, Ending::Completed));
    group.moved_at = Some(log.at);
    group.hold = None;
    let body = EventBody::OperationCompleted {
        kind: operation.kind,
        from: operation.from.clone(),
        to: operation.to.clone(),
        took: log.at.since(operation.started),
    };
    let about = About::appliance(&operation.to).during(Some(operation.id));
    log.push(Level::Info, &group.spec.name, about, body);
    keep_ended(group, operation);
}

fn bounded(calls: &[CallRecord]) -> Vec<CallRecord> {
    let clipped = |c: &CallRecord| CallRecord { call: clip(&c.call), result: clip(&c.result), took: c.took };
    calls.iter().take(MAX_CALLS).map(clipped).collect()
}
