//! The path through the active appliance: what to record of it.

use super::plan::Plan;
use super::view::View;
use crate::command::CommandBody;
use crate::observe::Verdict;
use crate::state::{Ending, Traffic};

/// Records a verdict on the path that differs from the log, and whether traffic passes after the
/// newest move. Nothing while an operation runs: there is no path to speak of.
pub(super) fn record(view: &View<'_>, plan: &mut Plan) {
    let Some(path) = view.path() else { return };
    let group = view.group;
    let name = || group.spec.name.clone();
    let transient = path.seen.verdict == Verdict::Unknown && !path.seen.lastingly_unknown;
    if path.seen.verdict != group.path.verdict && !transient {
        plan.propose(CommandBody::RecordPath {
            group: name(),
            token: group.token,
            verdict: path.seen.verdict,
            evidence: path.seen.evidence.clone(),
        });
    }
    let Some(newest) = group.ended.back().filter(|o| o.traffic.is_none()) else { return };
    let Some((ended, Ending::Completed)) = newest.ended else { return };
    let traffic = if path.passed {
        Traffic::Restored
    } else if let Some(left) = view.remaining(ended, group.spec.policy.operation_timeout) {
        return plan.look_again_in(left);
    } else {
        Traffic::NotRestored
    };
    plan.propose(CommandBody::RecordTraffic { group: name(), operation: newest.id, traffic });
}
