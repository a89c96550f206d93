//! `sim`: runs the simulator for a seed, a range of seeds, or as long as it is told.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tests::sim::{self, Keep, Mutation, Options, Outcome};

const USAGE: &str =
    "usage: sim [--seed N | --seeds A..B] [--minutes M] [--for SECONDS] [--mutation NAME] [--thorough] [--trace]

  --seed N        one seed
  --seeds A..B    seeds A up to, but not including, B; default 0..100
  --minutes M     virtual minutes of each; default 10
  --for SECONDS   goes on with further seeds until this much real time has passed
  --mutation NAME makes a deliberate mistake in the protocol
  --thorough      judges everything after every entry, not only what it can have changed
  --trace         prints everything that happens";

struct Asked {
    first: u64,
    end: Option<u64>,
    minutes: u64,
    wall: Option<Duration>,
    mutation: Option<Mutation>,
    keep: Keep,
    thorough: bool,
}

fn main() -> ExitCode {
    match asked().and_then(|asked| sweep(&asked)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked> {
    let mut asked = Asked {
        first: 0,
        end: None,
        minutes: 10,
        wall: None,
        mutation: None,
        keep: Keep::Nothing,
        thorough: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seed" => {
                asked.first = value()?.parse().context("--seed takes a number")?;
                asked.end = Some(asked.first + 1);
            }
            "--seeds" => {
                let range = value()?;
                let (first, end) = range.split_once("..").context("--seeds takes A..B")?;
                asked.first = first.parse().context("--seeds takes A..B")?;
                asked.end = Some(end.parse().context("--seeds takes A..B")?);
            }
            "--minutes" => asked.minutes = value()?.parse().context("--minutes takes a number")?,
            "--for" => {
                asked.wall = Some(Duration::from_secs(value()?.parse().context("--for takes seconds")?))
            }
            "--mutation" => {
                let name = value()?;
                asked.mutation = Some(Mutation::named(&name).with_context(|| {
                    let names = Mutation::ALL.map(Mutation::name).join(", ");
                    format!("there is no mutation {name}; there are {names}")
                })?);
            }
            "--thorough" => asked.thorough = true,
            "--trace" => asked.keep = Keep::All,
            _ => bail!("{arg} is not known"),
        }
    }
    Ok(asked)
}

/// Runs until a violation, the last seed, or the end of the time. True when nothing was broken.
fn sweep(asked: &Asked) -> Result<bool> {
    let started = Instant::now();
    let in_time = || asked.wall.is_none_or(|wall| started.elapsed() < wall);
    let end = asked.end.unwrap_or(if asked.wall.is_some() { u64::MAX } else { asked.first + 100 });
    let (mut seeds, mut virtual_us, mut events, mut committed) = (0u64, 0u64, 0u64, 0u64);
    let mut last_resorts = [0; 3];
    let mut sound = true;
    for seed in asked.first..end {
        if !in_time() {
            break;
        }
        let Asked { minutes, mutation, keep, thorough, .. } = *asked;
        let options = Options { seed, minutes, mutation, keep, thorough };
        let mut outcome = sim::run(options);
        if outcome.violation.is_some() && keep == Keep::Nothing {
            outcome = sim::run(Options { keep: Keep::Tail, ..options });
        }
        seeds += 1;
        virtual_us += outcome.ran_us;
        events += outcome.events;
        committed += outcome.committed;
        last_resorts.iter_mut().zip(outcome.last_resorts).for_each(|(sum, seen)| *sum += seen);
        if keep == Keep::All && outcome.violation.is_none() {
            outcome.trace.iter().for_each(|line| println!("{line}"));
        }
        if outcome.violation.is_some() {
            tell(&outcome);
            sound = false;
            break;
        }
    }
    let [promises, held_back, switched_off] = last_resorts;
    let real = started.elapsed().as_secs_f64();
    let virtual_s = Duration::from_micros(virtual_us).as_secs_f64();
    println!(
        "{seeds} seeds, {virtual_s:.0} s of virtual time, {events} events, {committed} commands committed, {promises} renewals by promises, \
         {held_back} grants held back, {switched_off} power-offs in {real:.1} s: \
         {:.0} virtual seconds per second",
        virtual_s / real.max(0.001)
    );
    Ok(sound)
}

fn tell(outcome: &Outcome) {
    println!("{outcome}");
}
