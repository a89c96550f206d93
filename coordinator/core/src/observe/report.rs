//! What one vantage told the leader, indexed for the lookups of a decision.

use std::collections::BTreeMap;

use super::{Sight, Verdict};
use crate::ids::ApplianceName;
use crate::time::Mono;

/// One vantage's report, as the leader holds it.
///
/// A decision asks for one appliance at a time, out of all that the vantage watches, so the sights
/// are kept by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VantageReport {
    /// The report is about a moment not earlier than this one on the leader's clock: it is treated
    /// as at least as old as it is.
    pub about: Mono,
    sights: BTreeMap<ApplianceName, Sight>,
    nothing_up: bool,
}

impl VantageReport {
    /// A report of these sights. Of two on one appliance the later one stands.
    pub fn new(about: Mono, sights: impl IntoIterator<Item = Sight>) -> VantageReport {
        let sights: BTreeMap<_, _> = sights.into_iter().map(|s| (s.appliance.clone(), s)).collect();
        let nothing_up = sights.len() >= 2 && sights.values().all(|s| s.verdict != Verdict::Up);
        VantageReport { about, sights, nothing_up }
    }

    /// Whether this vantage sees none of several appliances up: either it is cut off, or they
    /// are all down.
    pub fn sees_nothing_up(&self) -> bool {
        self.nothing_up
    }

    /// What it sees of one appliance, if anything.
    pub fn sight(&self, appliance: &ApplianceName) -> Option<&Sight> {
        self.sights.get(appliance)
    }

    /// Everything that it sees, by the appliances' names.
    pub fn sights(&self) -> impl Iterator<Item = &Sight> {
        self.sights.values()
    }

    /// Whether it says the same as `other`, whenever either was made.
    pub fn says_the_same(&self, other: &VantageReport) -> bool {
        self.sights == other.sights
    }
}
