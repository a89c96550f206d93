//! The snapshot: replaced again and again, by processes that are killed.

use std::sync::Arc;

use coordinator::raft::codec::StateMeta;
use coordinator::raft::snapshot::{self, SnapshotDir};
use coordinator::raft::types::log_id;
use coordinator_core::state::State;

use super::Report;
use crate::disk::{Fault, Loss, Platter, SimDisk, Step};

/// Runs one seed: some snapshots over three lives, then every kind of loss at each step.
pub fn sweep(seed: u64, mistake: Option<Fault>) -> Report {
    let mut report = Report::default();
    report.violation = run(seed, mistake, &mut report.images).err();
    report
}

fn run(seed: u64, mistake: Option<Fault>, images: &mut u64) -> Result<(), String> {
    let mut disk = SimDisk::new(Platter::default());
    disk.record();
    for life in 0..3 {
        let dir = SnapshotDir::open_on(Arc::new(disk.clone())).map_err(|error| error.to_string())?;
        disk.set_fault(mistake);
        for n in 1..=4 {
            let index = life * 4 + n;
            disk.note(index << 1);
            dir.write(&encoded(index)?).map_err(|error| error.to_string())?;
            disk.note(index << 1 | 1);
        }
        disk = disk.kill();
    }
    let (mut platter, mut given, mut kept) = (Platter::default(), 0, 0);
    for (at, step) in disk.journal().iter().enumerate() {
        platter.apply(step);
        if let Step::Note(note) = step {
            *(if note & 1 == 1 { &mut kept } else { &mut given }) = note >> 1;
        }
        for loss in Loss::ALL {
            *images += 1;
            let image = SimDisk::new(platter.after_loss(loss, seed ^ ((at as u64) << 8)));
            let found =
                open(&image).map_err(|error| format!("seed {seed}, step {at}, loss {loss:?}: {error}"))?;
            if !(kept..=given).contains(&found) {
                return Err(format!(
                    "seed {seed}, step {at}, loss {loss:?}: snapshot {found}, not {kept} to {given}"
                ));
            }
        }
    }
    Ok(())
}

fn encoded(index: u64) -> Result<axum::body::Bytes, String> {
    let meta = StateMeta { applied: Some(log_id(1, index)), ..StateMeta::default() };
    snapshot::encode(&State::default(), &meta, |_| Ok::<_, std::io::Error>(Vec::new()))
        .map_err(|error| error.to_string())
}

/// The index of the snapshot that is found; 0 when there is none.
fn open(disk: &SimDisk) -> std::io::Result<u64> {
    let dir = SnapshotDir::open_on(Arc::new(disk.clone()))?;
    Ok(dir.read()?.and_then(|(meta, _)| meta.last_log_id).map_or(0, |id| id.index()))
}
