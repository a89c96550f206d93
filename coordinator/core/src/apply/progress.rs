//! The progress of a running operation: releases, steps, and its end.

use super::operations::keep_ended;
use super::{About, Log, Rejection, reliance};
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
    let held = group.unreleased.contains_key(appliance);
    let appliance_of = |appliance: &ApplianceName| (name.clone(), appliance.clone());
    match proof {
        ReleaseProof::Confirmed if held || group.fencing.contains_key(appliance) => {}
        ReleaseProof::Expired if held && group.expiry_counts(appliance) => {}
        ReleaseProof::Expired if held => {
            let (group, appliance) = appliance_of(appliance);
            return Err(Rejection::FencingFirst { group, appliance });
        }
        // The other two are proved by commands of their own.
        _ => {
            let (group, appliance) = appliance_of(appliance);
            return Err(Rejection::NothingToRelease { group, appliance });
        }
    }
    settle(group, log, appliance, proof);
    Ok(())
}

/// Nothing waits for `appliance` any more, by this proof.
pub(super) fn settle(group: &mut Group, log: &mut Log, appliance: &ApplianceName, proof: ReleaseProof) {
    group.unreleased.remove(appliance);
    group.fencing.remove(appliance);
    // That a lease is over says nothing of one who goes on without.
    if proof != ReleaseProof::Expired {
        group.relies.remove(appliance);
    }
    let running = group.operation.as_mut();
    let took = running.as_ref().map(|o| log.at.since(o.started)).unwrap_or_default();
    let about = About::appliance(appliance).during(running.as_ref().map(|o| o.id));
    let body = EventBody::Released { token: group.token, proof, took };
    log.push(Level::Info, &group.spec.name, about, body);
    if let Some(operation) = running
        && group.unreleased.is_empty()
        && group.fencing.is_empty()
    {
        operation.released = Some((log.at, proof));
    }
    complete(group, log);
}

pub(super) fn step(group: &mut Group, log: &mut Log, record: &RecordStep) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    let not_running = || Rejection::NotRunning { group: name.clone(), asked: record.operation };
    let Some(binding) = group.spec.binding(&record.binding) else {
        return Err(Rejection::UnknownBinding { group: name, binding: record.binding.clone() });
    };
    let leased = binding.kind.needs_lease();
    let fenced = group.waits_for_fencing().map(|(holder, _)| holder);
    let holder = if leased { fenced.or(group.unreleased.keys().next()) } else { fenced }.cloned();
    let operation = group.operation.as_mut().filter(|o| o.id == record.operation).ok_or_else(not_running)?;
    if record.outcome == StepOutcome::Done
        && let Some(holder) = holder
    {
        let binding = record.binding.clone();
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
            if leased {
                let to = operation.to.clone();
                reliance::held(group, &to);
            }
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

/// Ends the running operation once every binding has moved, nobody else may hold the lease, and
/// nobody has to be switched off first.
fn complete(group: &mut Group, log: &mut Log) {
    // The second never decides: no step is done while it is so. It is said once more, because this
    // is where the waiting ends.
    if !group.unreleased.is_empty() || group.waits_for_fencing().is_some() {
        return;
    }
    let Some(mut operation) = group.operation.take_if(|o| o.all_done()) else { return };
    operation.ended = Some((log.at, Ending::Completed));
    operation.under_way.clear();
    group.moved_at = Some(log.at);
    group.hold = None;
    // What was only preferred is not tried beyond the move that it was for.
    group.fencing.clear();
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

pub(crate) fn bounded(calls: &[CallRecord]) -> Vec<CallRecord> {
    let clipped = |c: &CallRecord| CallRecord { call: clip(&c.call), result: clip(&c.result), took: c.took };
    calls.iter().take(MAX_CALLS).map(clipped).collect()
}
