//! At any instant at most one appliance of a group carries its virtual IPs.

use crate::sim::agent::Agent;
use crate::sim::clock::At;

pub(crate) const NAME: &str = "one-vip-holder";

/// Judged whenever an appliance begins to carry them or goes on: of two stretches of time that
/// overlap, one begins while the other lasts.
pub(super) fn judge(agents: &[Agent], newest: usize, now: At) -> Result<(), String> {
    let mine = &agents[newest];
    let other =
        agents.iter().enumerate().find(|(i, a)| *i != newest && a.group == mine.group && a.carries(now));
    let Some((_, other)) = other else { return Ok(()) };
    let until = other.carried.map(|carried| carried.until).unwrap_or_default();
    Err(format!(
        "{} carries the VIPs while {} does, for another {} µs (process {}, machine {})",
        mine.name,
        other.name,
        until - now,
        if other.up { "up" } else { "dead" },
        if other.machine_up { "up" } else { "down" },
    ))
}
