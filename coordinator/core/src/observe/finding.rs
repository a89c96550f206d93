//! What the tracks of several probes come to.

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
pub(super) enum Finding {
    /// Too few samples yet.
    Undecided,
    Up(String),
    Down {
        since: Mono,
        detail: String,
    },
    /// One has gone without samples.
    Stale(String),
}

impl Finding {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Finding::Up(_) => Verdict::Up,
            Finding::Down { .. } => Verdict::Down,
            Finding::Stale(_) | Finding::Undecided => Verdict::Unknown,
        }
    }

    pub(super) fn detail(&self) -> String {
        match self {
            Finding::Up(detail) | Finding::Down { detail, .. } | Finding::Stale(detail) => detail.clone(),
            Finding::Undecided => String::new(),
        }
    }

    pub(super) fn sight(&self, appliance: &ApplianceName) -> Sight {
        Sight { appliance: appliance.clone(), verdict: self.verdict(), detail: self.detail() }
    }
}

/// All must be up; one that is down decides.
pub(super) fn combined(tracks: &Tracks, now: Mono) -> Finding {
    let in_state = |v: Verdict| tracks.values().filter(move |t| t.verdict(now) == v);
    if let Some(down) = in_state(Verdict::Down).next() {
        return Finding::Down { since: down.failing_since().unwrap_or(now), detail: down.describe() };
    }
    if let Some(stale) = tracks.values().find(|t| t.is_stale(now)) {
        return Finding::Stale(format!("{}: no sample for too long", stale.spec().kind));
    }
    match tracks.values().next() {
        Some(first) if in_state(Verdict::Up).count() == tracks.len() => Finding::Up(first.describe()),
        _ => Finding::Undecided,
    }
}

/// Like [`combined`], for an appliance whose own address is `own`.
///
/// When nothing answers at that address while the agent's heartbeat comes in by way of another
/// appliance, it is the management path that is down, and the appliance is up. Only silence is
/// overruled: a refused connection or a wrong answer has come from the appliance itself. An agent
/// that reports a fault makes its heartbeat fail, and so overrules whatever else passes.
pub(super) fn of_appliance(tracks: &Tracks, own: IpAddr, now: Mono) -> Finding {
    let silent = |t: &&ProbeTrack| {
        t.verdict(now) == Verdict::Down && t.outcome() == Outcome::Silent && t.spec().kind.host() == Some(own)
    };
    let heartbeat = tracks.values().find(|t| matches!(t.spec().kind, ProbeKind::AgentHeartbeat));
    let relayed = heartbeat.filter(|t| t.outcome() == Outcome::Relayed && t.verdict(now) == Verdict::Up);
    let (Some(relayed), Some(cut)) = (relayed, tracks.values().find(silent)) else {
        return combined(tracks, now);
    };
    let others = tracks.iter().filter(|(_, t)| !silent(t));
    match combined(&others.map(|(name, t)| (name.clone(), t.clone())).collect(), now) {
        Finding::Up(_) => {
            Finding::Up(format!("management path down ({}), {}", cut.describe(), relayed.describe()))
        }
        other => other,
    }
}
