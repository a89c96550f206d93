//! Time and chance, as a move needs them.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rand::RngExt;
use tokio::time::Instant;

/// What a move waits by. [`RealTime`] everywhere but in a simulation, which has a time and a
/// chance of its own.
pub trait Pace: Send + Sync {
    /// Time since an instant in the past that stays the same for one move.
    fn now(&self) -> Duration;

    /// Is over once `span` has passed.
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;

    /// From 0 up to 1: spreads out the waits of many callers.
    fn chance(&self) -> f64;
}

/// Tokio's clock, and the thread's random numbers.
#[derive(Debug, Clone, Copy)]
pub struct RealTime {
    since: Instant,
}

impl Default for RealTime {
    fn default() -> Self {
        RealTime { since: Instant::now() }
    }
}

impl Pace for RealTime {
    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(span).boxed()
    }

    fn chance(&self) -> f64 {
        rand::rng().random_range(0.0..1.0)
    }
}
