//! How long to wait between attempts.

use std::time::Duration;

use rand::RngExt;

/// Waits that double, with jitter, between a first and a longest one.
///
/// Each wait is drawn from the upper half of its step, so that many callers spread out and none
/// comes back at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and never exceeds `longest`, which is raised to `first` if it is less.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest: longest.max(first), next: first }
    }

    /// The next wait. When the cloud asks for more than that, it is what the cloud asks for, but
    /// at most the longest wait: a failover cannot wait for minutes because a server said so.
    pub fn next_wait(&mut self, retry_after: Option<Duration>) -> Duration {
        self.next_wait_by(rand::rng().random_range(0.0..1.0), retry_after)
    }

    /// As [`Backoff::next_wait`], with `chance`, from 0 to 1, for the jitter.
    pub fn next_wait_by(&mut self, chance: f64, retry_after: Option<Duration>) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.longest);
        let own = step.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        own.max(retry_after.unwrap_or_default()).min(self.longest)
    }

    /// Starts again at the first wait: after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

impl Default for Backoff {
    /// From 200 ms to 5 s: between attempts at a whole move.
    fn default() -> Self {
        Backoff::new(Duration::from_millis(200), Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_bounds_and_start_again_after_a_reset() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(400));
        for (low, high) in [(50, 100), (100, 200), (200, 400), (200, 400)] {
            let wait = backoff.next_wait(None);
            assert!((ms(low)..=ms(high)).contains(&wait), "{wait:?}");
        }
        assert_eq!(backoff.next_wait(Some(ms(60_000))), ms(400));
        backoff.reset();
        assert_eq!(backoff.next_wait(Some(ms(150))), ms(150));
    }
}
