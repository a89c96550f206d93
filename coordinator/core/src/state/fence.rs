//! Earlier active appliances that are to be switched off.

use serde::{Deserialize, Serialize};

use super::Group;
use crate::ids::ApplianceName;
use crate::model::Fencing;
use crate::time::WallTime;

/// An earlier active appliance that is to be switched off, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The log index of the command that asked for it. What came of an earlier one does not count.
    pub asked: u64,
    /// When.
    pub since: WallTime,
    /// Attempts recorded so far.
    pub attempts: u32,
    /// What went wrong in the newest.
    pub error: Option<String>,
}

impl Group {
    /// The earlier active that must be switched off before anything of the running operation is
    /// granted or written, if there is one.
    pub fn waits_for_fencing(&self) -> Option<(&ApplianceName, &Fence)> {
        self.fencing.iter().find(|(_, fence)| match self.spec.policy.fencing {
            Fencing::Never => false,
            Fencing::Prefer => fence.attempts == 0,
            Fencing::Require => true,
        })
    }

    /// Whether the running operation has waited for a fencing ever since it started, so that its
    /// target was granted nothing and nothing was pointed at it.
    pub fn fenced_off_since_start(&self) -> bool {
        let Some(running) = &self.operation else { return false };
        self.waits_for_fencing().is_some_and(|(_, fence)| fence.asked <= running.id.0)
    }

    /// Whether the end of its lease alone lets `holder` count as released.
    pub fn expiry_counts(&self, holder: &ApplianceName) -> bool {
        match self.spec.policy.fencing {
            Fencing::Never => true,
            Fencing::Prefer => self.fencing.get(holder).is_some_and(|fence| fence.attempts > 0),
            Fencing::Require => false,
        }
    }
}
