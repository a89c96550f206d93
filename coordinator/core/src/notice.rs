//! Notices: what is announced to happen to an appliance, by the cloud that it runs in or by its own
//! agent, and what of it to record.
//!
//! A notice is advice, never proof. That an appliance is to be rebooted says nothing of whether it
//! is up, and that nothing is announced says nothing at all. A notice may have the group leave an
//! appliance that is up, and keeps it from going to one; a verdict never rests on it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::CommandBody;
use crate::ids::{ApplianceName, GroupName};
use crate::state::{Announced, State};
use crate::text::clip;
use crate::time::{Mono, Now, WallTime};

/// Most notices kept of one source for one appliance; the ones that come first.
pub const MAX_NOTICES: usize = 8;

/// The longest id of a notice, in bytes; one with a longer id is not a notice.
pub const MAX_ID: usize = 64;

/// What is recorded of a source after it last changed waits this long, unless it is the first notice
/// that the source gives: one that says something else each second does not fill the log.
pub const SETTLE: Duration = Duration::from_secs(5);

/// Most changes proposed at once; the rest follows in the next round.
const AT_ONCE: usize = 32;

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The machine boots anew; its memory is lost.
    Reboot,
    /// The machine moves to other hardware; its memory and its local disks are lost.
    Redeploy,
    /// The machine stands still for seconds and goes on.
    Freeze,
    /// The machine is taken away: it ran on capacity that somebody else wants.
    Preempt,
    /// The machine is deleted.
    Terminate,
    /// The agent was asked to stop.
    Shutdown,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [NoticeKind; 6] = [
        NoticeKind::Reboot,
        NoticeKind::Redeploy,
        NoticeKind::Freeze,
        NoticeKind::Preempt,
        NoticeKind::Terminate,
        NoticeKind::Shutdown,
    ];

    /// As written in the configuration and on the wire.
    pub fn word(self) -> &'static str {
        match self {
            NoticeKind::Reboot => "reboot",
            NoticeKind::Redeploy => "redeploy",
            NoticeKind::Freeze => "freeze",
            NoticeKind::Preempt => "preempt",
            NoticeKind::Terminate => "terminate",
            NoticeKind::Shutdown => "shutdown",
        }
    }

    /// What it is called in a sentence.
    fn noun(self) -> &'static str {
        match self {
            NoticeKind::Redeploy => "redeployment",
            NoticeKind::Preempt => "preemption",
            NoticeKind::Terminate => "termination",
            NoticeKind::Reboot | NoticeKind::Freeze | NoticeKind::Shutdown => self.word(),
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.noun())
    }
}

/// Who announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeSource {
    /// The appliance's agent itself.
    Agent,
    /// The Scheduled Events of Azure.
    Azure,
}

impl NoticeSource {
    /// All sources.
    pub const ALL: [NoticeSource; 2] = [NoticeSource::Agent, NoticeSource::Azure];
}

impl fmt::Display for NoticeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NoticeSource::Agent => "its agent",
            NoticeSource::Azure => "Azure",
        })
    }
}

/// One thing that is announced to happen to an appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The source's own id, 1 to [`MAX_ID`] bytes: what tells one notice from another.
    pub id: String,
    /// What is to happen.
    pub kind: NoticeKind,
    /// Not earlier than this. `None` when it has begun, or may begin at any moment.
    pub not_before: Option<WallTime>,
    /// Whether it has begun.
    pub started: bool,
    /// How long it lasts, in seconds; `None` when nobody says.
    pub lasts_secs: Option<u32>,
    /// What the source says of it, in its own words. May be empty.
    pub about: String,
}

impl Notice {
    /// The earliest time at which it may begin; long ago when it has begun.
    pub fn begins(&self) -> WallTime {
        if self.started { WallTime::default() } else { self.not_before.unwrap_or_default() }
    }

    /// When it is over, if that can be told. One that has begun may have begun later than it was
    /// announced for, so of that it cannot.
    pub fn ends(&self) -> Option<WallTime> {
        let begins = self.not_before.filter(|_| !self.started)?;
        Some(begins.plus(Duration::from_secs(u64::from(self.lasts_secs?))))
    }
}

/// What an agent says of one source of notices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Which source.
    pub source: NoticeSource,
    /// Whether it was heard.
    pub state: SourceState,
    /// What it announces for this appliance, as far as it was heard. At most [`MAX_NOTICES`] count.
    pub notices: Vec<Notice>,
}

/// How well a source of notices is heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Not asked yet, or not answered for the first time: nothing follows.
    Pending,
    /// It answers: there are no other notices than those listed.
    Known,
    /// It does not answer, or not in a way that can be understood: there may be others.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What an agent's newest report says of notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// When the report came in.
    pub at: Mono,
    /// One entry for each source that the agent is to listen to.
    pub sources: Vec<SourceReport>,
}

/// What an agent sent, as it may go into the log: bounded in number and in length, by id.
pub(crate) fn bounded(notices: &[Notice]) -> BTreeMap<String, Notice> {
    let mut sound: Vec<&Notice> = notices.iter().filter(|n| (1..=MAX_ID).contains(&n.id.len())).collect();
    sound.sort_by_key(|notice| notice.begins());
    let clipped = |n: &Notice| Notice { about: clip(&n.about), ..n.clone() };
    sound.into_iter().take(MAX_NOTICES).map(|n| (n.id.clone(), clipped(n))).collect()
}

/// The changes to propose now. `listed` holds the newest report of each agent; one out of date, by
/// the group's freshness, says nothing.
pub fn due(state: &State, listed: &BTreeMap<ApplianceName, Listed>, now: Now) -> Vec<CommandBody> {
    let time = now.wall.max(state.time);
    let mut changes = Vec::new();
    for group in state.groups.values() {
        let fresh = |l: &&Listed| now.mono.since(l.at) <= group.spec.policy.freshness;
        for (name, known) in &group.appliances {
            let Some(listed) = listed.get(name).filter(fresh) else { continue };
            for source in NoticeSource::ALL {
                let report = listed.sources.iter().find(|report| report.source == source);
                let change =
                    change(&group.spec.name, name, source, report, known.announced.get(&source), time);
                changes.extend(change);
            }
        }
    }
    changes.truncate(AT_ONCE);
    changes
}

/// What to record of one source, if anything. A source that the agent does not list is none that it
/// listens to: nothing of it stands any more.
fn change(
    group: &GroupName,
    appliance: &ApplianceName,
    source: NoticeSource,
    report: Option<&SourceReport>,
    recorded: Option<&Announced>,
    time: WallTime,
) -> Option<CommandBody> {
    let before = recorded.cloned().unwrap_or_default();
    let (notices, unknown) = match report.map(|report| (&report.state, bounded(&report.notices))) {
        None => (BTreeMap::new(), None),
        Some((SourceState::Known, heard)) => (heard, None),
        Some((SourceState::Pending, _)) => return None,
        // What it said before it fell silent still stands.
        Some((SourceState::Unknown { why }, heard)) => {
            let mut standing = before.notices.clone();
            standing.extend(heard);
            (standing, Some(clip(why)))
        }
    };
    // Another reason for the same silence is no news.
    if notices == before.notices && unknown.is_some() == before.unknown.is_some() {
        return None;
    }
    let first = before.notices.is_empty() && !notices.is_empty();
    let settled = recorded.is_none_or(|known| time.since(known.changed) >= SETTLE);
    let notices = notices.into_values().collect();
    let record = || CommandBody::RecordNotices {
        group: group.clone(),
        appliance: appliance.clone(),
        source,
        notices,
        unknown,
    };
    (first || settled).then(record)
}
