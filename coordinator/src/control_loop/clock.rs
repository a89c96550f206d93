//! The node's two clocks, read in one place and passed on as values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coordinator_core::time::{Mono, Now, WallTime};
use tokio::time::Instant;

/// Turns the machine's clocks into the core's [`Now`].
///
/// Tokio's instant is used so that a paused runtime drives everything in a simulation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.mono(Instant::now()), wall: wall_now() }
    }

    /// An instant before the origin counts as the origin: earlier by nothing that matters, since
    /// the origin is the node's start.
    pub(crate) fn mono(&self, instant: Instant) -> Mono {
        Mono(instant.saturating_duration_since(self.origin))
    }

    pub(crate) fn instant(&self, mono: Mono) -> Instant {
        self.origin + mono.0
    }
}

/// Wall-clock time; zero for a clock set before 1970.
pub(crate) fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
