//! What the client saw, and what it means.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ::tests::clock::now_us;
use ::tests::netns::{INTERFACE, Network};
use anyhow::{Context, Result, bail};

use super::echo::Tick;
use super::{Appliance, CLIENT, VIP};

/// The hidden word with which the program starts itself as the client.
pub const WORD: &str = "echo-client";

/// A running client; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    ticks: Arc<Mutex<Vec<Tick>>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Gone already, at worst.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watch {
    /// Starts the client in its namespace.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(network: &Network) -> Result<Watch> {
        let mut command = network.command(CLIENT, &std::env::current_exe()?);
        command.args([WORD, INTERFACE, &network.address(CLIENT)?.to_string(), &VIP.to_string()]);
        for appliance in Appliance::BOTH {
            command.arg(network.mac(appliance.host())?);
        }
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.context("could not start the client")?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let ticks = Arc::new(Mutex::new(Vec::new()));
        let seen = ticks.clone();
        // Ends with the client.
        thread::spawn(move || {
            for tick in lines.map_while(Result::ok).filter_map(|line| Tick::parse(&line)) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(tick);
            }
        });
        Ok(Watch { child, ticks })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tick>> {
        self.ticks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything that was asked before `us`.
    pub fn forget_before(&self, us: u64) {
        self.lock().retain(|tick| tick.sent_us >= us);
    }

    /// What was seen since `us`.
    pub fn since(&self, us: u64) -> Seen {
        Seen(self.lock().iter().copied().filter(|tick| tick.sent_us >= us).collect())
    }

    /// Waits until `appliance` has answered every question for `span`, to the client as well, and,
    /// if `alone`, nobody else has answered any.
    ///
    /// # Errors
    /// After `patience`, with what was seen at the end.
    pub fn until_held(
        &mut self,
        appliance: Appliance,
        alone: bool,
        span: Duration,
        patience: Duration,
    ) -> Result<()> {
        let deadline = now_us() + micros(patience);
        let span = micros(span);
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the client ended ({status})");
            }
            let newest = self.lock().last().map_or(0, |tick| tick.sent_us);
            let seen = self.since(newest.saturating_sub(span));
            let enough = seen.0.first().is_some_and(|first| newest.saturating_sub(first.sent_us) >= span / 2);
            if enough && seen.0.iter().all(|tick| held(*tick, appliance, alone)) {
                return Ok(());
            }
            if now_us() > deadline {
                let last = seen.0.last().copied().unwrap_or_default();
                bail!(
                    "{} does not carry the address after {patience:?}; at the end: {last:?}",
                    appliance.host()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn held(tick: Tick, appliance: Appliance, alone: bool) -> bool {
    let bit = bit(appliance);
    let holders = if alone { tick.holders == bit } else { tick.holders & bit != 0 };
    // Two hosts with one address both answer the client, now this one, now that one.
    holders && tick.client != 0 && (!alone || tick.client == bit)
}

fn bit(appliance: Appliance) -> u8 {
    match appliance {
        Appliance::A => 1,
        Appliance::B => 2,
    }
}

/// Ticks in order.
#[derive(Debug, Clone)]
pub struct Seen(Vec<Tick>);

impl Seen {
    /// The longest time from a question of the client that was answered to the next one that was,
    /// with at least one in between that was not.
    pub fn outage(&self) -> Duration {
        let (mut longest, mut last, mut missed) = (0, None, false);
        for tick in &self.0 {
            if tick.client == 0 {
                missed = true;
                continue;
            }
            if let Some(last) = last.filter(|_| missed) {
                longest = longest.max(tick.sent_us.saturating_sub(last));
            }
            (last, missed) = (Some(tick.sent_us), false);
        }
        Duration::from_micros(longest)
    }

    /// How long two hosts held the address at once: the ticks that both answered.
    pub fn two_holders(&self) -> Duration {
        let both = |pair: &[Tick]| pair[0].holders == 3;
        let spans = self.0.windows(2).filter(|pair| both(pair)).map(|pair| pair[1].sent_us - pair[0].sent_us);
        Duration::from_micros(spans.sum())
    }

    /// Microseconds from `us` until `appliance` fell silent for good, if it did.
    pub fn silent_from(&self, us: u64, appliance: Appliance) -> Option<u64> {
        let last = self.0.iter().rposition(|tick| tick.holders & bit(appliance) != 0)?;
        self.0.get(last + 1).map(|tick| tick.sent_us.saturating_sub(us))
    }

    /// Microseconds from `us` until `appliance` answered first.
    pub fn answers_from(&self, us: u64, appliance: Appliance) -> Option<u64> {
        let first = self.0.iter().find(|tick| tick.holders & bit(appliance) != 0)?;
        Some(first.sent_us.saturating_sub(us))
    }

    /// Microseconds from `us` until the client was answered by `appliance` first.
    pub fn served_from(&self, us: u64, appliance: Appliance) -> Option<u64> {
        let first = self.0.iter().find(|tick| tick.client & bit(appliance) != 0)?;
        Some(first.sent_us.saturating_sub(us))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ticks: &[(u64, u8, u8)]) -> Seen {
        Seen(ticks.iter().map(|&(sent_us, client, holders)| Tick { sent_us, client, holders }).collect())
    }

    #[test]
    fn an_outage_needs_a_question_without_an_answer() {
        let late = seen(&[(0, 1, 1), (9_000, 1, 1)]);
        assert_eq!(late.outage(), Duration::ZERO, "the client itself did not run");
        let out = seen(&[(0, 1, 1), (500, 0, 0), (1_000, 0, 2), (1_500, 2, 2), (2_000, 0, 2), (2_500, 2, 2)]);
        assert_eq!(out.outage(), Duration::from_micros(1_500));
        assert_eq!(out.silent_from(100, Appliance::A), Some(400));
        assert_eq!(out.answers_from(100, Appliance::B), Some(900));
        assert_eq!(out.served_from(100, Appliance::B), Some(1_400));
        assert_eq!(out.two_holders(), Duration::ZERO);
    }

    #[test]
    fn two_answers_to_one_tick_are_two_holders() {
        let two = seen(&[(0, 1, 1), (500, 1, 3), (1_000, 2, 3), (1_500, 2, 2)]);
        assert_eq!(two.two_holders(), Duration::from_millis(1));
    }
}
