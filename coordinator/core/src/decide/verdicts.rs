//! Which verdicts to record.

use super::plan::Plan;
use super::view::View;
use crate::command::CommandBody;
use crate::observe::Verdict;
use crate::reason::Reason;

/// Records each verdict that differs from the log. An unknown one only when it lasts: a new
/// leader has no reports at first, and that says nothing about the appliances.
pub(super) fn record(view: &View<'_>, plan: &mut Plan) {
    for (name, seen) in view.observed() {
        if seen.verdict == view.group.verdict(name) {
            continue;
        }
        if seen.verdict == Verdict::Unknown && !seen.lastingly_unknown {
            continue;
        }
        plan.because(view.why(name));
        plan.because(Reason::VerdictChanging { appliance: name.clone() });
        plan.propose(CommandBody::RecordVerdict {
            group: view.group.spec.name.clone(),
            appliance: name.clone(),
            verdict: seen.verdict,
            evidence: seen.evidence.clone(),
        });
    }
}
