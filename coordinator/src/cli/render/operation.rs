//! Operations.

use coordinator_api::v1::{OperationList, OperationState, OperationView, StepView};
use coordinator_core::command::{Actor, ReleaseProof};
use coordinator_core::state::{Ending, Traffic};

use super::cluster::dash;
use super::paint::Paint;
use super::span::{moment, span};
use super::table::Table;

/// `pointsman operations`.
pub(in crate::cli) fn operations(list: &OperationList, paint: Paint) -> String {
    if list.operations.is_empty() {
        return "no operations\n".to_owned();
    }
    let mut table =
        Table::new(&["ID", "STARTED", "GROUP", "KIND", "FROM", "TO", "BY", "TOOK", "STATE"], paint);
    for operation in &list.operations {
        table.row([
            operation.id.to_string(),
            moment(operation.started),
            operation.group.to_string(),
            operation.kind.word().to_owned(),
            operation.from.as_ref().map_or_else(dash, ToString::to_string),
            operation.to.to_string(),
            actor(&operation.actor),
            span(operation.took_ms),
            state(operation, paint),
        ]);
    }
    table.render()
}

/// Who asked, in a word or two.
pub(in crate::cli) fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Coordinator(node) => format!("coordinator {node}"),
        Actor::Operator(name) => name.clone(),
    }
}

fn state(operation: &OperationView, paint: Paint) -> String {
    match (operation.state, operation.ending) {
        (OperationState::Running, _) => {
            let done = operation.steps.iter().filter(|step| step.done.is_some()).count();
            paint.warn(format!("running, {done} of {} bindings moved", operation.steps.len()))
        }
        (_, Some(Ending::Superseded(by))) => paint.warn(format!("superseded by {by}")),
        _ => paint.good("completed"),
    }
}

/// `pointsman operations ID`.
pub(in crate::cli) fn operation(view: &OperationView, paint: Paint) -> String {
    let mut text = progress(view, paint);
    text.push_str(&format!("  started {} by {}", moment(view.started), actor(&view.actor)));
    if !view.reason.is_empty() {
        text.push_str(&format!(": {}", view.reason));
    }
    text.push('\n');
    for reason in &view.because {
        text.push_str(&format!("  because {reason}\n"));
    }
    for evidence in &view.evidence {
        let verdict = paint.verdict(evidence.verdict);
        let (name, node) = (&evidence.appliance, evidence.vantage);
        text.push_str(&format!("  {name} was {verdict} for coordinator {node}: {}\n", evidence.detail));
    }
    for step in view.steps.iter().filter(|step| !step.calls.is_empty()) {
        text.push_str(&format!("\n{}\n", calls(step, paint)));
    }
    text
}

fn calls(step: &StepView, paint: Paint) -> String {
    let mut table = Table::new(&["TOOK", "RESULT", "CALL"], paint);
    for call in &step.calls {
        table.row([span(call.took_ms), call.result.clone(), call.call.clone()]);
    }
    format!("calls for {}:\n{}", step.binding, table.render())
}

/// The operation in one line, and its steps.
pub(super) fn progress(view: &OperationView, paint: Paint) -> String {
    let from = view.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
    let mut text = format!(
        "{} {}   {} of {}{from} to {}   {}   {}\n",
        paint.faint("OPERATION"),
        view.id,
        view.kind.word(),
        paint.strong(&view.group),
        paint.strong(&view.to),
        state(view, paint),
        span(view.took_ms),
    );
    for line in steps(view, paint) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What has happened so far, one line each. A line never changes once it is there, so that only
/// new ones need to be shown.
pub(in crate::cli) fn steps(view: &OperationView, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(released), Some(from)) = (&view.released, &view.from) {
        let how = match released.proof {
            ReleaseProof::Confirmed => "its agent confirmed it",
            ReleaseProof::Expired => "its lease ran out",
            ReleaseProof::Fenced => "it was switched off",
            ReleaseProof::Operator => "an operator made sure that it is off",
        };
        lines.push(format!(
            "  {} {from} holds no lease after {} ({how})",
            paint.good("✓"),
            span(released.after_ms)
        ));
    }
    for step in &view.steps {
        lines.extend(step_line(view, step, paint));
    }
    if let Some(traffic) = &view.traffic {
        let after = span(traffic.after_ms);
        lines.push(match traffic.outcome {
            Traffic::Restored => {
                format!("  {} traffic passes through {} after {after}", paint.good("✓"), view.to)
            }
            Traffic::NotRestored => {
                format!("  {} no traffic was seen to pass through {} after {after}", paint.bad("✗"), view.to)
            }
        });
    }
    lines
}

fn step_line(view: &OperationView, step: &StepView, paint: Paint) -> Option<String> {
    let tries = |n: u32| if n == 1 { "1 attempt".to_owned() } else { format!("{n} attempts") };
    match (step.after_ms, &step.error) {
        (Some(after), _) => Some(format!(
            "  {} {} points at {} after {} ({})",
            paint.good("✓"),
            step.binding,
            view.to,
            span(after),
            tries(step.attempts)
        )),
        (None, Some(error)) => {
            Some(format!("  {} {}, attempt {}: {error}", paint.bad("✗"), step.binding, step.attempts))
        }
        (None, None) => None,
    }
}

/// How it ended, in one line.
pub(in crate::cli) fn ending(view: &OperationView, paint: Paint) -> String {
    match view.ending {
        Some(Ending::Superseded(by)) => {
            format!("{} after {}: operation {by} took over\n", paint.warn("superseded"), span(view.took_ms))
        }
        _ => format!(
            "{}: {} is active in {}, after {}\n",
            paint.good("done"),
            paint.strong(&view.to),
            view.group,
            span(view.took_ms)
        ),
    }
}
