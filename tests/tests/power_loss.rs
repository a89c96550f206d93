//! Nothing acknowledged is lost when the power goes, and nothing damaged is read past.

use tests::disk::Fault;
use tests::power_loss::{Report, snapshot, store, wal};

fn clean(report: &Report, at_least: u64) {
    assert!(report.violation.is_none(), "{report:?}");
    assert!(report.images >= at_least, "only {} disks were tried", report.images);
}

#[test]
fn the_log_keeps_what_it_acknowledged_wherever_the_power_goes() {
    for seed in 0..4 {
        let report = wal::sweep(seed, 4, None);
        println!("seed {seed}: {} disks", report.images);
        clean(&report, 1_000);
    }
}

#[test]
fn the_log_starts_with_no_damaged_sector_or_names_the_file() {
    let (refused, harmless) = wal::damage(1).expect("nothing is read past");
    assert!(refused > 20 && harmless > 5, "{refused} refused, {harmless} harmless");
}

#[test]
fn a_snapshot_is_the_old_or_the_new_one_wherever_the_power_goes() {
    clean(&snapshot::sweep(1, None), 200);
}

#[test]
fn the_state_store_is_whole_or_empty_wherever_the_power_goes() {
    for seed in 0..3 {
        let swept = store::sweep(seed, 12);
        println!("seed {seed}: {swept:?}");
        clean(&swept.report, 100);
    }
}

#[test]
fn a_batch_that_is_acknowledged_before_it_is_synced_is_found() {
    let mistake = Some(Fault::AcknowledgesBeforeSync);
    let found = (0..3).find_map(|seed| wal::sweep(seed, 4, mistake).violation);
    assert!(found.as_ref().is_some_and(|what| what.contains("acknowledged")), "{found:?}");
}

#[test]
fn a_directory_that_is_never_synced_is_found() {
    let mistake = Some(Fault::ForgetsDirectories);
    assert!((0..3).any(|seed| wal::sweep(seed, 4, mistake).violation.is_some()));
    assert!(snapshot::sweep(1, mistake).violation.is_some());
}
