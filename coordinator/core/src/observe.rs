//! From samples to verdicts.
//!
//! A coordinator feeds each probe result into a [`ProbeTrack`] (rise and fall thresholds) and
//! combines the tracks of an appliance into its own verdict. The leader combines the verdicts
//! of all vantages into the group verdict: a majority of *all* coordinators must agree, with
//! fresh reports.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ApplianceName, NodeId};

mod majority;
mod report;
mod track;
mod watch;

pub(crate) use majority::changes_at;
pub use majority::{GroupVerdict, group_verdict, majority};
pub use report::VantageReport;
pub use track::ProbeTrack;
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
