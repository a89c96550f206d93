//! From the vantages' reports to the group verdict.

use std::time::Duration;

use super::{Evidence, Sight, VantageReport, Verdict};
use crate::decide::Observations;
use crate::ids::{ApplianceName, NodeId};
use crate::text::clip;
use crate::time::Mono;

/// A report that has not been renewed for this many times the freshness says that the vantage
/// knows nothing, rather than that a message is late.
const LASTING: u32 = 3;

/// What all vantages together hold to be true of an appliance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct GroupVerdict {
    /// Up or down when a majority of all vantages says so with fresh reports.
    pub verdict: Verdict,
    /// How many say so; for an unknown verdict, the most that agree on up or on down.
    pub vantages_agreeing: u32,
    /// All vantages, whether they report or not.
    pub of: u32,
    /// What each fresh vantage said, by its number, those that were not counted last.
    pub evidence: Vec<Evidence>,
    /// A majority of vantages has known nothing for some time. False for a new leader that has
    /// no reports yet: an unknown verdict then means only that it must wait.
    pub lastingly_unknown: bool,
}

/// How many of `of` vantages are a majority.
pub fn majority(of: usize) -> usize {
    of / 2 + 1
}

/// Combines the reports on `appliance`: a majority of *all* vantages must agree, each with a
/// report not older than `freshness`.
pub fn group_verdict(
    observations: &Observations,
    appliance: &ApplianceName,
    now: Mono,
    freshness: Duration,
) -> GroupVerdict {
    let of = observations.vantages.len();
    let reports: Vec<_> = observations.voting().collect();
    let is_fresh = |report: &VantageReport| now.since(report.about) <= freshness;
    let fresh: Vec<_> = reports.iter().copied().filter(|(_, r)| is_fresh(r)).collect();
    // When every fresh vantage sees nothing up, nothing is up; when some do, they are cut off.
    let anyone_sees = fresh.iter().any(|(_, r)| !r.sees_nothing_up());
    let mut up = 0;
    let mut down = 0;
    let mut evidence = Vec::new();
    let mut uncounted = Vec::new();
    for (vantage, report) in &fresh {
        let Some(sight) = report.sight(appliance) else { continue };
        let isolated = anyone_sees && report.sees_nothing_up();
        match sight.verdict {
            Verdict::Up => up += 1,
            Verdict::Down if !isolated => down += 1,
            Verdict::Down | Verdict::Unknown => {}
        }
        let kept = if isolated { &mut uncounted } else { &mut evidence };
        kept.push(piece(*vantage, sight, isolated, now.since(report.about)));
    }
    evidence.append(&mut uncounted);
    let needed = majority(of);
    let verdict = match (up >= needed, down >= needed) {
        (true, false) => Verdict::Up,
        (false, true) => Verdict::Down,
        _ => Verdict::Unknown,
    };
    let know_nothing = reports.iter().filter(|(_, report)| {
        let old = now.since(report.about) > freshness.saturating_mul(LASTING);
        old || is_fresh(report) && report.sight(appliance).is_some_and(|s| s.verdict == Verdict::Unknown)
    });
    let lastingly_unknown = verdict == Verdict::Unknown && know_nothing.count() >= needed;
    let agreeing = up.max(down);
    GroupVerdict {
        verdict,
        vantages_agreeing: u32::try_from(agreeing).unwrap_or(u32::MAX),
        of: u32::try_from(of).unwrap_or(u32::MAX),
        evidence,
        lastingly_unknown,
    }
}

fn piece(vantage: NodeId, sight: &Sight, isolated: bool, age: Duration) -> Evidence {
    let note = if isolated { " (not counted: this vantage sees no appliance at all)" } else { "" };
    Evidence {
        vantage,
        appliance: sight.appliance.clone(),
        verdict: sight.verdict,
        detail: clip(&format!("{}{note}", sight.detail)),
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The instants at which the verdicts on these reports change by the passing of time alone.
pub(crate) fn changes_at(report: &VantageReport, freshness: Duration) -> [Mono; 2] {
    let tick = Duration::from_millis(1);
    let after = |span: Duration| report.about.plus(span).plus(tick);
    [after(freshness), after(freshness.saturating_mul(LASTING))]
}
