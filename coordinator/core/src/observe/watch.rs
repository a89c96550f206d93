//! One vantage's own view: a track per declared probe, combined per appliance.

use std::collections::BTreeMap;

use super::{ProbeTrack, Sight, Verdict};
use crate::ids::{ApplianceName, ProbeName};
use crate::model::{ApplianceSpec, ProbeSpec};
use crate::state::State;
use crate::time::Mono;

/// What this coordinator watches, and what it has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    appliances: BTreeMap<ApplianceName, BTreeMap<ProbeName, ProbeTrack>>,
    /// The verdicts after the newest sample.
    told: BTreeMap<ApplianceName, Verdict>,
}

impl Watch {
    /// A watch of nothing.
    pub fn new() -> Self {
        Watch::default()
    }

    /// Follows the declarations in `state`. What is unchanged keeps what it has seen; a changed
    /// probe begins anew.
    pub fn declare(&mut self, state: &State) {
        let declared = state.groups.values().flat_map(|g| &g.spec.appliances);
        let mut before = std::mem::take(&mut self.appliances);
        for appliance in declared {
            let tracks = before.remove(&appliance.name).unwrap_or_default();
            self.appliances.insert(appliance.name.clone(), renewed(tracks, appliance));
        }
    }

    /// Takes in a sample that ended at `now`, and returns whether any of the
    /// [`sights`](Watch::sights) has another verdict since: the leader is to be told at once. A
    /// sample of a probe that is not declared is passed over.
    pub fn feed(
        &mut self,
        appliance: &ApplianceName,
        probe: &ProbeName,
        pass: bool,
        detail: impl AsRef<str>,
        now: Mono,
    ) -> bool {
        let Some(track) = self.appliances.get_mut(appliance).and_then(|tracks| tracks.get_mut(probe)) else {
            return false;
        };
        track.feed(pass, detail.as_ref(), now);
        // One appliance's sample may settle another's verdict, so all are compared.
        let sights = self.sights(now);
        let verdicts = sights.into_iter().map(|s| (s.appliance, s.verdict)).collect();
        let before = std::mem::replace(&mut self.told, verdicts);
        before != self.told
    }

    /// Every probe that is watched.
    pub fn probes(&self) -> impl Iterator<Item = (&ApplianceName, &ProbeTrack)> {
        self.appliances.iter().flat_map(|(name, tracks)| tracks.values().map(move |t| (name, t)))
    }

    /// What this vantage says of each appliance: up when all its probes are up, down when any is
    /// down, unknown when one has gone without samples.
    ///
    /// An appliance of which nothing was concluded yet is left out, so that a vantage that just
    /// started takes nothing back. So is one that fails while no other appliance has answered
    /// since it began to, until that one answers or fails as well: a vantage that is being cut
    /// off loses its appliances one by one, and none of these is a finding.
    pub fn sights(&self, now: Mono) -> Vec<Sight> {
        let raw: BTreeMap<_, _> = self.appliances.iter().map(|(n, t)| (n, combined(t, now))).collect();
        let sound = |name: &ApplianceName, finding: &Finding| match finding {
            Finding::Undecided => false,
            Finding::Up(_) | Finding::Stale(_) => true,
            Finding::Down { since, .. } => {
                let mut others = raw.iter().filter(|(other, _)| **other != name).peekable();
                let alone = others.peek().is_none();
                alone
                    || others.clone().any(|(other, _)| self.answered_since(other, *since))
                    || others.all(|(_, f)| matches!(f, Finding::Down { .. } | Finding::Stale(_)))
            }
        };
        raw.iter().filter(|(name, finding)| sound(name, finding)).map(|(n, f)| f.sight(n)).collect()
    }

    fn answered_since(&self, appliance: &ApplianceName, since: Mono) -> bool {
        let tracks = self.appliances.get(appliance).into_iter().flatten();
        tracks.filter_map(|(_, t)| t.last_pass()).any(|at| at >= since)
    }
}

fn renewed(
    mut before: BTreeMap<ProbeName, ProbeTrack>,
    appliance: &ApplianceSpec,
) -> BTreeMap<ProbeName, ProbeTrack> {
    let kept = |spec: &ProbeSpec| {
        let same = before.remove(&spec.name).filter(|track| track.spec() == spec);
        (spec.name.clone(), same.unwrap_or_else(|| ProbeTrack::new(spec.clone())))
    };
    appliance.probes.iter().map(kept).collect()
}

/// What the probes of one appliance say together.
enum Finding {
    Undecided,
    Up(String),
    Down { since: Mono, detail: String },
    Stale(String),
}

impl Finding {
    fn sight(&self, appliance: &ApplianceName) -> Sight {
        let (verdict, detail) = match self {
            Finding::Up(detail) => (Verdict::Up, detail.clone()),
            Finding::Down { detail, .. } => (Verdict::Down, detail.clone()),
            Finding::Stale(detail) => (Verdict::Unknown, detail.clone()),
            Finding::Undecided => (Verdict::Unknown, String::new()),
        };
        Sight { appliance: appliance.clone(), verdict, detail }
    }
}

fn combined(tracks: &BTreeMap<ProbeName, ProbeTrack>, now: Mono) -> Finding {
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
