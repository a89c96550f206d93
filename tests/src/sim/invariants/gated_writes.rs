//! No write leaves for the cloud from a leader that was replaced longer ago than a quorum may take
//! to confirm it.

use crate::sim::clock::{At, ms};

pub(crate) const NAME: &str = "gated-writes";

/// `act.rs`: a confirmation that took longer counts for nothing.
const CONFIRM: At = ms(1_000);

/// A leader of `term` writes at `now`. `elections` holds every term with its beginning. A process
/// that was stopped between the confirmation and the write knows no better until `resumed_at`.
pub(super) fn judge(elections: &[(u64, At)], term: u64, resumed_at: At, now: At) -> Result<(), String> {
    let since = now.saturating_sub(CONFIRM);
    match elections.iter().find(|(newer, at)| *newer > term && *at < since) {
        Some((newer, at)) if resumed_at < since => Err(format!(
            "a leader of term {term} writes to the cloud {} ms after term {newer} had begun",
            (now - at) / 1_000
        )),
        _ => Ok(()),
    }
}
