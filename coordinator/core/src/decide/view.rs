//! One group as `decide` sees it: the state, the present verdicts, and the time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Observations;
use crate::ids::ApplianceName;
use crate::observe::{Evidence, GroupVerdict, PathVerdict, Verdict, changes_at, group_verdict, path_verdict};
use crate::reason::Reason;
use crate::state::{Group, State};
use crate::time::{Mono, Now, WallTime};

pub(super) struct View<'a> {
    pub(super) group: &'a Group,
    /// The wall clock, or the state's time where that is ahead: what `apply` will go by.
    pub(super) time: WallTime,
    pub(super) now: Mono,
    observed: BTreeMap<&'a ApplianceName, GroupVerdict>,
    path: Option<PathVerdict>,
    /// When the next report goes out of date.
    expiry: Option<Mono>,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &State, group: &'a Group, observations: &Observations, now: Now) -> Self {
        let freshness = group.spec.policy.freshness;
        let verdict = |name| group_verdict(observations, name, now.mono, freshness);
        let watched = group.operation.is_none() && !group.spec.path_probes.is_empty();
        let path = |active| path_verdict(observations, group, active, now.mono, freshness);
        let reports = observations.voting().flat_map(|(_, r)| changes_at(r, freshness));
        View {
            group,
            time: now.wall.max(state.time),
            now: now.mono,
            observed: group.spec.appliances.iter().map(|a| (&a.name, verdict(&a.name))).collect(),
            path: group.active.as_ref().filter(|_| watched).map(path),
            expiry: reports.filter(|at| *at > now.mono).min(),
        }
    }

    pub(super) fn observed(&self) -> impl Iterator<Item = (&'a ApplianceName, &GroupVerdict)> {
        self.observed.iter().map(|(name, verdict)| (*name, verdict))
    }

    /// What is seen of the path through the active appliance; `None` where there is no path to
    /// watch.
    pub(super) fn path(&self) -> Option<&PathVerdict> {
        self.path.as_ref()
    }

    /// Whether the log and the present observation agree that it is `verdict`.
    pub(super) fn certainly(&self, name: &ApplianceName, verdict: Verdict) -> bool {
        self.group.verdict(name) == verdict && self.seen(name) == verdict
    }

    pub(super) fn seen(&self, name: &ApplianceName) -> Verdict {
        self.observed.get(name).map_or(Verdict::Unknown, |v| v.verdict)
    }

    /// The present verdict on an appliance as a reason.
    pub(super) fn why(&self, name: &ApplianceName) -> Reason {
        let seen = self.observed.get(name).cloned().unwrap_or_default();
        let (appliance, vantages, of) = (name.clone(), seen.vantages_agreeing, seen.of);
        match seen.verdict {
            Verdict::Up => Reason::Up { appliance, vantages, of },
            Verdict::Down => Reason::Down { appliance, vantages, of },
            Verdict::Unknown => Reason::NoMajority { appliance, vantages, of },
        }
    }

    /// What every vantage says of every appliance, in order of preference, and of the path if it
    /// is down.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let order = self.group.spec.appliances.iter().filter_map(|a| self.observed.get(&a.name));
        let path = self.path.iter().map(|path| &path.seen).filter(|seen| seen.verdict == Verdict::Down);
        order.chain(path).flat_map(|v| v.evidence.iter().cloned()).collect()
    }

    /// Since when the recorded verdict on an appliance stands.
    pub(super) fn since(&self, name: &ApplianceName) -> WallTime {
        self.group.appliances.get(name).map_or(self.time, |a| a.since)
    }

    /// What is left until `span` after `start`; `None` once it is over.
    pub(super) fn remaining(&self, start: WallTime, span: Duration) -> Option<Duration> {
        let left = start.plus(span).since(self.time);
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn expiry(&self) -> Option<Mono> {
        self.expiry
    }

    /// How long an appliance that is coming back takes to be seen as up, at most, when its probes
    /// pass at once. What comes back with it must be given that long before it is called dead.
    pub(super) fn settle(&self, name: &ApplianceName) -> Duration {
        let probes = self.group.spec.appliance(name).map(|a| a.probes.as_slice()).unwrap_or_default();
        let one = |p: &crate::model::ProbeSpec| p.interval.saturating_mul(p.rise).saturating_add(p.timeout);
        probes.iter().map(one).max().unwrap_or_default()
    }
}

pub(super) fn earliest(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
