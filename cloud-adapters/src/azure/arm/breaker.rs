//! When ARM does not answer at all, calls fail at once for a while instead of one timeout after
//! another: the loop above stays alive, and ARM is not hammered when it comes back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row, of all calls together, that open it. More than the calls of a small move
/// that one bad second can hit.
const FAILURES: u32 = 12;
/// How long it stays open at first, doubled each time that the trial call fails.
const FIRST: Duration = Duration::from_secs(2);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(30);

/// Open while ARM does not answer.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// No call before that; then one, the trial.
    open_until: Option<Instant>,
    open_for: Duration,
}

impl Breaker {
    /// Whether a call may be made now; else how long to wait.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open_until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                // This one is the trial; the others wait for what becomes of it.
                state.open_until = Some(now + state.open_for);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What became of a call that was admitted.
    pub(super) fn record(&self, now: Instant, answered: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            if state.open_until.is_some() {
                tracing::info!("Azure answers again");
            }
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        // Calls that were under way when it opened say nothing new.
        if state.failures >= FAILURES && state.open_until.is_none_or(|until| now >= until) {
            state.open_for = (state.open_for * 2).clamp(FIRST, LONGEST);
            state.open_until = Some(now + state.open_for);
            let pause_s = state.open_for.as_secs();
            tracing::warn!(failures = state.failures, pause_s, "Azure does not answer; pausing all calls");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_failures_in_a_row_pause_all_calls_and_one_answer_ends_that() {
        let breaker = Breaker::default();
        let start = Instant::now();
        for _ in 0..FAILURES {
            breaker.admit(start).unwrap();
            breaker.record(start, false);
        }
        assert_eq!(breaker.admit(start), Err(FIRST));
        let later = start + FIRST;
        breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_err(), "only one trial");
        breaker.record(later, true);
        breaker.admit(later).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_trial_doubles_the_pause_up_to_a_bound() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        (0..FAILURES).for_each(|_| breaker.record(now, false));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let pause = breaker.admit(now).unwrap_err();
            pauses.push(pause.as_secs());
            now += pause;
            breaker.admit(now).unwrap();
            now += Duration::from_secs(60);
            breaker.record(now, false);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_between_failures_starts_the_count_again() {
        let breaker = Breaker::default();
        let now = Instant::now();
        for n in 0..10 * FAILURES {
            breaker.record(now, n % FAILURES == 0);
        }
        breaker.admit(now).unwrap();
    }
}
