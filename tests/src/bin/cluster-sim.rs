//! `cluster-sim`: runs the real cluster on a simulated network, for a seed, a range of seeds, or as
//! long as it is told.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tests::cluster_sim::{self, Mutation, Options, Outcome};

const USAGE: &str =
    "usage: cluster-sim [--seed N | --seeds A..B] [--seconds S] [--for SECONDS] [--mutation NAME] [--trace]

  --seed N        one seed
  --seeds A..B    seeds A up to, but not including, B; default 0..20
  --seconds S     virtual seconds of faults in each; default 60
  --for SECONDS   goes on with further seeds until this much real time has passed
  --mutation NAME makes a deliberate mistake
  --trace         prints everything that happens";

struct Asked {
    first: u64,
    end: Option<u64>,
    seconds: u64,
    wall: Option<Duration>,
    mutation: Option<Mutation>,
    keep_all: bool,
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
    let mut asked = Asked { first: 0, end: None, seconds: 60, wall: None, mutation: None, keep_all: false };
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
            "--seconds" => asked.seconds = value()?.parse().context("--seconds takes a number")?,
            "--for" => {
                asked.wall = Some(Duration::from_secs(value()?.parse().context("--for takes seconds")?));
            }
            "--mutation" => {
                let name = value()?;
                asked.mutation = Some(Mutation::named(&name).with_context(|| {
                    let names = Mutation::ALL.map(Mutation::name).join(", ");
                    format!("there is no mutation {name}; there are {names}")
                })?);
            }
            "--trace" => asked.keep_all = true,
            _ => bail!("{arg} is not known"),
        }
    }
    Ok(asked)
}

/// Runs until a violation, the last seed, or the end of the time. True when nothing was broken.
fn sweep(asked: &Asked) -> Result<bool> {
    let started = Instant::now();
    let in_time = || asked.wall.is_none_or(|wall| started.elapsed() < wall);
    let end = asked.end.unwrap_or(if asked.wall.is_some() { u64::MAX } else { asked.first + 20 });
    let (mut seeds, mut ran, mut sums) = (0_u64, Duration::ZERO, [0_u64; 4]);
    let mut sound = true;
    for seed in asked.first..end {
        if !in_time() {
            break;
        }
        let Asked { seconds, mutation, keep_all, .. } = *asked;
        let outcome = cluster_sim::run(Options { seed, seconds, mutation, keep_all });
        seeds += 1;
        ran += outcome.ran;
        let Outcome { acknowledged, reads, terms, crashes, .. } = outcome;
        for (sum, count) in sums.iter_mut().zip([acknowledged, reads, terms, crashes]) {
            *sum += count;
        }
        sound = outcome.violation.is_none();
        if !sound || keep_all {
            println!("{outcome}");
        }
        if !sound {
            break;
        }
    }
    let real = started.elapsed().as_secs_f64();
    let [acknowledged, reads, terms, crashes] = sums;
    println!(
        "{seeds} seeds, {:.0} s of virtual time, {acknowledged} commands acknowledged, {reads} reads confirmed, {terms} \
         leaderships, {crashes} crashes in {real:.1} s: {:.0} virtual seconds per second",
        ran.as_secs_f64(),
        ran.as_secs_f64() / real.max(0.001)
    );
    Ok(sound)
}
