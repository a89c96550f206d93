//! Whether a path to a peer is up, from pings alone. Pure.

use std::time::Duration;

/// Answers in a row that turn a path up, and misses in a row that turn it down.
const IN_A_ROW: u8 = 3;
/// Weight of the newest answer in the mean, as one part in this many.
const WEIGHT: u32 = 8;

/// How one path is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PathHealth {
    up: bool,
    against: u8,
    mean: Option<Duration>,
}

impl PathHealth {
    pub(crate) fn is_up(self) -> bool {
        self.up
    }

    /// The exponentially weighted mean of the time from a ping to its answer, in microseconds.
    pub(crate) fn rtt_us(self) -> Option<u32> {
        self.mean.map(|mean| u32::try_from(mean.as_micros()).unwrap_or(u32::MAX))
    }

    /// A ping was answered after `took`. True when that turned the path up.
    pub(crate) fn answered(&mut self, took: Duration) -> bool {
        self.mean = Some(self.mean.map_or(took, |mean| (mean * (WEIGHT - 1) + took) / WEIGHT));
        self.count(true)
    }

    /// A ping was not answered in time. True when that turned the path down.
    pub(crate) fn missed(&mut self) -> bool {
        self.count(false)
    }

    fn count(&mut self, answered: bool) -> bool {
        if answered == self.up {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let turns = self.against >= IN_A_ROW;
        if turns {
            self.up = answered;
            self.against = 0;
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn three_in_a_row_turn_a_path_and_a_single_one_resets_the_count() {
        let mut path = PathHealth::default();
        let mut turned = Vec::new();
        for answered in [true, true, false, true, true, true, true, false, false, true, false, false, false] {
            let turn = if answered { path.answered(MS) } else { path.missed() };
            if turn {
                turned.push(path.is_up());
            }
        }
        assert_eq!(turned, [true, false]);
        let mut path = PathHealth::default();
        path.answered(MS);
        path.answered(MS);
        path.missed();
        assert!(!path.answered(MS) && !path.answered(MS) && path.answered(MS));
    }

    #[test]
    fn the_mean_follows_and_forgives_one_slow_answer() {
        let mut path = PathHealth::default();
        assert_eq!(path.rtt_us(), None);
        path.answered(MS);
        assert_eq!(path.rtt_us(), Some(1_000));
        path.answered(9 * MS);
        assert_eq!(path.rtt_us(), Some(2_000));
        for _ in 0..60 {
            path.answered(9 * MS);
        }
        assert!(path.rtt_us().is_some_and(|us| (8_990..=9_000).contains(&us)), "{path:?}");
        path.missed();
        assert!(path.rtt_us().is_some(), "the last one known stays");
    }
}
