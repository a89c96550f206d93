//! VIPs as addresses with a lifetime, so that the kernel removes them when nobody renews them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use coordinator_api::agent::VipAssignment;
use coordinator_core::time::Mono;

use crate::clock;
use crate::enforcer::Up;
use crate::gate_time::REFRESH_EVERY;
use crate::netlink::{Netlink, NetlinkError};

/// How much later than its lifetime the kernel may remove an address: it looks at lifetimes at
/// most once a second, so a look just before the end puts the next one a second later.
/// Measured: 0.01 to 0.26 s, and up to 0.98 s when another address changes at the wrong moment.
const KERNEL_LATENESS: Duration = Duration::from_millis(1_050);

/// Within [`KERNEL_LATENESS`] and not needed for it: how long a netlink request may take.
const SPARE: Duration = Duration::from_millis(50);

/// The kernel rounds an age up by this much when it compares it with a lifetime.
const KERNEL_ROUNDING: Duration = Duration::from_millis(20);

/// The shortest lease that lifetimes alone can enforce: one whole second of lifetime, the
/// kernel's lateness, and a quarter of a second for the reply and until the next renewal.
pub(crate) const SHORTEST_TTL: Duration = Duration::from_millis(2_300);

/// What ends a VIP on time when this process does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The lifetime: it must be over within the lease however late the kernel is.
    Lifetime,
    /// The gate, to the millisecond. The address behind it may go a little later.
    Gate,
}

/// The addresses that this process put on interfaces.
#[derive(Debug)]
pub(crate) struct Addresses {
    netlink: Netlink,
    /// When each was refreshed last, and until when the kernel does not remove it.
    refreshed: BTreeMap<(String, IpAddr), (Mono, Mono)>,
}

impl Addresses {
    pub(crate) fn connect() -> io::Result<Self> {
        Ok(Addresses { netlink: Netlink::connect()?, refreshed: BTreeMap::new() })
    }

    /// Adds or refreshes; see [`crate::enforcer::Enforcer::hold`].
    pub(crate) async fn hold(
        &mut self,
        vips: &[VipAssignment],
        now: Mono,
        deadline: Mono,
        ended_by: EndedBy,
    ) -> Result<Up, String> {
        let mut fresh = false;
        for vip in vips {
            let key = (vip.interface.clone(), vip.address);
            let last = self.refreshed.get(&key).copied();
            let there = last.is_some_and(|(_, until)| now < until);
            if there && last.is_some_and(|(at, _)| now.since(at) < REFRESH_EVERY) {
                continue;
            }
            let Some(seconds) = lifetime(now, deadline, ended_by) else {
                if there {
                    continue;
                }
                return Ok(Up::TooLate);
            };
            let until = self.refresh(vip, now, seconds).await?;
            // The lifetime counts from when the kernel did it, which may have taken a while.
            let latest = clock::now().plus(Duration::from_secs(seconds.into())).plus(KERNEL_LATENESS);
            if ended_by == EndedBy::Lifetime && latest > deadline.plus(SPARE) {
                return Err(describe("add in time", vip, &NetlinkError::Timeout));
            }
            self.refreshed.insert(key, (now, until));
            fresh |= !there;
        }
        Ok(Up::Yes { fresh })
    }

    async fn refresh(&self, vip: &VipAssignment, now: Mono, seconds: u32) -> Result<Mono, String> {
        let index = index_of(vip)?;
        let held = self.netlink.hold(index, vip.address, seconds).await;
        held.map_err(|error| describe("add", vip, &error))?;
        Ok(now.plus(Duration::from_secs(seconds.into())).minus(KERNEL_ROUNDING))
    }

    /// Removes; see [`crate::enforcer::Enforcer::clear`].
    pub(crate) async fn clear(&mut self, vips: &[VipAssignment]) -> Result<(), String> {
        let mut first_error = None;
        let mut unwanted = BTreeSet::new();
        for vip in vips {
            self.refreshed.remove(&(vip.interface.clone(), vip.address));
            // An interface that is gone took its addresses with it.
            let Ok(index) = index_of(vip) else { continue };
            unwanted.insert((index, vip.address));
            if let Err(error) = self.netlink.remove(index, vip.address).await {
                // Go on: the others must not stay because of this one.
                first_error.get_or_insert_with(|| describe("remove", vip, &error));
            }
        }
        if let Err(error) = self.netlink.remove_any(&unwanted).await {
            first_error.get_or_insert_with(|| format!("could not remove virtual addresses: {error}"));
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// Whole seconds of lifetime; `None` when there is no time for one.
fn lifetime(now: Mono, deadline: Mono, ended_by: EndedBy) -> Option<u32> {
    let left = deadline.since(now);
    let seconds = match ended_by {
        EndedBy::Lifetime => left.saturating_sub(KERNEL_LATENESS).as_secs(),
        EndedBy::Gate if left.is_zero() => 0,
        EndedBy::Gate => left.as_secs().max(1),
    };
    u32::try_from(seconds).ok().filter(|&seconds| seconds > 0)
}

fn index_of(vip: &VipAssignment) -> Result<u32, String> {
    nix::net::if_::if_nametoindex(vip.interface.as_str()).map_err(|_| missing(vip))
}

/// The fault of a VIP whose interface is not there.
pub(crate) fn missing(vip: &VipAssignment) -> String {
    format!(
        "binding {}: there is no interface {}; correct `interfaces` of the binding or create the interface",
        vip.binding, vip.interface
    )
}

fn describe(action: &str, vip: &VipAssignment, error: &NetlinkError) -> String {
    format!("binding {}: could not {action} {} on {}: {error}", vip.binding, vip.address, vip.interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_ends_within_the_lease_however_late_the_kernel_is() {
        let now = Mono::from_millis(500);
        for remaining in 0..10_000 {
            let left = Duration::from_millis(remaining);
            match lifetime(now, now.plus(left), EndedBy::Lifetime) {
                Some(seconds) => {
                    let gone = Duration::from_secs(u64::from(seconds)) + KERNEL_LATENESS;
                    assert!(seconds >= 1 && gone <= left, "{remaining}");
                }
                None => assert!(left < KERNEL_LATENESS + Duration::from_secs(1), "{remaining}"),
            }
        }
    }

    #[test]
    fn behind_the_gate_an_address_lasts_about_as_long_as_the_lease() {
        let now = Mono::from_millis(500);
        let lasts = |millis| lifetime(now, now.plus(Duration::from_millis(millis)), EndedBy::Gate);
        assert_eq!([lasts(0), lasts(1), lasts(300), lasts(2_900)], [None, Some(1), Some(1), Some(2)]);
    }
}
