//! A subscription that has had enough says so with 429 and `Retry-After`. Until then nobody asks
//! it anything more of that class: asking again only makes it longer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

/// When ARM gives no `Retry-After`.
const UNSAID: Duration = Duration::from_secs(1);
/// The longest that a subscription is believed: its buckets refill every second.
const LONGEST: Duration = Duration::from_secs(300);

/// ARM counts reads and writes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bucket {
    Reads,
    Writes,
}

impl Bucket {
    pub(super) fn of(method: &Method) -> Self {
        if *method == Method::GET { Bucket::Reads } else { Bucket::Writes }
    }
}

/// Subscriptions that want to be left alone.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    quiet_until: Mutex<BTreeMap<(String, Bucket), Instant>>,
}

impl Throttle {
    /// How long calls of that class have to wait; zero if they need not.
    pub(super) fn wait(&self, subscription: &str, bucket: Bucket, now: Instant) -> Duration {
        let quiet = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = quiet.get(&(subscription.to_ascii_lowercase(), bucket));
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Leaves the subscription alone for as long as it asks. Returns how long that is.
    pub(super) fn hush(
        &self,
        subscription: &str,
        bucket: Bucket,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Duration {
        let asked = retry_after.unwrap_or(UNSAID).min(LONGEST);
        let mut quiet = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.retain(|_, until| *until > now);
        let until = quiet.entry((subscription.to_ascii_lowercase(), bucket)).or_insert(now);
        *until = (*until).max(now + asked);
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_that_subscription_and_class_is_left_alone() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.hush("S1", Bucket::Reads, Some(Duration::from_secs(7)), now);
        throttle.hush("s1", Bucket::Reads, Some(Duration::from_secs(3)), now);
        assert_eq!(throttle.wait("s1", Bucket::Reads, now), Duration::from_secs(7));
        assert_eq!(throttle.wait("s1", Bucket::Writes, now), Duration::ZERO);
        assert_eq!(throttle.wait("s2", Bucket::Reads, now), Duration::ZERO);
        assert_eq!(throttle.wait("s1", Bucket::Reads, now + Duration::from_secs(7)), Duration::ZERO);
    }
}
