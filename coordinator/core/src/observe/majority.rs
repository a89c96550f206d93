//! From the vantages' reports to the group verdict.

use std::time::Duration;

use super::{Evidence, PathSight, VantageReport, Verdict};
use crate::decide::Observations;
use crate::ids::{ApplianceName, GroupName, Token};
use crate::state::Group;
use crate::text::clip;
use crate::time::Mono;

/// A report that has not been renewed for this many times the freshness says that the vantage
/// knows nothing, rather than that a message is late.
const LASTING: u32 = 3;

const ISOLATED: &str = " (not counted: this vantage sees no appliance at all)";

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
    tally(observations, appliance, now, freshness, |report| {
        report.sight(appliance).map(|sight| (sight.verdict, sight.detail.as_str()))
    })
}

/// What all vantages together hold to be true of the path through an active appliance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct PathVerdict {
    /// Counted as for an appliance.
    pub seen: GroupVerdict,
    /// A majority of all vantages got through at least once under the present grant.
    pub passed: bool,
}

/// Combines the reports on the path through `active`, the holder of the active role. Only what was
/// seen under the group's present token counts: a path is another one after each move.
pub fn path_verdict(
    observations: &Observations,
    group: &Group,
    active: &ApplianceName,
    now: Mono,
    freshness: Duration,
) -> PathVerdict {
    let path = |report| path_under(report, &group.spec.name, group.token);
    let seen = tally(observations, active, now, freshness, |report| {
        // One that got through and has not made up its mind yet knows something.
        let decided = path(report).filter(|sight| !(sight.passed && sight.verdict == Verdict::Unknown));
        decided.map(|sight| (sight.verdict, sight.detail.as_str()))
    });
    let fresh = observations.voting().filter(|(_, report)| now.since(report.about) <= freshness);
    let passed = fresh.filter(|(_, report)| path(report).is_some_and(|sight| sight.passed)).count();
    PathVerdict { seen, passed: passed >= majority(observations.vantages.len()) }
}

fn path_under<'a>(report: &'a VantageReport, group: &GroupName, token: Token) -> Option<&'a PathSight> {
    report.path(group).filter(|sight| sight.token == token)
}

/// Counts what `said` finds in each report.
fn tally<'a>(
    observations: &'a Observations,
    appliance: &ApplianceName,
    now: Mono,
    freshness: Duration,
    said: impl Fn(&'a VantageReport) -> Option<(Verdict, &'a str)>,
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
        let Some((verdict, detail)) = said(report) else { continue };
        let isolated = anyone_sees && report.sees_nothing_up();
        match verdict {
            Verdict::Up => up += 1,
            Verdict::Down if !isolated => down += 1,
            Verdict::Down | Verdict::Unknown => {}
        }
        let kept = if isolated { &mut uncounted } else { &mut evidence };
        kept.push(Evidence {
            vantage: *vantage,
            appliance: appliance.clone(),
            verdict,
            detail: clip(&if isolated { format!("{detail}{ISOLATED}") } else { detail.to_owned() }),
            age_ms: u64::try_from(now.since(report.about).as_millis()).unwrap_or(u64::MAX),
        });
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
        old || is_fresh(report) && said(report).is_some_and(|(verdict, _)| verdict == Verdict::Unknown)
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

/// The instants at which the verdicts on these reports change by the passing of time alone.
pub(crate) fn changes_at(report: &VantageReport, freshness: Duration) -> [Mono; 2] {
    let tick = Duration::from_millis(1);
    let after = |span: Duration| report.about.plus(span).plus(tick);
    [after(freshness), after(freshness.saturating_mul(LASTING))]
}
