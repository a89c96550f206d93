//! How long a client is without its virtual address when something happens to the appliance that
//! holds it, side by side with keepalived where that is installed; and whether two hosts ever held
//! the address at once.
//!
//! Runs as root, in network namespaces that it makes and removes. See `bench/README.md`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bench::failover::echo::{self, Mac};
use bench::failover::keepalived::{self, Keepalived};
use bench::failover::pointsman::{Pointsman, Profile};
use bench::failover::report::{self, Row};
use bench::failover::watch::{self, Watch};
use bench::failover::{Fault, Subject, trial};

const USAGE: &str = "usage: failover_time [--trials N] [--only TEXT] [--fault TEXT] [--verbose]
  --trials N     trials of each fault with each subject, in turn (default 10)
  --only TEXT    only subjects whose name contains it; may be given more than once
  --fault TEXT   only faults whose name contains it; may be given more than once
  --verbose      shows each trial, and where its time went";

/// What Pointsman's figures are divided by.
const YARDSTICK: &str = "keepalived 100 ms";

/// What is measured, with how it is started.
struct Entry {
    name: String,
    /// How long it must be at rest before a fault: several of its own intervals.
    rest: Duration,
    start: Box<dyn Fn() -> Result<Box<dyn Subject>>>,
}

struct Options {
    trials: usize,
    only: Vec<String>,
    faults: Vec<Fault>,
    verbose: bool,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, interface, source, vip, macs @ ..] = args.as_slice()
        && word == watch::WORD
    {
        let macs = macs.iter().map(|mac| parse_mac(mac)).collect::<Result<Vec<_>>>()?;
        let macs: [Mac; 2] = macs.try_into().ok().context("two hardware addresses")?;
        return echo::run(interface, source.parse()?, vip.parse()?, macs);
    }
    let options = Options::parse(&args)?;
    ensure!(nix::unistd::geteuid().is_root(), "this makes network namespaces: run it as root");
    let program = tests::cluster::program();
    ensure!(
        program.exists(),
        "{} is missing; build it with `cargo build --release -p tests --bins`",
        program.display()
    );
    measure(&options)
}

impl Options {
    fn parse(args: &[String]) -> Result<Options> {
        let mut options = Options { trials: 10, only: Vec::new(), faults: Vec::new(), verbose: false };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "--trials" => options.trials = value()?.parse()?,
                "--only" => options.only.push(value()?.clone()),
                "--fault" => {
                    let text = value()?;
                    let named = Fault::ALL.into_iter().filter(|fault| fault.to_string().contains(text));
                    options.faults.extend(named);
                }
                "--verbose" => options.verbose = true,
                _ => bail!("{USAGE}"),
            }
        }
        if options.faults.is_empty() {
            options.faults = Fault::ALL.to_vec();
        }
        Ok(options)
    }
}

fn entries(only: &[String]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let ms = Duration::from_millis;
    match keepalived::version() {
        Some(version) => {
            println!("keepalived {version}");
            for advert in [1_000, 100, 10].map(ms) {
                entries.push(Entry {
                    name: format!("keepalived {} ms", advert.as_millis()),
                    rest: advert * 4,
                    start: Box::new(move || Ok(Box::new(Keepalived::start(advert)?))),
                });
            }
        }
        None => println!("keepalived is not installed: Pointsman alone is measured"),
    }
    for lease in [1_000, 300, 100].map(ms) {
        entries.push(Entry {
            name: format!("pointsman {} ms", lease.as_millis()),
            rest: lease,
            start: Box::new(move || Ok(Box::new(Pointsman::start(Profile::for_lease(lease))?))),
        });
    }
    entries.retain(|entry| only.is_empty() || only.iter().any(|text| entry.name.contains(text)));
    entries
}

fn measure(options: &Options) -> Result<()> {
    println!("load before: {}", load());
    let entries = entries(&options.only);
    let mut rows: Vec<_> = entries.iter().map(|entry| Row::new(&entry.name, &options.faults)).collect();
    for round in 1..=options.trials {
        for (entry, row) in entries.iter().zip(&mut rows) {
            if let Err(error) = turn(entry, row, options) {
                eprintln!("{}, round {round}: {error:#}", entry.name);
            }
        }
        eprintln!("round {round} of {} is done, load {}", options.trials, load());
    }
    report::print(&rows, YARDSTICK);
    println!("load after: {}", load());
    Ok(())
}

/// One subject's turn: every fault once. After a trial that went wrong it is started anew.
fn turn(entry: &Entry, row: &mut Row, options: &Options) -> Result<()> {
    let mut running: Option<(Watch, Box<dyn Subject>)> = None;
    for fault in &options.faults {
        if running.is_none() {
            let subject = (entry.start)()?;
            running = Some((Watch::start(subject.network())?, subject));
        }
        let Some((watch, subject)) = &mut running else { continue };
        if !subject.knows(*fault) {
            continue;
        }
        let outcome = trial::run(subject.as_mut(), watch, *fault, entry.rest);
        let Some(cell) = row.cell(*fault) else { continue };
        match outcome {
            Ok(outcome) => {
                if options.verbose {
                    let (outage, two) = (outcome.outage, outcome.two_holders);
                    println!("{}, {fault}: {outage:?}, two holders {two:?}; {}", entry.name, outcome.course);
                    println!("{}", subject.story());
                }
                cell.add(outcome);
            }
            Err(error) => {
                cell.failed += 1;
                eprintln!("{}, {fault}: {error:#}", entry.name);
                if options.verbose {
                    eprintln!("{}", subject.logs());
                }
                running = None;
            }
        }
    }
    Ok(())
}

/// The machine's load averages.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn parse_mac(text: &str) -> Result<Mac> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<_>, _>>()?;
    bytes.try_into().ok().with_context(|| format!("not a hardware address: {text}"))
}
