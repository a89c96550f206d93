//! One vantage's own view: a track per declared probe, combined per appliance and per path.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::finding::{Finding, Tracks, of_appliance};
use super::paths::{Paths, renewed, told};
use super::{Outcome, PathSight, ProbeTrack, Sight, VantageReport, Verdict};
use crate::ids::{ApplianceName, GroupName, ProbeName, Token};
use crate::state::State;
use crate::time::Mono;

/// What this coordinator watches, and what it has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    appliances: BTreeMap<ApplianceName, Watched>,
    paths: Paths,
    /// The verdicts after the newest sample.
    told: Told,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    own: IpAddr,
    tracks: Tracks,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    appliances: BTreeMap<ApplianceName, Verdict>,
    paths: BTreeMap<GroupName, (Token, Verdict, bool)>,
}

impl Watch {
    /// A watch of nothing.
    pub fn new() -> Self {
        Watch::default()
    }

    /// Follows the declarations in `state`, and the grants. What is unchanged keeps what it has
    /// seen; a changed probe begins anew, and so does every probe of a path after a move.
    pub fn declare(&mut self, state: &State) {
        let mut before = std::mem::take(&mut self.appliances);
        for (name, own, probes) in state.watched() {
            let known = before.remove(name).filter(|known| known.own == own);
            let tracks = renewed(known.map(|known| known.tracks).unwrap_or_default(), probes);
            self.appliances.insert(name.clone(), Watched { own, tracks });
        }
        self.paths.declare(state.groups.values());
    }

    /// Takes in a sample that ended at `now`, and returns whether any of the
    /// [`sights`](Watch::sights) has another verdict since: the leader is to be told at once. A
    /// sample of a probe that is not declared is passed over.
    pub fn feed(
        &mut self,
        appliance: &ApplianceName,
        probe: &ProbeName,
        outcome: impl Into<Outcome>,
        detail: impl AsRef<str>,
        now: Mono,
    ) -> bool {
        let watched = self.appliances.get_mut(appliance);
        let Some(track) = watched.and_then(|watched| watched.tracks.get_mut(probe)) else {
            return false;
        };
        track.feed(outcome, detail.as_ref(), now);
        self.is_news(now)
    }

    /// The grant under which a sample of a group's path that begins now will count; `None` while
    /// there is no path to watch.
    pub fn path_token(&self, group: &GroupName) -> Option<Token> {
        self.paths.token(group)
    }

    /// Like [`feed`](Watch::feed), for a sample of a path that began under the grant
    /// `begun_under`. One that began before a move, or during it, says nothing of the path after
    /// it and is passed over.
    pub fn feed_path(
        &mut self,
        group: &GroupName,
        probe: &ProbeName,
        begun_under: Token,
        sample: (Outcome, &str),
        now: Mono,
    ) -> bool {
        self.paths.feed(group, probe, begun_under, sample, now);
        self.is_news(now)
    }

    /// One sample may settle the verdict on something else, so all are compared.
    fn is_news(&mut self, now: Mono) -> bool {
        let (findings, paths) = (self.findings(now), self.path_sights(now));
        let appliances = || findings.iter().map(|(name, finding)| (*name, finding.verdict()));
        let paths = || paths.iter().map(|path| (&path.group, told(path)));
        // Mostly there is none, and then nothing is copied.
        if appliances().eq(self.told.appliances.iter().map(|(name, verdict)| (name, *verdict)))
            && paths().eq(self.told.paths.iter().map(|(group, told)| (group, *told)))
        {
            return false;
        }
        let new = Told {
            appliances: appliances().map(|(name, verdict)| (name.clone(), verdict)).collect(),
            paths: paths().map(|(group, told)| (group.clone(), told)).collect(),
        };
        self.told = new;
        true
    }

    /// Every probe of an appliance that is watched.
    pub fn probes(&self) -> impl Iterator<Item = (&ApplianceName, &ProbeTrack)> {
        self.appliances.iter().flat_map(|(name, w)| w.tracks.values().map(move |t| (name, t)))
    }

    /// Everything that this vantage says, as of `now`.
    pub fn report(&self, now: Mono) -> VantageReport {
        VantageReport::new(now, self.sights(now)).with_paths(self.path_sights(now))
    }

    /// What this vantage says of each appliance: up when all its probes are up, down when any is
    /// down, unknown when one has gone without samples.
    ///
    /// An appliance of which nothing was concluded yet is left out, so that a vantage that just
    /// started takes nothing back. So is one that fails while no other appliance has answered
    /// since it began to, until that one answers or fails as well: a vantage that is being cut
    /// off loses its appliances one by one, and none of these is a finding.
    ///
    /// An appliance whose own address is silent is up all the same while its heartbeat comes in by
    /// way of another appliance: its management path is down, and nothing else.
    pub fn sights(&self, now: Mono) -> Vec<Sight> {
        self.findings(now).iter().map(|(name, finding)| finding.sight(name)).collect()
    }

    /// Those that are worth saying.
    fn findings(&self, now: Mono) -> Vec<(&ApplianceName, Finding<'_>)> {
        let found = self.appliances.iter().map(|(name, w)| (name, of_appliance(&w.tracks, w.own, now)));
        let mut raw: Vec<_> = found.collect();
        let sound = |(name, finding): &(&ApplianceName, Finding<'_>)| match finding {
            Finding::Undecided => false,
            Finding::Up(_) | Finding::Stale(_) => true,
            Finding::Down { since, .. } => {
                let mut others = raw.iter().filter(|(other, _)| other != name).peekable();
                let alone = others.peek().is_none();
                alone
                    || others.clone().any(|(other, _)| self.answered_since(other, *since))
                    || others.all(|(_, f)| matches!(f, Finding::Down { .. } | Finding::Stale(_)))
            }
        };
        let mut worth = raw.iter().map(sound).collect::<Vec<_>>().into_iter();
        raw.retain(|_| worth.next().unwrap_or(false));
        raw
    }

    /// What this vantage says of the path through each active appliance; nothing of a path that
    /// has neither got through yet nor failed for good.
    pub fn path_sights(&self, now: Mono) -> Vec<PathSight> {
        self.paths.sights(now, |since| self.appliances.keys().any(|name| self.answered_since(name, since)))
    }

    fn answered_since(&self, appliance: &ApplianceName, since: Mono) -> bool {
        let tracks = self.appliances.get(appliance).into_iter().flat_map(|w| w.tracks.values());
        tracks.filter_map(ProbeTrack::last_pass).any(|at| at >= since)
    }
}
