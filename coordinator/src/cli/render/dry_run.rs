//! What a move would do.

use coordinator_api::v1::{DryRun, MoveEstimate, PlannedPart, Timings};

use super::group::difference;
use super::paint::Paint;
use super::span::span;

/// `pointsman switchover --dry-run`.
pub(in crate::cli) fn dry_run(dry: &DryRun, paint: Paint) -> String {
    let from = dry.from.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
    let kind = dry.kind.word();
    let Some(to) = &dry.to else {
        let mut text = format!(
            "{} of {} from {from} {}:\n",
            kind,
            paint.strong(&dry.group),
            paint.bad("would be refused")
        );
        text.extend(dry.refused.iter().map(|reason| format!("  - {reason}\n")));
        return text;
    };
    let mut text = format!(
        "{} {kind} of {} from {from} to {}\n",
        paint.faint("DRY RUN"),
        paint.strong(&dry.group),
        paint.strong(to)
    );
    text.extend(dry.because.iter().map(|reason| format!("  because {reason}\n")));
    text.extend(dry.first.iter().map(|first| format!("  first: {first}\n")));
    if dry.parts.len() > 1 {
        text.push_str(&format!("\n{} parts, all at the same time:\n", dry.parts.len()));
    }
    for part in &dry.parts {
        text.push('\n');
        text.push_str(&planned(part, paint));
    }
    text.push('\n');
    text.push_str(&estimate(&dry.estimate, paint));
    text.push_str("nothing was changed\n");
    text
}

fn planned(part: &PlannedPart, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.strong(&part.what));
    for (n, wave) in part.waves.iter().enumerate() {
        let at_once = if wave.len() > 1 { format!(", {} writes at once", wave.len()) } else { String::new() };
        text.push_str(&format!("  {}\n", paint.faint(format!("step {}{at_once}", n + 1))));
        for write in wave {
            text.push_str(&format!("    {}\n", write.what));
            for change in &write.changes {
                text.push_str(&format!("      {}\n", difference(change, paint)));
            }
        }
    }
    text.extend(part.problems.iter().map(|problem| format!("  {} {problem}\n", paint.bad("!"))));
    text
}

fn estimate(estimate: &MoveEstimate, paint: Paint) -> String {
    let words = |timings: &Timings| {
        let (median, worst) = (span(timings.median_ms), span(timings.worst_ms));
        format!("{median} as a rule, {worst} at worst ({} recorded)", timings.samples)
    };
    let mut text = match &estimate.total {
        Some(total) => format!("{} {}\n", paint.faint("IT WOULD TAKE"), words(total)),
        None => format!("{} unknown: no recorded timings of every step\n", paint.faint("IT WOULD TAKE")),
    };
    for step in &estimate.steps {
        let took = step.timings.as_ref().map_or_else(|| "no recorded timings".to_owned(), words);
        text.push_str(&format!("  {} {}: {took}\n", step.kind, step.binding));
    }
    text
}
