//! What the tracks of several probes come to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Outcome, ProbeTrack, Sight, Verdict};
use crate::ids::{ApplianceName, ProbeName};
use crate::model::ProbeKind;
use crate::time::Mono;

/// By the probes' names.
pub(super) type Tracks = BTreeMap<ProbeName, ProbeTrack>;

/// What several probes together say.
#[derive(Debug)]
pub(super) enum Finding<'a> {
    /// Too few samples yet.
    Undecided,
    Up(Cow<'a, str>),
    Down {
        since: Mono,
        detail: Cow<'a, str>,
    },
    /// One has gone without samples.
    Stale(Cow<'a, str>),
}

impl Finding<'_> {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Finding::Up(_) => Verdict::Up,
            Finding::Down { .. } => Verdict::Down,
            Finding::Stale(_) | Finding::Undecided => Verdict::Unknown,
        }
    }

    pub(super) fn detail(&self) -> String {
        match self {
            Finding::Up(detail) | Finding::Down { detail, .. } | Finding::Stale(detail) => {
                detail.clone().into_owned()
            }
            Finding::Undecided => String::new(),
        }
    }

    pub(super) fn sight(&self, appliance: &ApplianceName) -> Sight {
        Sight { appliance: appliance.clone(), verdict: self.verdict(), detail: self.detail() }
    }
}

/// All must be up; one that is down decides.
pub(super) fn combined<'a>(
    tracks: impl IntoIterator<Item = &'a ProbeTrack> + Clone,
    now: Mono,
) -> Finding<'a> {
    let all = || tracks.clone().into_iter();
    if let Some(down) = all().find(|t| t.verdict(now) == Verdict::Down) {
        let since = down.failing_since().unwrap_or(now);
        return Finding::Down { since, detail: down.describe().into() };
    }
    if let Some(stale) = all().find(|t| t.is_stale(now)) {
        return Finding::Stale(format!("{}: no sample for too long", stale.spec().kind).into());
    }
    match all().next() {
        Some(first) if all().all(|t| t.verdict(now) == Verdict::Up) => Finding::Up(first.describe().into()),
        _ => Finding::Undecided,
    }
}

/// Like [`combined`], for an appliance whose own address is `own`.
///
/// When nothing answers at that address while the agent's heartbeat comes in by way of another
/// appliance, it is the management path that is down, and the appliance is up. Only silence is
/// overruled: a refused connection or a wrong answer has come from the appliance itself. An agent
/// that reports a fault makes its heartbeat fail, and so overrules whatever else passes.
pub(super) fn of_appliance(tracks: &Tracks, own: IpAddr, now: Mono) -> Finding<'_> {
    let silent = |t: &&ProbeTrack| {
        t.verdict(now) == Verdict::Down && t.outcome() == Outcome::Silent && t.spec().kind.host() == Some(own)
    };
    let heartbeat = tracks.values().find(|t| matches!(t.spec().kind, ProbeKind::AgentHeartbeat));
    let relayed = heartbeat.filter(|t| t.outcome() == Outcome::Relayed && t.verdict(now) == Verdict::Up);
    let (Some(relayed), Some(cut)) = (relayed, tracks.values().find(silent)) else {
        return combined(tracks.values(), now);
    };
    match combined(tracks.values().filter(|t| !silent(t)), now) {
        Finding::Up(_) => {
            Finding::Up(format!("management path down ({}), {}", cut.describe(), relayed.describe()).into())
        }
        other => other,
    }
}
