//! The writes that a move would make, planned on what the clouds say now.

use std::time::Duration;

use cloud_adapters::contract::{Preview, preview};
use cloud_adapters::{Adapters, Journal, MoveJob};
use coordinator_api::v1::{PlannedPart, PlannedWrite};
use coordinator_core::ids::BindingName;
use futures::future::join_all;

use super::Sketch;

/// How long reading the clouds may take: well within what a request may.
const READING: Duration = Duration::from_secs(6);

/// Adds a part for each set of bindings that would be moved together.
pub(crate) async fn add_writes(adapters: &Adapters, sketch: Sketch) -> coordinator_api::v1::DryRun {
    let Sketch { mut dry, moves } = sketch;
    let sets = adapters.entangled(moves);
    dry.parts.extend(join_all(sets.iter().map(|jobs| part(adapters, jobs))).await);
    dry
}

async fn part(adapters: &Adapters, jobs: &[MoveJob]) -> PlannedPart {
    let name = |at: usize| jobs.get(at).map(|job| job.binding.name.clone());
    let bindings: Vec<BindingName> = jobs.iter().map(|job| job.binding.name.clone()).collect();
    let to = jobs.first().map(|job| job.to.to_string()).unwrap_or_default();
    let names: Vec<&str> = bindings.iter().map(BindingName::as_str).collect();
    let mut part = PlannedPart {
        what: format!("{} to point at {to}", names.join(", ")),
        bindings,
        waves: Vec::new(),
        problems: Vec::new(),
    };
    let adapter = match jobs.first().map(|job| adapters.for_binding(&job.binding)) {
        Some(Ok(adapter)) => adapter,
        Some(Err(error)) => {
            part.problems.push(error.chain());
            return part;
        }
        None => return part,
    };
    let journal = Journal::default();
    match tokio::time::timeout(READING, preview(&*adapter, jobs, &journal)).await {
        Ok(Preview { waves, problems }) => {
            let write = |write: cloud_adapters::contract::PreviewedWrite| PlannedWrite {
                resource: write.resource,
                what: write.what,
                bindings: write.jobs.into_iter().filter_map(name).collect(),
                changes: write.changes,
            };
            part.waves = waves.into_iter().map(|wave| wave.into_iter().map(write).collect()).collect();
            let told = |(at, why): (usize, String)| match name(at) {
                Some(name) => format!("{name}: {why}"),
                None => why,
            };
            part.problems = problems.into_iter().map(told).collect();
        }
        Err(_) => {
            part.problems.push(format!("the cloud was not read within {} s", READING.as_secs()));
        }
    }
    part
}
