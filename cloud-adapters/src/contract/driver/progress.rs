//! How far one job of a move has come.

use std::time::Duration;

use crate::contract::patience::Patience;
use crate::contract::{AdapterError, MoveJob, Pace};

/// One job of a move.
pub(super) struct Progress<'a> {
    pub(super) job: &'a MoveJob,
    pub(super) patience: Patience,
    pub(super) ended: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(job: &'a MoveJob) -> Self {
        Progress { job, patience: Patience::new(), ended: false }
    }

    /// Something was written: the next round reads it back.
    pub(super) fn wrote(&mut self) -> Result<(), AdapterError> {
        let job = self.job;
        self.patience.wrote(|| format!("keep `{}` at {}", job.binding.name, job.to))
    }

    /// Rests, if to try again may help; gives the error back otherwise.
    pub(super) fn failed(&mut self, pace: &dyn Pace, error: AdapterError) -> Result<(), AdapterError> {
        self.patience.failed(pace, error)
    }

    /// Until when to rest now.
    pub(super) fn next_rest(&mut self, pace: &dyn Pace, retry_after: Option<Duration>) -> Duration {
        self.patience.next_rest(pace, retry_after)
    }
}
