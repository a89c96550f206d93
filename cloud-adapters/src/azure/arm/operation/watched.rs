//! How many operations are being looked at, and how often each may be.
//!
//! The attach of a public IP waits for its detach, and nothing waits for a route table. So what is
//! seen late of a NIC makes the whole move longer, and what is seen late of a table does not: when
//! there are too many operations to look at each as often as one would like, NICs go first.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Operations that are being looked at.
#[derive(Debug, Default)]
pub(in crate::azure::arm) struct Watchers {
    nics: AtomicU32,
    others: AtomicU32,
}

/// One of them, until it is dropped.
pub(super) struct Watched<'a>(&'a AtomicU32);

impl Watchers {
    pub(super) fn one_more(&self, nic: bool) -> Watched<'_> {
        let count = if nic { &self.nics } else { &self.others };
        count.fetch_add(1, Ordering::Relaxed);
        Watched(count)
    }

    /// The shortest wait between two looks at one operation that keeps all of them together within
    /// `polls` a second, when each would be looked at once in `first`.
    pub(super) fn share(&self, nic: bool, polls: u32, first: Duration) -> Duration {
        let load = |count: &AtomicU32| f64::from(count.load(Ordering::Relaxed));
        let (nics, others, polls) = (load(&self.nics), load(&self.others), f64::from(polls.max(4)));
        // A quarter is kept for the others, if there are any: they are to be seen as well. Where
        // that would be more than a fair share, they get that.
        let fair = polls * nics / (nics + others).max(1.0);
        let most = if others > 0.0 { fair.max(polls * 0.75) } else { polls };
        if nic {
            return SECOND.mul_f64(nics / most);
        }
        let wanted = nics / first.max(Duration::from_millis(1)).as_secs_f64();
        SECOND.mul_f64(others / (polls - wanted.min(most)).max(1.0))
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);

    fn shares(nics: u32, others: u32) -> (Duration, Duration) {
        let watchers = Watchers { nics: nics.into(), others: others.into() };
        (watchers.share(true, 40, FIRST), watchers.share(false, 40, FIRST))
    }

    #[test]
    fn few_operations_are_looked_at_as_often_as_one_likes() {
        let (nics, others) = shares(2, 3);
        assert!(nics < FIRST && others < FIRST);
    }

    #[test]
    fn of_many_the_nics_go_first_and_all_together_stay_within_the_bound() {
        for (nics, others) in [(20, 20), (10, 20), (200, 20), (0, 100), (100, 0), (1, 1_000)] {
            let (of_nics, of_others) = shares(nics, others);
            let rate = |count: u32, share: Duration| f64::from(count) / share.max(FIRST).as_secs_f64();
            let rates = rate(nics, of_nics) + rate(others, of_others);
            assert!(rates <= 40.5, "{nics} and {others}: {rates} a second");
            let first = of_nics <= of_others + Duration::from_millis(1);
            assert!(nics == 0 || others == 0 || first, "{nics} and {others}");
        }
    }

    #[test]
    fn an_operation_that_is_looked_at_no_more_does_not_count() {
        let watchers = Watchers::default();
        let one = watchers.one_more(true);
        assert_eq!(watchers.share(true, 40, FIRST), SECOND / 40);
        drop(one);
        assert_eq!(watchers.share(true, 40, FIRST), Duration::ZERO);
    }
}
