//! Which call is delayed, refused, lost or late: from a seed and the call's number alone, so that
//! a run that went wrong can be run again.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// What goes wrong, and how slow things are. The default: nothing, and no delay.
///
/// The probabilities are tried in the order of the fields and at most one happens per call;
/// those below `error` concern writes only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    /// Two plans that differ in this alone differ in what happens when.
    pub seed: u64,
    /// How long each call takes.
    pub latency: Spread,
    /// How long the cloud is at work after a write that changes an association or a route.
    /// A detached address stops at the start of it, everything else takes effect at its end.
    pub provisioning: Spread,
    /// Probability of 429 with `Retry-After`.
    pub throttle: f64,
    /// Probability of 500 with nothing done.
    pub error: f64,
    /// Probability that a write is done and answered with 504.
    pub lose_reply: f64,
    /// Probability that a write is answered with 504 and done later, conditions and all.
    pub apply_late: f64,
    /// How much later.
    pub late_by: Spread,
    /// This call is done but never answered, and later ones are neither: what a caller leaves
    /// behind that is killed while it waits. Counted by [`CallSeen::number`].
    ///
    /// [`CallSeen::number`]: super::model::CallSeen::number
    pub silent_from: Option<u64>,
}

/// Evenly distributed between two times, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// At least this many milliseconds.
    pub min_ms: u64,
    /// At most this many; raised to `min_ms` if it is less.
    pub max_ms: u64,
}

impl Spread {
    /// From `min_ms` to `max_ms` milliseconds.
    pub const fn millis(min_ms: u64, max_ms: u64) -> Self {
        Spread { min_ms, max_ms }
    }

    pub(super) fn draw(self, rng: &mut StdRng) -> Duration {
        let range: RangeInclusive<u64> = self.min_ms..=self.max_ms.max(self.min_ms);
        Duration::from_millis(rng.random_range(range))
    }
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// How long it takes.
    pub latency: Duration,
    /// How long the cloud is at work afterwards, if it is a write.
    pub provisioning: Duration,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429; nothing is done.
    Throttle,
    /// 500; nothing is done.
    Error,
    /// 504; it is done.
    LoseReply,
    /// 504; it is done after this time.
    ApplyLate(Duration),
    /// It is done, and no answer ever comes.
    Silent,
    /// Nothing is done, and no answer ever comes.
    Dead,
}

impl FaultPlan {
    /// What happens to the call of that number.
    pub fn fate(&self, number: u64, is_write: bool) -> Fate {
        // The golden-ratio step keeps neighbouring seeds and numbers from giving the same stream.
        let mut rng = StdRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let latency = self.latency.draw(&mut rng);
        let provisioning = self.provisioning.draw(&mut rng);
        let late = self.late_by.draw(&mut rng);
        let fault = self.fault(number, is_write, late, rng.random_range(0.0..1.0));
        Fate { latency, provisioning, fault }
    }

    fn fault(&self, number: u64, is_write: bool, late: Duration, draw: f64) -> Option<Fault> {
        match self.silent_from {
            Some(from) if number > from => return Some(Fault::Dead),
            Some(from) if number == from => return Some(Fault::Silent),
            _ => {}
        }
        let (lose_reply, apply_late) = if is_write { (self.lose_reply, self.apply_late) } else { (0.0, 0.0) };
        let table = [
            (self.throttle, Fault::Throttle),
            (self.error, Fault::Error),
            (lose_reply, Fault::LoseReply),
            (apply_late, Fault::ApplyLate(late)),
        ];
        let mut below = 0.0;
        table.into_iter().find_map(|(probability, fault)| {
            below += probability;
            (draw < below).then_some(fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_fates_and_about_the_asked_share() {
        let plan = FaultPlan { seed: 7, throttle: 0.1, lose_reply: 0.1, ..FaultPlan::default() };
        let fates: Vec<Fate> = (0..1000).map(|n| plan.fate(n, true)).collect();
        assert_eq!(fates, (0..1000).map(|n| plan.fate(n, true)).collect::<Vec<_>>());
        let share = |fault| fates.iter().filter(|f| f.fault == Some(fault)).count();
        assert!((60..140).contains(&share(Fault::Throttle)), "{}", share(Fault::Throttle));
        assert!((60..140).contains(&share(Fault::LoseReply)), "{}", share(Fault::LoseReply));
        assert!((0..1000).all(|n| plan.fate(n, false).fault != Some(Fault::LoseReply)));
    }
}
