//! What a round of moves would write: planned in one place, for those who write it and for those who
//! only want to know.

use super::Seen;
use super::merge::{Merged, Overlay};
use crate::contract::{Adapter, AdapterError, MoveJob};

/// The writes of a round.
#[derive(Default)]
pub(super) struct Planned {
    /// Layer by layer.
    pub(super) merged: Merged,
    /// The documents as the writes leave them.
    pub(super) overlay: Overlay,
    /// Jobs for which nothing is to be written.
    pub(super) idle: Vec<usize>,
    /// Jobs that cannot be planned.
    pub(super) failed: Vec<(usize, AdapterError)>,
}

/// Claims of what is not claimed yet, all side by side: none rests on another.
pub(super) fn claims<'a>(
    adapter: &dyn Adapter,
    job: impl Fn(usize) -> &'a MoveJob,
    seen: &[Seen],
) -> Planned {
    let mut planned = Planned::default();
    for Seen { at, actual } in seen {
        match adapter.plan_claim(&planned.overlay.over(actual), job(*at)) {
            // Another job may be claiming for this one as well: then it waits for the next read.
            Ok(claims) if claims.is_empty() => {
                if !planned.merged.touches(actual) {
                    planned.idle.push(*at);
                }
            }
            Ok(claims) => {
                for claim in claims {
                    planned.overlay.put(&claim, job(*at).token);
                    planned.merged.add(0, *at, claim);
                }
            }
            Err(error) => planned.failed.push((*at, error)),
        }
    }
    planned
}

/// Each job's changes in their order, and what several jobs want of one resource as one write.
pub(super) fn changes<'a>(
    adapter: &dyn Adapter,
    job: impl Fn(usize) -> &'a MoveJob,
    seen: &[Seen],
) -> Planned {
    let mut planned = Planned::default();
    for Seen { at, actual } in seen {
        match adapter.plan(&planned.overlay.over(actual), job(*at)) {
            Ok(changes) if changes.is_empty() => planned.idle.push(*at),
            Ok(changes) => {
                let mut layer = 0;
                for change in changes {
                    // Written earlier than this change may be: the next round sees to it.
                    let Some(place) = planned.merged.place(&change.resource, layer) else { break };
                    planned.overlay.put(&change, job(*at).token);
                    planned.merged.add(place, *at, change);
                    layer = place + 1;
                }
            }
            Err(error) => planned.failed.push((*at, error)),
        }
    }
    planned
}
