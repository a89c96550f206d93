//! The table.

use std::time::Duration;

use super::Fault;
use super::trial::Outcome;
use crate::stats::{Samples, ratio};

/// The trials of one subject with one fault.
#[derive(Debug, Default)]
pub struct Cell {
    /// Outages.
    pub outages: Samples,
    /// Trials in which two hosts held the address at once.
    pub two_holders: usize,
    /// The longest time that they did.
    pub longest: Duration,
    /// Trials in which nobody took over, or nothing came to rest.
    pub failed: usize,
}

impl Cell {
    /// Takes in a trial.
    pub fn add(&mut self, outcome: Outcome) {
        self.outages.push(outcome.outage);
        self.two_holders += usize::from(!outcome.two_holders.is_zero());
        self.longest = self.longest.max(outcome.two_holders);
    }
}

/// The rows of one subject.
#[derive(Debug)]
pub struct Row {
    /// The subject's name.
    pub subject: String,
    /// By fault.
    pub cells: Vec<(Fault, Cell)>,
}

impl Row {
    /// Nothing tried yet.
    pub fn new(subject: &str, faults: &[Fault]) -> Row {
        let cells = faults.iter().map(|fault| (*fault, Cell::default())).collect();
        Row { subject: subject.to_owned(), cells }
    }

    /// The cell of a fault.
    pub fn cell(&mut self, fault: Fault) -> Option<&mut Cell> {
        self.cells.iter_mut().find(|(of, _)| *of == fault).map(|(_, cell)| cell)
    }

    fn median(&self, fault: Fault) -> Option<Duration> {
        let (_, cell) = self.cells.iter().find(|(of, _)| *of == fault)?;
        (!cell.outages.is_empty()).then(|| cell.outages.p50())
    }
}

/// Prints all rows, each with its ratio to `yardstick`'s link down.
pub fn print(rows: &[Row], yardstick: &str) {
    let floor = rows.iter().find(|row| row.subject == yardstick).and_then(|row| row.median(Fault::LinkDown));
    let heading =
        ["subject", "fault", "trials", "median ms", "worst ms", "÷ yardstick", "two holders in", "for ms"];
    let lines = rows.iter().flat_map(|row| {
        let tried = row.cells.iter().filter(|(_, cell)| !cell.outages.is_empty() || cell.failed > 0);
        tried.map(|(fault, cell)| {
            let trials = cell.outages.len();
            let failed = if cell.failed > 0 { format!(" +{} failed", cell.failed) } else { String::new() };
            vec![
                row.subject.clone(),
                fault.to_string(),
                format!("{trials}{failed}"),
                millis(cell.outages.p50()),
                millis(cell.outages.percentile(100)),
                floor.map_or("–".to_owned(), |floor| ratio(cell.outages.p50(), floor)),
                format!("{} of {trials}", cell.two_holders),
                millis(cell.longest),
            ]
        })
    });
    crate::stats::print(&heading, &lines.collect::<Vec<_>>());
    match floor {
        Some(floor) => println!("yardstick: {yardstick}, link down, {} ms", millis(floor)),
        None => println!("no yardstick: {yardstick} was not measured in this run"),
    }
}

fn millis(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() * 1e3)
}
