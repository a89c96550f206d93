//! How much one piece of work has tried, and how long it rests.

use std::time::Duration;

use super::{AdapterError, Backoff, Pace};

/// Failures in a row that a move rides out before it gives up and leaves the next attempt to its
/// caller. Five waits, from 50 ms doubled to at most 1 s, ride out a short burst of throttling.
const TRANSIENT_IN_A_ROW: u32 = 5;

/// Fresh reads after a conflict. Each means that someone else wrote one of our resources within
/// the time of one round, so a few are plausible and many are a fight that needs a person.
const CONFLICTS: u32 = 8;

/// Rounds that wrote something. A claim and a move take two; each conflict and each failure may
/// cost one more. More than this means that writes are accepted and do not last.
const WRITING_ROUNDS: u32 = 16;

/// Bounds what is tried again within one attempt of the control loop.
pub(super) struct Patience {
    /// On the clock of the work's pace.
    pub(super) rests_until: Duration,
    backoff: Backoff,
    failures: u32,
    conflicts: u32,
    writing: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Patience {
            rests_until: Duration::ZERO,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(1)),
            failures: 0,
            conflicts: 0,
            writing: 0,
        }
    }

    /// Something was written: the next round reads it back. `attempt` says what for, should it be
    /// once too often.
    pub(super) fn wrote(&mut self, attempt: impl FnOnce() -> String) -> Result<(), AdapterError> {
        if self.writing == WRITING_ROUNDS {
            return Err(AdapterError::conflict(attempt(), "each write was accepted, and none lasted"));
        }
        self.writing += 1;
        self.failures = 0;
        self.backoff.reset();
        Ok(())
    }

    /// Rests, if to try again may help; gives the error back otherwise.
    pub(super) fn failed(&mut self, pace: &dyn Pace, error: AdapterError) -> Result<(), AdapterError> {
        match &error {
            // The cloud is at work, on our own earlier change perhaps: only the deadline ends it.
            AdapterError::Busy { retry_after, .. } => {
                self.rests_until = self.next_rest(pace, *retry_after);
                Ok(())
            }
            AdapterError::Conflict { .. } if self.conflicts < CONFLICTS => {
                self.conflicts += 1;
                Ok(())
            }
            AdapterError::Transient { retry_after, .. } if self.failures < TRANSIENT_IN_A_ROW => {
                self.failures += 1;
                self.rests_until = self.next_rest(pace, *retry_after);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Until when to rest now.
    pub(super) fn next_rest(&mut self, pace: &dyn Pace, retry_after: Option<Duration>) -> Duration {
        pace.now() + self.backoff.next_wait_by(pace.chance(), retry_after)
    }
}
