//! The clock that all processes of a machine share, whatever their network namespace.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in microseconds: observations of different processes can be put on one line.
pub fn now_us() -> u64 {
    // It cannot fail for this clock; zero would show at once in any figure.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| {
        let micros = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000;
        u64::try_from(micros).unwrap_or(0)
    })
}
