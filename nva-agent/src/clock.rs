//! The clock that leases are measured with.

use std::time::Duration;

use coordinator_core::time::Mono;
use nix::time::{ClockId, clock_gettime};

/// Time since boot, *including* time spent suspended (`CLOCK_BOOTTIME`).
///
/// `std::time::Instant` stands still while a machine sleeps, so a lease measured with it would
/// come back to life with the machine. Where the clock cannot be read (Linux before 2.6.39), time
/// is reported as the end of time, at which no lease is valid.
pub(crate) fn now() -> Mono {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(time) => Mono(Duration::from(time)),
        Err(_) => Mono(Duration::MAX),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_is_readable_and_does_not_go_back() {
        let first = super::now();
        let second = super::now();
        assert!(second >= first);
        assert!(second.0 < std::time::Duration::MAX);
    }
}
