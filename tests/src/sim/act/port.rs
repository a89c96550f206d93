//! What stands between a move, which is a future, and the world, which is events.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::{AskId, CloudAnswer, Request};
use crate::sim::random::Random;

/// Something that a move waits for.
#[derive(Debug)]
pub(crate) enum Ask {
    Call(Request),
    Sleep(Duration),
    /// A pause until no lease of the group that an earlier leader gave can last.
    OutliveEarlierLeases,
    /// Does this node still lead?
    Confirm,
    /// Is it still pending, in the state that is as new as that word?
    StillWanted,
    /// Have the outcome of an attempt in the log: `None` is success.
    Record {
        error: Option<String>,
        took: Duration,
    },
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Answer {
    Cloud(CloudAnswer),
    Slept,
    Confirmed(bool),
    Wanted(bool),
    /// Whether it was taken into the log, by whatever verdict.
    Recorded(bool),
}

/// One move's questions and answers, its clock and its chance.
#[derive(Debug)]
pub(crate) struct Port(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    now: Duration,
    random: Random,
    newest: AskId,
    asked: Vec<(AskId, Ask)>,
    answers: BTreeMap<AskId, Answer>,
}

impl Port {
    /// `seed` determines the jitter of its waits.
    pub(super) fn new(seed: u64) -> Port {
        let random = Random::new(seed);
        let (asked, answers) = (Vec::new(), BTreeMap::new());
        Port(Mutex::new(Inner { now: Duration::ZERO, random, newest: 0, asked, answers }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node's monotonic clock, at each poll.
    pub(super) fn set_now(&self, now: Duration) {
        self.inner().now = now;
    }

    pub(super) fn now(&self) -> Duration {
        self.inner().now
    }

    /// From 0 to 1.
    pub(super) fn chance(&self) -> f64 {
        let parts = self.inner().random.between(0, 1_000_000);
        f64::from(u32::try_from(parts).unwrap_or_default()) / 1e6
    }

    /// What was asked for since the last time.
    pub(super) fn take_asked(&self) -> Vec<(AskId, Ask)> {
        std::mem::take(&mut self.inner().asked)
    }

    pub(super) fn answer(&self, ask: AskId, answer: Answer) {
        self.inner().answers.insert(ask, answer);
    }

    /// Asks the world, from the first poll on.
    pub(super) fn ask(self: &Arc<Port>, what: Ask) -> Asking {
        Asking { port: self.clone(), what: Some(what), number: 0 }
    }
}

/// A question, until it is answered.
#[derive(Debug)]
pub(super) struct Asking {
    port: Arc<Port>,
    what: Option<Ask>,
    number: AskId,
}

impl Future for Asking {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        let port = self.port.clone();
        let mut inner = port.inner();
        if let Some(what) = self.what.take() {
            inner.newest += 1;
            self.number = inner.newest;
            inner.asked.push((self.number, what));
        }
        inner.answers.remove(&self.number).map_or(Poll::Pending, Poll::Ready)
    }
}
