//! What is announced to happen to appliances, as the log has it, and what follows for a group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Group;
use crate::ids::ApplianceName;
use crate::notice::{Notice, NoticeSource};
use crate::time::WallTime;

/// What one source has announced for an appliance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// By the source's own id, at most [`MAX_NOTICES`](crate::notice::MAX_NOTICES).
    pub notices: BTreeMap<String, Notice>,
    /// Why the source is not heard: there may be other notices.
    pub unknown: Option<String>,
    /// When this last changed.
    pub changed: WallTime,
}

impl Group {
    /// Everything that is announced to happen to an appliance.
    pub fn notices(&self, name: &ApplianceName) -> impl Iterator<Item = (NoticeSource, &Notice)> {
        let known = self.appliances.get(name).into_iter();
        let sources = known.flat_map(|known| &known.announced);
        sources.flat_map(|(source, announced)| announced.notices.values().map(move |n| (*source, n)))
    }

    /// What is announced for an appliance and is a reason to leave it, by the group's policy.
    pub fn draining(&self, name: &ApplianceName) -> impl Iterator<Item = (NoticeSource, &Notice)> {
        self.notices(name).filter(|(_, notice)| self.spec.policy.drain.contains(&notice.kind))
    }

    /// From when on the group leaves its active appliance for this notice.
    pub fn drains_from(&self, notice: &Notice) -> WallTime {
        notice.begins().minus(self.spec.policy.drain_ahead)
    }

    /// The notice for which the group is to leave `name` at `time`: the one that comes first.
    pub fn drain_due(&self, name: &ApplianceName, time: WallTime) -> Option<(NoticeSource, &Notice)> {
        let due = self.draining(name).filter(|(_, notice)| self.drains_from(notice) <= time);
        due.min_by_key(|(_, notice)| notice.begins())
    }

    /// What is announced for `standby` and speaks against leaving `active` for it: everything that
    /// may begin before all that is announced for `active` is over.
    pub fn disturbed_with(
        &self,
        standby: &ApplianceName,
        active: &ApplianceName,
    ) -> Option<(NoticeSource, &Notice)> {
        let mut over = Some(WallTime::default());
        for (_, notice) in self.draining(active) {
            over = over.zip(notice.ends()).map(|(a, b)| a.max(b));
        }
        self.notices(standby).find(|(_, notice)| over.is_none_or(|over| notice.begins() < over))
    }
}
