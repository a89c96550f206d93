//! One pool as the decision sees it: the state, the present verdicts, and the time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::Observations;
use crate::ids::ApplianceName;
use crate::observe::{Evidence, GroupVerdict, Verdict, changes_at, group_verdict};
use crate::pool::{Member, Pool, PoolReason, Standing};
use crate::reason::Reason;
use crate::state::State;
use crate::time::{Mono, Now, WallTime};

pub(super) struct View<'a> {
    pub(super) pool: &'a Pool,
    /// The wall clock, or the state's time where that is ahead: what `apply` will go by.
    pub(super) time: WallTime,
    pub(super) now: Mono,
    observed: BTreeMap<&'a ApplianceName, GroupVerdict>,
    /// When the next report goes out of date.
    expiry: Option<Mono>,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &State, pool: &'a Pool, observations: &Observations, now: Now) -> Self {
        let freshness = pool.spec.policy.freshness;
        let verdict = |name| group_verdict(observations, name, now.mono, freshness);
        let reports = observations.voting().flat_map(|(_, report)| changes_at(report, freshness));
        View {
            pool,
            time: now.wall.max(state.time),
            now: now.mono,
            observed: pool.spec.members.iter().map(|m| (&m.name, verdict(&m.name))).collect(),
            expiry: reports.filter(|at| *at > now.mono).min(),
        }
    }

    pub(super) fn observed(&self) -> impl Iterator<Item = (&'a ApplianceName, &GroupVerdict)> {
        self.observed.iter().map(|(name, verdict)| (*name, verdict))
    }

    /// The members in the declared order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a ApplianceName, &'a Member)> {
        let pool = self.pool;
        pool.spec.members.iter().filter_map(|m| Some((&m.name, pool.members.get(&m.name)?)))
    }

    /// Whether the log and the present observation agree that it is `verdict`.
    pub(super) fn certainly(&self, name: &ApplianceName, verdict: Verdict) -> bool {
        let seen = self.observed.get(name).map_or(Verdict::Unknown, |seen| seen.verdict);
        self.pool.verdict(name) == verdict && seen == verdict
    }

    /// Members that are in, but for those that are certainly down.
    pub(super) fn may_serve(&self) -> usize {
        let inside = self.members().filter(|(_, member)| matches!(member.standing, Standing::In { .. }));
        inside.filter(|(name, _)| !self.certainly(name, Verdict::Down)).count()
    }

    /// The present verdict on a member as a reason.
    pub(super) fn why(&self, name: &ApplianceName) -> PoolReason {
        let seen = self.observed.get(name).cloned().unwrap_or_default();
        let (appliance, vantages, of) = (name.clone(), seen.vantages_agreeing, seen.of);
        PoolReason::Seen(match seen.verdict {
            Verdict::Up => Reason::Up { appliance, vantages, of },
            Verdict::Down => Reason::Down { appliance, vantages, of },
            Verdict::Unknown => Reason::NoMajority { appliance, vantages, of },
        })
    }

    /// What every vantage says of a member.
    pub(super) fn evidence(&self, name: &ApplianceName) -> Vec<Evidence> {
        self.observed.get(name).map(|seen| seen.evidence.clone()).unwrap_or_default()
    }

    /// What is left until `span` after `start`; `None` once it is over.
    pub(super) fn remaining(&self, start: WallTime, span: Duration) -> Option<Duration> {
        let left = start.plus(span).since(self.time);
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn expiry(&self) -> Option<Mono> {
        self.expiry
    }

    /// How long a member that is coming back takes to be seen as up, at most, when its probes pass
    /// at once.
    pub(super) fn settle(&self, name: &ApplianceName) -> Duration {
        let probes = self.pool.spec.member(name).map(|m| m.probes.as_slice()).unwrap_or_default();
        let one = |p: &crate::model::ProbeSpec| p.interval.saturating_mul(p.rise).saturating_add(p.timeout);
        probes.iter().map(one).max().unwrap_or_default()
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
