//! True time, and the clocks of machines that do not keep it.

use std::time::Duration;

use coordinator_core::time::{Mono, Now, WallTime};

/// True time in microseconds: known to the world and to nothing in it.
pub(crate) type At = u64;

/// Where every run begins: late enough that machines can have booted before.
pub(crate) const START: At = 1_000_000_000;

/// The wall clock at true time zero: 2026-01-01T00:00:00Z.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// Whole milliseconds as true time.
pub(crate) const fn ms(millis: u64) -> At {
    millis * 1_000
}

/// A duration as true time.
pub(crate) fn micros(span: Duration) -> At {
    u64::try_from(span.as_micros()).unwrap_or(At::MAX / 4)
}

/// A machine's two clocks: one with an origin and a rate of its own, one that can be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// When the monotonic clock read zero.
    pub(crate) zero: At,
    /// How much too fast it runs, in parts per million.
    pub(crate) rate_ppm: i64,
    /// What the wall clock is ahead of true time, in milliseconds.
    pub(crate) wall_ahead_ms: i64,
}

impl Clock {
    pub(crate) fn mono(&self, at: At) -> Mono {
        let elapsed = i128::from(at.saturating_sub(self.zero));
        let nanos = elapsed * 1_000 + elapsed * i128::from(self.rate_ppm) / 1_000;
        Mono(Duration::from_nanos(u64::try_from(nanos).unwrap_or_default()))
    }

    /// The first instant at which the monotonic clock shows `mono` or later.
    pub(crate) fn when(&self, mono: Mono) -> At {
        let scale = i128::from(1_000_000 + self.rate_ppm);
        let nanos = i128::try_from(mono.0.as_nanos()).unwrap_or(i128::MAX / 1_000_000);
        let elapsed = (nanos * 1_000 + scale - 1) / scale;
        let mut at = self.zero.saturating_add(u64::try_from(elapsed).unwrap_or(At::MAX / 4));
        while self.mono(at) < mono {
            at += 1;
        }
        at
    }

    pub(crate) fn now(&self, at: At) -> Now {
        let wall = (EPOCH_MS + at / 1_000).saturating_add_signed(self.wall_ahead_ms);
        Now { mono: self.mono(at), wall: WallTime(wall) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_and_its_inverse_agree() {
        for rate_ppm in [-48_000, -4_900, 0, 4_900, 48_000] {
            let clock = Clock { zero: START, rate_ppm, wall_ahead_ms: 0 };
            for at in [START, START + 1, START + 999_999, START + 3_000_000_017] {
                let mono = clock.mono(at);
                assert!(clock.mono(clock.when(mono)) >= mono);
                assert!(clock.when(mono).abs_diff(at) <= 1, "{rate_ppm} {at}");
            }
        }
    }
}
