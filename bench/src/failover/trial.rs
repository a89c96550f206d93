//! One trial: a subject at rest, a fault, what the client saw, and at rest again.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tests::clock::now_us;
use tests::netns::Network;

use super::watch::Watch;
use super::{Appliance, Fault, Subject};

/// How long a takeover, or coming to rest, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the address must be where it belongs before a fault, for the subject to be at rest.
const REST: Duration = Duration::from_millis(700);

/// How long the new holder must answer for the address to count as taken over.
const TAKEN: Duration = Duration::from_millis(300);

/// How long what must not move is watched: longer than a change of leader and a move after it.
const STAYS: Duration = Duration::from_secs(2);

/// What one trial showed.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The longest time without an answer for the client.
    pub outage: Duration,
    /// How long two hosts held the address at once, from the fault until all was at rest again.
    pub two_holders: Duration,
    /// Where the time went.
    pub course: Course,
}

/// Microseconds from the fault.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Until the struck appliance did not answer any more.
    pub silent: Option<u64>,
    /// Until the other one answered.
    pub answers: Option<u64>,
    /// Until it answered the client.
    pub serves: Option<u64>,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: Option<u64>| us.map_or("never".to_owned(), |us| format!("{:.1} ms", us as f64 / 1e3));
        write!(
            f,
            "the old one silent after {}, the new one answers after {}, the client after {}",
            ms(self.silent),
            ms(self.answers),
            ms(self.serves)
        )
    }
}

/// Strikes whoever is active, and waits until all is at rest again.
///
/// # Errors
/// When the subject does not take over, or does not come to rest.
pub fn run(subject: &mut dyn Subject, watch: &mut Watch, fault: Fault, rest: Duration) -> Result<Outcome> {
    let active = at_rest(subject, watch, rest).context("before the fault")?;
    let began = now_us();
    watch.forget_before(began - 100_000);
    subject.strike(fault, active)?;
    let taken = if fault == Fault::LeaderKilled {
        thread::sleep(STAYS);
        Ok(())
    } else {
        watch.until_held(active.other(), false, TAKEN, PATIENCE)
    };
    let course = course(watch, began, active);
    subject.heal(fault, active)?;
    taken?;
    let during = watch.since(began - 50_000);
    at_rest(subject, watch, rest).context("after it was healed")?;
    let outage = during.outage();
    Ok(Outcome { outage, two_holders: watch.since(began).two_holders(), course })
}

fn course(watch: &Watch, began: u64, active: Appliance) -> Course {
    let seen = watch.since(began);
    Course {
        silent: seen.silent_from(began, active),
        answers: seen.answers_from(began, active.other()),
        serves: seen.served_from(began, active.other()),
    }
}

fn at_rest(subject: &mut dyn Subject, watch: &mut Watch, rest: Duration) -> Result<Appliance> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let not_yet = match subject.settled() {
            Ok(active) => match watch.until_held(active, true, rest.max(REST), Duration::from_secs(8)) {
                // It may have moved while it was watched.
                Ok(()) if subject.settled().is_ok_and(|now| now == active) => return Ok(active),
                Ok(()) => anyhow::anyhow!("it moves by itself"),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() > deadline {
            bail!("not at rest after {PATIENCE:?}: {not_yet:#}");
        }
        thread::sleep(Duration::from_millis(100));
    }
}

const CUT: &str = "failover-cut";

/// Cuts a host off from others: whatever comes from or goes to them is dropped, VRRP's multicast
/// included.
///
/// # Errors
/// What `nft` says.
pub fn cut_off(network: &Network, host: &str, from: &[Ipv4Addr]) -> Result<()> {
    let list = from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let chain = |name, hook, direction| {
        format!(
            "chain {name} {{\ntype filter hook {hook} priority -400\nip {direction} {{ {list} }} drop\n\
             ip protocol 112 drop\n}}"
        )
    };
    let (ins, outs) = (chain("in", "prerouting", "saddr"), chain("out", "output", "daddr"));
    nft(network, host, &format!("table ip {CUT} {{\n{ins}\n{outs}\n}}"))
}

/// Undoes [`cut_off`].
///
/// # Errors
/// What `nft` says.
pub fn reconnect(network: &Network, host: &str) -> Result<()> {
    nft(network, host, &format!("delete table ip {CUT}"))
}

fn nft(network: &Network, host: &str, rules: &str) -> Result<()> {
    let mut command = network.command(host, Path::new("nft"));
    let done = tests::command::run(command.arg(rules), Duration::from_secs(5))?;
    if !done.status.success() {
        bail!("nft refused {rules:?}: {}", done.output());
    }
    Ok(())
}
