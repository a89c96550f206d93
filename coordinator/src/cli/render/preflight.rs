//! A preflight: what is wrong in full, what is right as a number.

use coordinator_api::v1::{CheckItem, CheckVerdict, Preflight};

use super::paint::Paint;
use super::span::span;

/// `pointsman preflight`. `all` shows what passed as well.
pub(in crate::cli) fn preflight(done: &Preflight, all: bool, paint: Paint) -> String {
    let mut text = String::new();
    let mut title = None;
    for item in done.items.iter().filter(|item| all || item.verdict != CheckVerdict::Pass) {
        let of = item.group.as_ref().map_or_else(|| "CLUSTER".to_owned(), |group| format!("GROUP {group}"));
        if title.as_ref() != Some(&of) {
            if title.is_some() {
                text.push('\n');
            }
            text.push_str(&format!("{}\n", paint.faint(&of)));
            title = Some(of);
        }
        text.push_str(&lines(item, paint));
    }
    if title.is_some() {
        text.push('\n');
    }
    let count = |verdict| done.items.iter().filter(|item| item.verdict == verdict).count();
    let (failed, warned, passed) =
        (count(CheckVerdict::Fail), count(CheckVerdict::Warn), count(CheckVerdict::Pass));
    let counted = |n: usize, word: &str, painted: fn(Paint, String) -> String| {
        let shown = format!("{n} {word}");
        if n > 0 { painted(paint, shown) } else { shown }
    };
    text.push_str(&format!(
        "{}, {}, {}   by coordinator {} in {}\n",
        counted(failed, "failed", Paint::bad),
        counted(warned, "warned", Paint::warn),
        counted(passed, "passed", Paint::good),
        done.leader,
        span(done.took_ms),
    ));
    text
}

fn lines(item: &CheckItem, paint: Paint) -> String {
    let verdict = match item.verdict {
        CheckVerdict::Pass => paint.good("pass"),
        CheckVerdict::Warn => paint.warn("warn"),
        CheckVerdict::Fail => paint.bad("FAIL"),
    };
    let by = item.coordinator.map(|node| format!(" [coordinator {node}]")).unwrap_or_default();
    let mut text =
        format!("  {verdict}  {}  {}{by}: {}\n", paint.strong(&item.check), item.subject, item.found);
    if !item.advice.is_empty() {
        text.push_str(&format!("        → {}\n", item.advice));
    }
    text
}
