//! From samples to verdicts.
//!
//! A coordinator feeds each probe result into a [`ProbeTrack`] (rise and fall thresholds) and
//! combines the tracks of an appliance into its own verdict. The leader combines the verdicts
//! of all vantages into the group verdict: a majority of *all* coordinators must agree, with
//! fresh reports. The path through the active appliance is judged in the same way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ApplianceName, GroupName, NodeId, Token};

mod dating;
mod finding;
mod majority;
mod paths;
mod report;
mod track;
mod watch;

pub use dating::made_at;
pub(crate) use majority::changes_at;
pub use majority::{GroupVerdict, PathVerdict, group_verdict, majority, path_verdict};
pub use report::VantageReport;
pub use track::{Outcome, ProbeTrack};
pub use watch::Watch;

/// What is held to be true of an appliance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not enough is known, so nothing may follow from it.
    #[default]
    Unknown,
    /// It passes its probes.
    Up,
    /// It fails them.
    Down,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Unknown => "unknown",
            Verdict::Up => "up",
            Verdict::Down => "down",
        })
    }
}

/// What one vantage said of one appliance, kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The coordinator that looked.
    pub vantage: NodeId,
    /// The appliance it looked at.
    pub appliance: ApplianceName,
    /// What it concluded.
    pub verdict: Verdict,
    /// The deciding probe and its result, for instance `tcp 10.0.0.4:22: connection refused`.
    pub detail: String,
    /// Age of the report when the leader used it, in milliseconds.
    pub age_ms: u64,
}

/// What a vantage sees of one appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// The appliance.
    pub appliance: ApplianceName,
    /// This vantage's verdict.
    pub verdict: Verdict,
    /// The deciding probe and its result, in words.
    pub detail: String,
}

/// What a vantage sees of the path through a group's active appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathSight {
    /// The group.
    pub group: GroupName,
    /// The grant under which it was seen, with no operation running.
    pub token: Token,
    /// This vantage's verdict.
    pub verdict: Verdict,
    /// Whether every probe of the path has passed at least once under this grant.
    pub passed: bool,
    /// The deciding probe and its result, in words.
    pub detail: String,
}
