//! One probe of one appliance, as one vantage sees it: samples in, verdict out.

use super::Verdict;
use crate::model::ProbeSpec;
use crate::text::clip;
use crate::time::Mono;

/// How one sample ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// A heartbeat that is as it should be, and that another appliance relayed.
    Relayed,
    /// Something answered, and not as it should.
    Fail,
    /// Nothing answered.
    Silent,
}

impl Outcome {
    /// Whether it speaks for what was probed.
    pub fn passes(self) -> bool {
        matches!(self, Outcome::Pass | Outcome::Relayed)
    }
}

impl From<bool> for Outcome {
    /// Passed, or answered as it should not.
    fn from(pass: bool) -> Self {
        if pass { Outcome::Pass } else { Outcome::Fail }
    }
}

/// Turns the samples of one probe into a verdict, with rise and fall thresholds.
///
/// Unknown until `rise` passes or `fall` failures came in a row, and again once no sample has
/// come for longer than three intervals and a timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTrack {
    spec: ProbeSpec,
    verdict: Verdict,
    /// Equal samples in a row up to now.
    streak: u32,
    outcome: Outcome,
    newest: Option<Mono>,
    last_pass: Option<Mono>,
    /// The first failure of the present row of them.
    failing_since: Option<Mono>,
    /// The newest result in words.
    detail: String,
    /// The probe and its newest result, in words.
    described: String,
}

impl ProbeTrack {
    /// A track that knows nothing yet.
    pub fn new(spec: ProbeSpec) -> Self {
        ProbeTrack {
            described: clip(&format!("{}: no result yet", spec.kind)),
            spec,
            verdict: Verdict::Unknown,
            streak: 0,
            outcome: Outcome::Silent,
            newest: None,
            last_pass: None,
            failing_since: None,
            detail: String::new(),
        }
    }

    /// Takes in a sample that ended at `now`, and returns the new verdict if it changed.
    ///
    /// `detail` is the result in words, for instance `connection refused`. A sample older than
    /// one already taken in is passed over: attempts may end out of order.
    pub fn feed(&mut self, outcome: impl Into<Outcome>, detail: &str, now: Mono) -> Option<Verdict> {
        if self.newest.is_some_and(|newest| now < newest) {
            return None;
        }
        let outcome = outcome.into();
        let pass = outcome.passes();
        let before = self.verdict(now);
        if self.is_stale(now) {
            self.verdict = Verdict::Unknown;
            self.streak = 0;
            self.failing_since = None;
        }
        self.streak = if self.outcome.passes() == pass { self.streak.saturating_add(1) } else { 1 };
        self.outcome = outcome;
        self.newest = Some(now);
        if self.detail != detail {
            self.detail = clip(detail);
            let result = if detail.is_empty() { "no result yet" } else { &self.detail };
            self.described = clip(&format!("{}: {result}", self.spec.kind));
        }
        if pass {
            self.last_pass = Some(now);
            self.failing_since = None;
        } else {
            self.failing_since.get_or_insert(now);
        }
        let (needed, verdict) =
            if pass { (self.spec.rise, Verdict::Up) } else { (self.spec.fall, Verdict::Down) };
        if self.streak >= needed {
            self.verdict = verdict;
        }
        (self.verdict != before).then_some(self.verdict)
    }

    /// What is held to be true at `now`.
    pub fn verdict(&self, now: Mono) -> Verdict {
        if self.is_stale(now) { Verdict::Unknown } else { self.verdict }
    }

    /// Whether the newest sample is so old that it says nothing any more.
    pub fn is_stale(&self, now: Mono) -> bool {
        let lifetime = self.spec.interval.saturating_mul(3).saturating_add(self.spec.timeout);
        self.newest.is_some_and(|newest| now > newest.plus(lifetime))
    }

    /// The probe that is tracked.
    pub fn spec(&self) -> &ProbeSpec {
        &self.spec
    }

    /// How the newest sample ended; silent before the first.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The newest sample that passed.
    pub fn last_pass(&self) -> Option<Mono> {
        self.last_pass
    }

    /// Since when samples have failed without a pass in between.
    pub fn failing_since(&self) -> Option<Mono> {
        self.failing_since
    }

    /// The probe and its newest result, in words.
    pub fn describe(&self) -> &str {
        &self.described
    }
}
