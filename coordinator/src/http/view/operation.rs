//! Operations.

use coordinator_api::v1::{CallView, OperationState, OperationView, ReleaseView, StepView, TrafficView};
use coordinator_core::command::CallRecord;
use coordinator_core::event::{Event, EventBody};
use coordinator_core::ids::BindingName;
use coordinator_core::state::{Group, Operation, Step};
use coordinator_core::time::WallTime;

use super::cluster::{at, millis};

/// One operation, without the calls of its steps. `now` ends the clock of a running one.
pub(in crate::http) fn operation_view(group: &Group, operation: &Operation, now: WallTime) -> OperationView {
    let ended = operation.ended;
    OperationView {
        id: operation.id,
        token: operation.id.token(),
        group: group.spec.name.clone(),
        kind: operation.kind,
        state: if ended.is_some() { OperationState::Ended } else { OperationState::Running },
        from: operation.from.clone(),
        to: operation.to.clone(),
        actor: operation.actor.clone(),
        reason: operation.reason.clone(),
        because: operation.because.iter().map(ToString::to_string).collect(),
        evidence: operation.evidence.clone(),
        started: at(operation.started),
        ended: ended.map(|(time, _)| at(time)),
        ending: ended.map(|(_, ending)| ending),
        took_ms: millis(ended.map_or(now, |(time, _)| time).since(operation.started)),
        released: operation.released.map(|(time, proof)| ReleaseView {
            at: at(time),
            after_ms: millis(time.since(operation.started)),
            proof,
        }),
        steps: operation.steps.iter().map(|step| step_view(operation, step)).collect(),
        traffic: operation.traffic.map(|(time, outcome)| TrafficView {
            at: at(time),
            after_ms: millis(time.since(operation.started)),
            outcome,
        }),
    }
}

fn step_view(operation: &Operation, step: &Step) -> StepView {
    StepView {
        binding: step.binding.clone(),
        done: step.done.map(at),
        after_ms: step.done.map(|time| millis(time.since(operation.started))),
        attempts: step.attempts,
        took_ms: millis(step.took),
        error: step.error.clone(),
        calls: Vec::new(),
    }
}

/// Adds the calls that the history recorded to each step. `events` of the operation, newest
/// first.
pub(in crate::http) fn add_calls(view: &mut OperationView, events: &[Event]) {
    for event in events.iter().rev() {
        let Some((binding, calls)) = calls_of(&event.body) else { continue };
        if let Some(step) = view.steps.iter_mut().find(|step| step.binding == *binding) {
            step.calls.extend(calls.iter().map(|call| CallView {
                call: call.call.clone(),
                result: call.result.clone(),
                took_ms: millis(call.took),
            }));
        }
    }
}

fn calls_of(body: &EventBody) -> Option<(&BindingName, &[CallRecord])> {
    match body {
        EventBody::StepDone { binding, calls, .. } | EventBody::StepFailed { binding, calls, .. } => {
            Some((binding, calls))
        }
        _ => None,
    }
}
