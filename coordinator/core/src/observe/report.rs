//! What one vantage told the leader, indexed for the lookups of a decision.

use std::collections::BTreeMap;

use super::{PathSight, Sight, Verdict};
use crate::ids::{ApplianceName, GroupName};
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
    paths: BTreeMap<GroupName, PathSight>,
    nothing_up: bool,
}

impl VantageReport {
    /// A report of these sights. Of two on one appliance the later one stands.
    pub fn new(about: Mono, sights: impl IntoIterator<Item = Sight>) -> VantageReport {
        let sights: BTreeMap<_, _> = sights.into_iter().map(|s| (s.appliance.clone(), s)).collect();
        let nothing_up = sights.len() >= 2 && sights.values().all(|s| s.verdict != Verdict::Up);
        VantageReport { about, sights, paths: BTreeMap::new(), nothing_up }
    }

    /// The same report with what is seen of paths.
    pub fn with_paths(self, paths: impl IntoIterator<Item = PathSight>) -> VantageReport {
        VantageReport { paths: paths.into_iter().map(|p| (p.group.clone(), p)).collect(), ..self }
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

    /// What it sees of the path through a group's active appliance, if anything.
    pub fn path(&self, group: &GroupName) -> Option<&PathSight> {
        self.paths.get(group)
    }

    /// Whether it says the same as `other`, whenever either was made.
    pub fn says_the_same(&self, other: &VantageReport) -> bool {
        self.sights == other.sights && self.paths == other.paths
    }
}
