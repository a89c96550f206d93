//! The monotonic clock, read through Tokio: a paused runtime then drives every wait and every
//! comparison of a simulated run. On a machine it is the standard clock.

use std::time::Instant;

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
