//! The whole matrix of faults in network namespaces: each fault on each part of a cluster, with
//! the VIP's holders and the service watched from the client's host.
//!
//! Two clusters side by side, one for the faults of appliances and one for those of coordinators;
//! in each one cell after the other, from a whole cluster to a whole cluster.

mod cell;
mod fault;
mod stage;

use std::thread;

use anyhow::{Result, anyhow, ensure};
use tests::loop_disk::LoopDisk;
use tests::privileged::{say, skip_unless_privileged};

use cell::{BUSY, Cell, DETECTION};
use fault::{FAULTS, Target};
use stage::{Disks, LEASE, Stage};

const NAME: &str = "every_fault_on_every_part_leaves_one_holder_and_a_whole_group";

#[test]
fn every_fault_on_every_part_leaves_one_holder_and_a_whole_group() -> Result<()> {
    if skip_unless_privileged(NAME)? {
        return Ok(());
    }
    let no_disks = LoopDisk::missing();
    if let Some(why) = &no_disks {
        say(&format!("{NAME}: the rows of the disks are skipped, {why}"));
    }
    let disks = |own| if no_disks.is_some() { Disks::None } else { own };
    let columns = [
        (disks(Disks::Agents), [Target::Active, Target::Standby]),
        (disks(Disks::Coordinators), [Target::Leader, Target::Follower]),
    ];
    let (cells, broken) = thread::scope(|scope| {
        let running = columns.map(|(disks, targets)| scope.spawn(move || run(disks, targets)));
        let (mut cells, mut broken) = (Vec::new(), Vec::new());
        for ended in running.map(thread::ScopedJoinHandle::join) {
            let (done, failed) = ended.unwrap_or_else(|_| (Vec::new(), Some(anyhow!("a panic"))));
            cells.extend(done);
            broken.extend(failed);
        }
        (cells, broken)
    });
    report(&cells)?;
    let wrong = cells.iter().flat_map(|cell| {
        cell.wrong.iter().map(|wrong| format!("{} of the {}: {wrong}", cell.fault.word(), cell.target.word()))
    });
    let wrong: Vec<_> = wrong.chain(broken.iter().map(|error| format!("{error:#}"))).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Plays all faults on the given targets, one after the other in one cluster. Returns the cells up
/// to the first that could not be played to its end, and why it could not.
fn run(disks: Disks, targets: [Target; 2]) -> (Vec<Cell>, Option<anyhow::Error>) {
    let mut cells = Vec::new();
    let mut stage = match Stage::set(disks) {
        Ok(stage) => stage,
        Err(error) => return (cells, Some(error)),
    };
    let wanted = std::env::var(ONLY).unwrap_or_default();
    for fault in FAULTS {
        for target in targets {
            let name = format!("{} of the {}", fault.word(), target.word());
            let possible = fault.strikes(target) && (stage.has_disks() || !fault.needs_disk());
            if !possible || !name.contains(&wanted) {
                continue;
            }
            let played = Cell::play(&mut stage, target, fault);
            match stage.cluster.explain(played.map_err(|error| error.context(name))) {
                Ok(cell) => {
                    if !cell.wrong.is_empty() {
                        let wrong: Result<()> = Err(anyhow!("{}", cell.wrong.join("; ")));
                        eprintln!("{:?}", stage.cluster.explain(wrong));
                    }
                    cells.push(cell);
                }
                Err(error) => return (cells, Some(error)),
            }
        }
    }
    (cells, None)
}

/// Set to a part of a cell's name, such as `SIGSTOP of the leader`, to play only those.
const ONLY: &str = "POINTSMAN_MATRIX_ONLY";

/// Prints the table, and leaves it beside the test binaries.
fn report(cells: &[Cell]) -> Result<()> {
    let mut table = vec![
        format!(
            "{:<22} | {:<15} | {:>9} | {:>12} | {:>5} | {:>10} | {:>14} |",
            "fault", "target", "outage ms", "two hosts ms", "moved", "new leader", "whole after ms"
        ),
        "-".repeat(107),
    ];
    let yes = |so| if so { "yes" } else { "no" };
    for fault in FAULTS {
        for cell in cells.iter().filter(|cell| cell.fault == fault) {
            table.push(format!(
                "{:<22} | {:<15} | {:>9} | {:>12} | {:>5} | {:>10} | {:>14} | {}",
                fault.word(),
                cell.target.word(),
                cell.outage_ms,
                cell.together_ms,
                yes(cell.moved),
                yes(cell.new_leader),
                cell.whole_after_ms,
                cell.wrong.join("; ")
            ));
        }
    }
    table.push(format!(
        "{} cells; lease {} ms, detection at most {} ms, {} ms more for a busy machine",
        cells.len(),
        LEASE.as_millis(),
        DETECTION.as_millis(),
        BUSY.as_millis()
    ));
    table.iter().for_each(|line| say(line));
    let file = tests::cluster::program().with_file_name("failover-matrix.txt");
    std::fs::write(&file, table.join("\n") + "\n")?;
    say(&format!("written to {}", file.display()));
    Ok(())
}
