//! What moving bindings together would write, planned on what the cloud says now. Writes nothing.

use std::collections::BTreeMap;

use coordinator_api::difference::{Difference, differences};
use serde_json::Value;

use super::merge::Merged;
use super::{Seen, plan, refuse_if_deposed};
use crate::contract::{Adapter, Journal, MoveJob, Pointing};

/// The writes of one round: nearly always all that a move takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// One after the other, each all at once. The first are the claims.
    pub waves: Vec<Vec<PreviewedWrite>>,
    /// By a job's place in the list: why its writes are not known, or what stands against them.
    pub problems: Vec<(usize, String)>,
}

/// One conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewedWrite {
    /// The resource's id.
    pub resource: String,
    /// What it is for.
    pub what: String,
    /// The places of the jobs that it is for.
    pub jobs: Vec<usize>,
    /// Everything that changes on the resource.
    pub changes: Vec<Difference>,
}

/// Reads for all jobs, which share resources, and plans as a move would.
pub async fn preview(adapter: &dyn Adapter, jobs: &[MoveJob], journal: &Journal) -> Preview {
    let asks: Vec<_> = jobs.iter().map(|job| (&job.group, &job.binding)).collect();
    let read = adapter.read_all(&asks, journal).await;
    let mut preview = Preview::default();
    let mut seen = Vec::with_capacity(jobs.len());
    for (at, (job, result)) in jobs.iter().zip(read).enumerate() {
        match result.and_then(|actual| refuse_if_deposed(job, &actual).map(|()| actual)) {
            Ok(actual) => seen.push(Seen { at, actual }),
            Err(error) => preview.problems.push((at, error.chain())),
        }
    }
    let mut current: BTreeMap<String, Value> = BTreeMap::new();
    for resource in seen.iter().flat_map(|seen| &seen.actual.resources) {
        current.insert(resource.id.clone(), resource.document.clone());
    }

    let claims = plan::claims(adapter, |at| &jobs[at], &seen);
    for seen in &mut seen {
        seen.actual = claims.overlay.over(&seen.actual);
    }
    preview.take(claims.merged, claims.failed, &mut current);

    let unsettled = seen.iter().filter(|seen| !seen.actual.settled).map(|seen| seen.at);
    let waits = "the cloud is changing it: a move waits for the end of that before it goes on";
    preview.problems.extend(unsettled.map(|at| (at, waits.to_owned())));
    let changes = plan::changes(adapter, |at| &jobs[at], &seen);
    for at in &changes.idle {
        let stuck = seen
            .iter()
            .find(|seen| seen.at == *at)
            .filter(|seen| seen.actual.settled && seen.actual.pointing != Pointing::At(jobs[*at].to.clone()));
        if let Some(seen) = stuck {
            let why = format!(
                "it points at {}, and no write is known that would change that",
                seen.actual.pointing
            );
            preview.problems.push((*at, why));
        }
    }
    preview.take(changes.merged, changes.failed, &mut current);
    preview
}

impl Preview {
    fn take(
        &mut self,
        mut merged: Merged,
        failed: Vec<(usize, crate::contract::AdapterError)>,
        current: &mut BTreeMap<String, Value>,
    ) {
        self.problems.extend(failed.into_iter().map(|(at, error)| (at, error.chain())));
        for layer in merged.take_layers() {
            let write = |(change, jobs): (crate::contract::Change, Vec<usize>)| {
                let before = current.insert(change.resource.clone(), change.document.clone());
                PreviewedWrite {
                    changes: differences(&before.unwrap_or_default(), &change.document),
                    resource: change.resource,
                    what: change.attempt,
                    jobs,
                }
            };
            self.waves.push(layer.into_iter().map(write).collect());
        }
    }
}
