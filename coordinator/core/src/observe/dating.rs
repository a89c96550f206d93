//! How old a vantage's view is, without comparing two machines' clocks.
//!
//! The leader's answer to each update carries a reading of the leader's own clock. The next update
//! says which reading it was answered with, and how long before the view was made. So the leader
//! knows a moment, on its own clock, before which the view cannot have been made: its age is never
//! taken for less than it is, however long an update was on its way or waited to be sent. It is
//! taken for more by the time that the reading itself was on its way.

use std::time::Duration;

use crate::time::Mono;

/// A vantage's clock may run faster than the leader's by one part in this many: 2 %, twice the
/// default bound on the drift of two clocks.
const DRIFT: u32 = 50;

/// The earliest moment, on the leader's clock, at which a view can have been made: `elapsed` after
/// a reading of that clock, `issued`, came in. Never after `now`.
pub fn made_at(issued: Mono, elapsed: Duration, now: Mono) -> Mono {
    issued.plus(elapsed.saturating_sub(elapsed / DRIFT)).min(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading that leaves at 1,000, is under way for `there`, is followed by a view after
    /// `elapsed`, and by the update's arrival after `back`.
    fn age(there: u64, elapsed: u64, back: u64, rate: f64) -> (u64, u64) {
        let made = 1_000 + there + elapsed;
        let arrived = made + back;
        let counted = Duration::from_millis(elapsed).mul_f64(rate);
        let about = made_at(Mono::from_millis(1_000), counted, Mono::from_millis(arrived));
        let taken_for = Mono::from_millis(arrived).since(about).as_millis();
        (back, u64::try_from(taken_for).unwrap())
    }

    #[test]
    fn a_view_is_never_taken_for_younger_than_it_is() {
        for there in [0, 1, 40, 500] {
            for elapsed in [0, 1, 250, 60_000] {
                for back in [0, 1, 40, 500, 30_000] {
                    for rate in [0.99, 1.0, 1.01] {
                        let (is, taken_for) = age(there, elapsed, back, rate);
                        assert!(taken_for >= is, "{there} {elapsed} {back} {rate}: {taken_for} < {is}");
                        // And not for much older: the way of the reading, and the allowance.
                        assert!(taken_for <= is + there + elapsed * 4 / 100 + 1, "{there} {elapsed} {back}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_view_is_not_of_the_future() {
        let now = Mono::from_millis(1_500);
        assert_eq!(made_at(Mono::from_millis(1_000), Duration::from_secs(9), now), now);
    }
}
