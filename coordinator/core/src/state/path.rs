//! What the log knows of paths: the one through the active appliance, and those on which the
//! agents of a group hear each other.

use serde::{Deserialize, Serialize};

use crate::ids::ApplianceName;
use crate::model::GroupSpec;
use crate::observe::Verdict;
use crate::time::WallTime;

/// The path through the active appliance, by the group's path probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The recorded group verdict on it. Unknown without path probes.
    pub verdict: Verdict,
    /// Since when.
    pub since: WallTime,
    /// It was down when the newest move began, and has not been up for the stabilisation time
    /// since: what broke it is probably not the appliance, and another move would not help.
    pub down_before_move: bool,
}

impl Path {
    /// A path of which nothing is known yet.
    pub fn unknown(since: WallTime) -> Path {
        Path { verdict: Verdict::Unknown, since, down_before_move: false }
    }
}

/// Whether traffic was seen to pass after a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// A majority of vantages got through the new active appliance.
    Restored,
    /// They did not, within the operation's time limit.
    NotRestored,
}

/// One way from one agent to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeartbeatPath {
    /// Who asks.
    pub from: ApplianceName,
    /// Who is to answer.
    pub to: ApplianceName,
    /// Which of the declared addresses of `to`, from 0.
    pub path: u8,
}

impl HeartbeatPath {
    /// Whether a declaration has both ends and the address.
    pub fn is_declared(&self, spec: &GroupSpec) -> bool {
        let addresses = spec.appliance(&self.to).map_or(0, |to| to.peer.len());
        let from = self.from != self.to && spec.appliance(&self.from).is_some();
        from && usize::from(self.path) < addresses
    }

    /// What the path is, in words. The first address declared is on the management network, the
    /// second on the direct link.
    pub fn word(&self) -> &'static str {
        match self.path {
            0 => "management network",
            _ => "direct link",
        }
    }
}
