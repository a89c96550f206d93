//! What goes wrong with the fake ARM, and when.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::cloud::{Manner, Style};
use crate::simulated::faults::Spread;

/// What goes wrong, and how slow things are. The default: nothing, and no delay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArmFaults {
    /// Two plans that differ in this alone differ in what happens when.
    pub seed: u64,
    /// How long each call takes.
    pub latency: Spread,
    /// How long the cloud is at work after a write that changes more than tags.
    pub provisioning: Spread,
    /// How long after a write that changes tags only.
    pub tagging: Spread,
    /// `Retry-After` of answers that accept a write, in seconds.
    pub retry_after: Option<u64>,
    /// How accepted writes are announced; drawn for each if none is given.
    pub style: Option<Style>,
    /// Share of calls that are answered 429 with `Retry-After`.
    pub throttle: f64,
    /// Share of calls that are answered 500 with nothing done.
    pub error: f64,
    /// Share of calls that are carried out, and whose reply is lost.
    pub lose_reply: f64,
    /// Share of writes whose reply is lost, and that are carried out later.
    pub apply_late: f64,
    /// How much later.
    pub late_by: Spread,
    /// What happens to single calls.
    pub single: Vec<(Trigger, ArmFault)>,
    /// This call is carried out but never answered, and later ones are neither.
    pub silent_from: Option<u64>,
}

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// By its number, from 1.
    Number(u64),
    /// The write of that number, from 1, whatever is read in between.
    Write(u64),
    /// Every call.
    Every,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmFault {
    /// 429 with `Retry-After`: the subscription has had enough. Nothing is done.
    Throttle {
        /// Seconds.
        retry_after: u64,
    },
    /// 429 that is really a lock: someone else is changing the resource. Nothing is done.
    Locked,
    /// 409 `AnotherOperationInProgress`. Nothing is done.
    AnotherOperation,
    /// 429 `ReferencedResourceNotProvisioned`. Nothing is done.
    NotProvisioned,
    /// 500. Nothing is done.
    ServerError,
    /// 503 with `Retry-After`. Nothing is done.
    Unavailable,
    /// It is carried out, and the reply is lost.
    LoseReply,
    /// The connection ends, and nothing is done.
    Drop,
    /// The reply is lost, and it is carried out later, conditions and all.
    ApplyLate(Duration),
    /// The token is taken for expired: 401.
    ExpireToken,
    /// A write is accepted, and its operation fails: the resource is left `Failed`.
    FailOperation,
    /// A write is accepted, and its operation takes that long.
    SlowOperation(Duration),
    /// Someone else changes the resource just before.
    ChangedMeanwhile,
    /// It is carried out, and no answer ever comes.
    Silent,
    /// Nothing is done, and no answer ever comes.
    Dead,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) latency: Duration,
    pub(super) manner: Manner,
    pub(super) fault: Option<ArmFault>,
}

impl ArmFaults {
    /// What happens to the call of that number, which is write number `write` or a read.
    pub(super) fn fate(&self, number: u64, write: Option<u64>) -> Fate {
        // The golden-ratio step keeps neighbouring seeds and numbers from giving the same stream.
        let mut rng = StdRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let latency = self.latency.draw(&mut rng);
        let takes = self.provisioning.draw(&mut rng);
        let tags_take = self.tagging.draw(&mut rng);
        let late = self.late_by.draw(&mut rng);
        let drawn = Style::ALL[rng.random_range(0..Style::ALL.len())];
        let style = self.style.unwrap_or(drawn);
        let fault = self.fault(number, write, late, rng.random_range(0.0..1.0));
        let takes = match fault {
            Some(ArmFault::SlowOperation(takes)) => takes,
            _ => takes,
        };
        let fails = fault == Some(ArmFault::FailOperation);
        let manner = Manner { takes, tags_take, style, fails, retry_after: self.retry_after };
        Fate { latency, manner, fault }
    }

    fn fault(&self, number: u64, write: Option<u64>, late: Duration, draw: f64) -> Option<ArmFault> {
        match self.silent_from {
            Some(from) if number > from => return Some(ArmFault::Dead),
            Some(from) if number == from => return Some(ArmFault::Silent),
            _ => {}
        }
        let single = self.single.iter().find(|(trigger, _)| match trigger {
            Trigger::Number(n) => *n == number,
            Trigger::Write(n) => Some(*n) == write,
            Trigger::Every => true,
        });
        if let Some((_, fault)) = single {
            return Some(*fault);
        }
        let apply_late = if write.is_some() { self.apply_late } else { 0.0 };
        let table = [
            (self.throttle, ArmFault::Throttle { retry_after: 1 }),
            (self.error, ArmFault::ServerError),
            (self.lose_reply, ArmFault::LoseReply),
            (apply_late, ArmFault::ApplyLate(late)),
        ];
        let mut below = 0.0;
        table.into_iter().find_map(|(share, fault)| {
            below += share;
            (draw < below).then_some(fault)
        })
    }
}
