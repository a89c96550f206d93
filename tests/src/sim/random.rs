//! The one source of randomness.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::clock::At;

/// A generator that a seed determines: everything that happens by chance is drawn from it, in
/// the order in which it happens.
#[derive(Debug)]
pub(crate) struct Random(StdRng);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(StdRng::seed_from_u64(seed))
    }

    /// From `low` up to, but not including, `high`, which must be more.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..high)
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    /// True `percent` times in a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T; 3]) -> T {
        let [first, second, third] = *from;
        match self.below(3) {
            0 => first,
            1 => second,
            _ => third,
        }
    }

    /// A span from `low` to `high` milliseconds, to the microsecond.
    pub(crate) fn span_ms(&mut self, low: u64, high: u64) -> At {
        self.between(low * 1_000, high * 1_000)
    }

    /// Mostly near `low`, now and then near `high` milliseconds: spans of faults and calls have
    /// long tails.
    pub(crate) fn long_tail_ms(&mut self, low: u64, high: u64) -> At {
        let high = if self.percent(70) { low + (high - low) / 5 + 1 } else { high };
        self.span_ms(low, high)
    }
}
