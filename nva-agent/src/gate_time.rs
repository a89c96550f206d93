//! For how long a gate in the kernel is opened, so that it is shut when the lease is over.

use std::io;
use std::time::Duration;

use coordinator_core::time::Mono;

use crate::clock;

/// The kernel counts an element's timeout in ticks, of 10 ms at most (`HZ=100`), and rounds up: an
/// element may match for this long after its timeout.
const KERNEL_TICK: Duration = Duration::from_millis(10);
/// Beyond that, the gate shuts this long before the deadline: more than a netlink message takes. A
/// twentieth of what is left of the lease where that is less.
const LONGEST_SPARE: Duration = Duration::from_millis(10);
/// How often a gate is opened anew, for less, when a message took longer than what was spared.
const ATTEMPTS: u32 = 3;
/// Neither gates nor addresses are refreshed more often: a refresh of an address is a notification to
/// everyone who listens to netlink. It is also how it is noticed that somebody removed a gate.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_millis(250);
/// The shortest lease that a gate can enforce with renewals in between: the gate takes 14 ms of
/// it, and the agent asks for a renewal eight times.
pub(crate) const SHORTEST_TTL: Duration = Duration::from_millis(100);
/// After nftables refused the rules of a gate, it is asked again this much later.
pub(crate) const RETRY: Duration = Duration::from_secs(30);

/// When a gate was opened last, and for which deadline.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Opened(Option<(Mono, Mono)>);

impl Opened {
    pub(crate) fn at(now: Mono, deadline: Mono) -> Self {
        Opened(Some((now, deadline)))
    }

    /// Whether it is open.
    pub(crate) fn is_open(self, now: Mono) -> bool {
        self.0.is_some_and(|(_, until)| now < until)
    }

    /// Whether it was opened at all since it was last shut.
    pub(crate) fn was_opened(self) -> bool {
        self.0.is_some()
    }

    /// Whether it need not be opened again yet for this deadline.
    pub(crate) fn will_do(self, now: Mono, deadline: Mono) -> bool {
        self.0.is_some_and(|(at, until)| {
            now < until && (until == deadline || now.since(at) < REFRESH_EVERY.min(deadline.since(at) / 16))
        })
    }
}

/// Opens a gate until just before `deadline`, by `open_for`. False when it is too late: then the
/// gate has to be shut, because an attempt may have opened it for too long.
pub(crate) fn open_until(
    deadline: Mono,
    mut open_for: impl FnMut(Duration) -> io::Result<()>,
) -> io::Result<bool> {
    for _ in 0..ATTEMPTS {
        let Some(timeout) = timeout(deadline.since(clock::now())) else { break };
        open_for(timeout)?;
        if clock::now().plus(timeout).plus(KERNEL_TICK) <= deadline {
            return Ok(true);
        }
        // The message took longer than what was spared: what was opened may be open for too
        // long. The next attempt takes its place.
    }
    Ok(false)
}

/// For how long a gate opens when `left` is left of the lease; `None` when that is too little.
pub(crate) fn timeout(left: Duration) -> Option<Duration> {
    let timeout = left.saturating_sub(KERNEL_TICK).saturating_sub(LONGEST_SPARE.min(left / 20));
    (timeout >= Duration::from_millis(1)).then_some(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_shuts_a_tick_and_a_little_more_before_the_lease_is_over() {
        let us = Duration::from_micros;
        assert_eq!(timeout(us(300_000)), Some(us(280_000)));
        assert_eq!(timeout(us(80_000)), Some(us(66_000)));
        assert_eq!((timeout(us(11_000)), timeout(us(0))), (None, None));
    }

    #[test]
    fn a_message_that_takes_too_long_is_sent_again_for_less_and_then_given_up() {
        let mut asked = Vec::new();
        let deadline = clock::now().plus(Duration::from_millis(100));
        let opened = open_until(deadline, |timeout| {
            asked.push(timeout);
            std::thread::sleep(Duration::from_millis(25));
            Ok(())
        });
        assert!(!opened.unwrap());
        assert!(asked.len() >= 2 && asked.windows(2).all(|pair| pair[1] < pair[0]), "{asked:?}");
    }

    #[test]
    fn what_was_opened_a_moment_ago_or_for_this_deadline_will_do() {
        let at = Mono::from_millis;
        let opened = Opened::at(at(1_000), at(4_000));
        assert!(opened.will_do(at(3_000), at(4_000)) && opened.is_open(at(3_999)));
        assert!(opened.will_do(at(1_100), at(4_100)), "a renewal, moments later");
        assert!(!opened.will_do(at(1_300), at(4_300)));
        assert!(!opened.will_do(at(4_000), at(4_000)) && !opened.is_open(at(4_000)));
        assert!(!Opened::default().will_do(at(0), at(1)) && !Opened::default().was_opened());
    }
}
