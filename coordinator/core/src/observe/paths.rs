//! One vantage's own view of the paths through the active appliances.

use std::collections::BTreeMap;

use super::finding::{Finding, Tracks, combined};
use super::{Outcome, PathSight, ProbeTrack, Verdict};
use crate::ids::{GroupName, ProbeName, Token};
use crate::model::ProbeSpec;
use crate::state::Group;
use crate::time::Mono;

/// The paths that are watched, by group: those of groups at rest. While an operation runs there is
/// none, and after it there is another one, of which nothing is known yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Paths(BTreeMap<GroupName, Watched>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    token: Token,
    tracks: Tracks,
}

impl Paths {
    /// Follows the groups. A track goes on only under the same grant and for the same probe.
    pub(super) fn declare<'a>(&mut self, groups: impl Iterator<Item = &'a Group>) {
        let mut before = std::mem::take(&mut self.0);
        for group in groups {
            let at_rest = group.active.is_some() && group.operation.is_none();
            if !at_rest || group.spec.path_probes.is_empty() {
                continue;
            }
            let known = before.remove(&group.spec.name).filter(|known| known.token == group.token);
            let tracks =
                renewed(known.map(|known| known.tracks).unwrap_or_default(), &group.spec.path_probes);
            self.0.insert(group.spec.name.clone(), Watched { token: group.token, tracks });
        }
    }

    /// The grant under which a sample that begins now will count, if any.
    pub(super) fn token(&self, group: &GroupName) -> Option<Token> {
        self.0.get(group).map(|watched| watched.token)
    }

    pub(super) fn feed(
        &mut self,
        group: &GroupName,
        probe: &ProbeName,
        begun_under: Token,
        sample: (Outcome, &str),
        now: Mono,
    ) {
        let watched = self.0.get_mut(group).filter(|watched| watched.token == begun_under);
        if let Some(track) = watched.and_then(|watched| watched.tracks.get_mut(probe)) {
            track.feed(sample.0, sample.1, now);
        }
    }

    /// What is said of each path. One that fails while no appliance has answered since is left
    /// out: this vantage may be the one that is cut off.
    pub(super) fn sights(&self, now: Mono, answered_since: impl Fn(Mono) -> bool) -> Vec<PathSight> {
        let sight = |(group, watched): (&GroupName, &Watched)| {
            let finding = combined(watched.tracks.values(), now);
            let stale = matches!(finding, Finding::Stale(_));
            let passed = !stale && watched.tracks.values().all(|t| t.last_pass().is_some());
            let sound = match &finding {
                Finding::Undecided => passed,
                Finding::Up(_) | Finding::Stale(_) => true,
                Finding::Down { since, .. } => answered_since(*since),
            };
            sound.then(|| PathSight {
                group: group.clone(),
                token: watched.token,
                verdict: finding.verdict(),
                passed,
                detail: finding.detail(),
            })
        };
        self.0.iter().filter_map(sight).collect()
    }
}

/// What a change of which is told to the leader at once.
pub(super) fn told(sight: &PathSight) -> (Token, Verdict, bool) {
    (sight.token, sight.verdict, sight.passed)
}

/// The tracks of these probes: what is unchanged keeps what it has seen.
pub(super) fn renewed<'a>(mut before: Tracks, probes: impl IntoIterator<Item = &'a ProbeSpec>) -> Tracks {
    let kept = |spec: &ProbeSpec| {
        let same = before.remove(&spec.name).filter(|track| track.spec() == spec);
        (spec.name.clone(), same.unwrap_or_else(|| ProbeTrack::new(spec.clone())))
    };
    probes.into_iter().map(kept).collect()
}
