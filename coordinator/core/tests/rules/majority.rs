//! From the vantages' reports to the group verdict.

use std::time::Duration;

use coordinator_core::decide::Observations;
use coordinator_core::ids::NodeId;
use coordinator_core::observe::{Sight, VantageReport, Verdict, group_verdict};
use coordinator_core::time::Mono;

use crate::common::appliance;

const NOW: Mono = Mono::from_millis(60_000);
const FRESH: Duration = Duration::from_secs(3);

/// What each vantage says of `fw-a` and `fw-b`, and the verdict on `fw-a`. `U` up, `D` down, `u`
/// unknown, `.` nothing; a vantage that is missing has never reported.
#[test]
fn a_majority_of_all_vantages_decides() {
    for (of, reports, expected) in [
        (3, "UU UU UU", Verdict::Up),
        (3, "DU DU DU", Verdict::Down),
        (3, "DU DU UU", Verdict::Down),
        (3, "DU UU UU", Verdict::Up),
        (3, "DU DU", Verdict::Down),
        (3, "DU", Verdict::Unknown),
        (3, "", Verdict::Unknown),
        (3, "DU uU UU", Verdict::Unknown),
        (3, "DU .U UU", Verdict::Unknown),
        // Isolated vantages do not count against those that see.
        (3, "DD DU UU", Verdict::Unknown),
        (3, "DD DD UU", Verdict::Unknown),
        (3, "DD DU DU", Verdict::Down),
        // Nobody sees anything: everything is down.
        (3, "DD DD DD", Verdict::Down),
        (3, "DD DD", Verdict::Down),
        (3, "DD", Verdict::Unknown),
        // An even number needs more than half.
        (4, "DU DU UU UU", Verdict::Unknown),
        (4, "DU DU DU UU", Verdict::Down),
        (1, "DU", Verdict::Down),
        (0, "", Verdict::Unknown),
    ] {
        let seen = group_verdict(&observations(of, reports, 0), &appliance("fw-a"), NOW, FRESH);
        assert_eq!(seen.verdict, expected, "{of}: {reports}");
        assert_eq!(seen.of, of);
    }
}

#[test]
fn a_report_out_of_date_does_not_count() {
    let at_age = |age| group_verdict(&observations(3, "DU DU DU", age), &appliance("fw-a"), NOW, FRESH);
    assert_eq!(at_age(3_000).verdict, Verdict::Down);
    let stale = at_age(3_001);
    assert_eq!((stale.verdict, stale.evidence.len(), stale.lastingly_unknown), (Verdict::Unknown, 0, false));
    assert!(!at_age(9_000).lastingly_unknown);
    assert!(at_age(9_001).lastingly_unknown);
}

#[test]
fn a_leader_without_reports_does_not_call_that_unknown() {
    let seen = group_verdict(&observations(3, "", 0), &appliance("fw-a"), NOW, FRESH);
    assert_eq!((seen.verdict, seen.lastingly_unknown), (Verdict::Unknown, false));
    let say_so = group_verdict(&observations(3, "uU uU UU", 0), &appliance("fw-a"), NOW, FRESH);
    assert!(say_so.lastingly_unknown);
}

#[test]
fn a_report_from_outside_the_quorum_does_not_count() {
    let mut observations = observations(3, "DU DU", 0);
    observations.vantages = [1, 4, 5].map(NodeId).into();
    let seen = group_verdict(&observations, &appliance("fw-a"), NOW, FRESH);
    assert_eq!((seen.verdict, seen.vantages_agreeing), (Verdict::Unknown, 1));
}

fn observations(of: u32, reports: &str, age_ms: u64) -> Observations {
    let about = NOW.minus(Duration::from_millis(age_ms));
    let sight = |(i, c): (usize, char)| {
        let verdict = match c {
            'U' => Verdict::Up,
            'D' => Verdict::Down,
            'u' => Verdict::Unknown,
            _ => return None,
        };
        Some(Sight { appliance: appliance(["fw-a", "fw-b"][i]), verdict, detail: String::new() })
    };
    let report = |text: &str| VantageReport::new(about, text.chars().enumerate().filter_map(sight));
    Observations {
        vantages: (1..=u64::from(of)).map(NodeId).collect(),
        reports: (1..).map(NodeId).zip(reports.split_whitespace().map(report)).collect(),
    }
}
