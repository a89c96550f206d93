//! VIPs: there is nothing to write. Each nva-agent pulls its lease, and what it reports is what
//! is read here.

use std::time::Duration;

use coordinator_api::agent::AgentReport;
use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::lease::proves_release;

use crate::contract::Pointing;

/// The newest report of each agent.
pub trait AgentDirectory {
    /// The report and its age; `None` when the agent has not reported to this node.
    fn newest(&self, appliance: &ApplianceName) -> Option<(AgentReport, Duration)>;
}

/// Whether the report shows the appliance carrying the group's VIPs under exactly `token`.
///
/// `freshest` is the greatest age that counts: a report says nothing about now if it is older
/// than a lease lasts. Another token's lease does not count, not even a higher one's: that one
/// belongs to another operation.
pub fn vip_holds(report: &AgentReport, age: Duration, freshest: Duration, token: Token) -> bool {
    age <= freshest && report.holding == Some(token) && report.vips_up
}

/// Whether the report proves that the appliance has released every lease older than `token`, for
/// good. Its age does not matter: an agent that has stored `token` refuses older grants forever.
pub fn vip_released(report: &AgentReport, token: Token) -> bool {
    proves_release(report.held(), token)
}

/// Where the VIPs of a group point, by the agents of its `appliances`, and under which token.
///
/// Of several holders (an old one whose report is still fresh, and a new one) the one with the
/// highest token is given.
pub fn vip_pointing<'a>(
    directory: &dyn AgentDirectory,
    appliances: impl IntoIterator<Item = &'a ApplianceName>,
    freshest: Duration,
) -> (Pointing, Option<Token>) {
    let holder = appliances
        .into_iter()
        .filter_map(|appliance| {
            let (report, age) = directory.newest(appliance)?;
            let token = report.holding?;
            vip_holds(&report, age, freshest, token).then_some((token, appliance))
        })
        .max();
    match holder {
        Some((token, appliance)) => (Pointing::At(appliance.clone()), Some(token)),
        None => (Pointing::Nowhere, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Reports(BTreeMap<ApplianceName, (AgentReport, Duration)>);

    impl AgentDirectory for Reports {
        fn newest(&self, appliance: &ApplianceName) -> Option<(AgentReport, Duration)> {
            self.0.get(appliance).cloned()
        }
    }

    const FRESH: Duration = Duration::from_secs(3);

    fn report(appliance: &str, highest: u64, holding: Option<u64>) -> AgentReport {
        AgentReport {
            appliance: appliance.parse().unwrap(),
            boot: 1,
            seq: 1,
            version: String::new(),
            highest: Token(highest),
            holding: holding.map(Token),
            vips_up: holding.is_some(),
            faults: Vec::new(),
            revision: 0,
            via: None,
            peers: Vec::new(),
            notices: Vec::new(),
        }
    }

    #[test]
    fn only_a_fresh_report_of_the_same_token_with_the_vips_up_shows_a_hold() {
        let holds = |r: &AgentReport, age_ms| vip_holds(r, Duration::from_millis(age_ms), FRESH, Token(7));
        let good = report("fw-a", 7, Some(7));
        assert!(holds(&good, 3000));
        assert!(!holds(&good, 3001));
        assert!(!holds(&report("fw-a", 6, Some(6)), 0));
        assert!(!holds(&report("fw-a", 8, Some(8)), 0));
        assert!(!holds(&report("fw-a", 7, None), 0));
        assert!(!holds(&AgentReport { vips_up: false, ..good }, 0));
    }

    #[test]
    fn a_release_needs_the_new_token_on_disk() {
        assert!(vip_released(&report("fw-a", 7, None), Token(7)));
        assert!(!vip_released(&report("fw-a", 6, None), Token(7)));
        assert!(!vip_released(&report("fw-a", 7, Some(7)), Token(7)));
    }

    #[test]
    fn the_vips_point_at_the_holder_of_the_highest_token() {
        let (a, b): (ApplianceName, ApplianceName) = ("fw-a".parse().unwrap(), "fw-b".parse().unwrap());
        let mut reports = Reports(BTreeMap::new());
        assert_eq!(vip_pointing(&reports, [&a, &b], FRESH), (Pointing::Nowhere, None));
        reports.0.insert(a.clone(), (report("fw-a", 5, Some(5)), Duration::ZERO));
        reports.0.insert(b.clone(), (report("fw-b", 7, Some(7)), Duration::ZERO));
        assert_eq!(vip_pointing(&reports, [&a, &b], FRESH), (Pointing::At(b), Some(Token(7))));
    }
}
