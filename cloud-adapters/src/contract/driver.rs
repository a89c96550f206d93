//! The one way to move bindings, and to look at one.
//!
//! Bindings of one operation that share resources are moved together: what several of them want
//! of one NIC or one route table becomes one write, because a cloud takes as long for one change
//! as for ten, and refuses a second write while it is at work on the first.

mod merge;
mod plan;
mod preview;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use coordinator_core::ids::GroupName;
use coordinator_core::model::BindingSpec;
use futures::future::{Either, join, join_all, select};

use super::{Actual, Adapter, AdapterError, Gate, Journal, MoveJob, Pace, Pointing, RealTime};
use merge::Merged;
use progress::Progress;

pub use preview::{Preview, PreviewedWrite, preview};

/// What became of a job: told once for each, as soon as it is known, by its place in the list.
pub type Report<'a> = &'a mut (dyn FnMut(usize, Result<(), AdapterError>) + Send);

/// Jobs that rest, and would be due within this time, come along with one that is due: so that
/// what can be one write does not become two.
const SLACK: Duration = Duration::from_millis(100);

/// Makes `job.binding` point at `job.to`, and reads it back to make sure.
///
/// Idempotent, and resumable when cut at any point: each round starts from what the cloud says.
/// The gate is asked before every write, the claims included. `deadline` bounds everything, the
/// wait for other moves of the same resources included.
///
/// # Errors
/// - [`AdapterError::Deposed`]: the gate refused, or a resource carries a higher token. Stop.
/// - [`AdapterError::Transient`]: also when the deadline passed. Try again, see [`Backoff`].
/// - [`AdapterError::Conflict`]: someone else keeps changing the same resources.
/// - [`AdapterError::Permanent`]: denied, gone, or not possible as declared.
///
/// [`Backoff`]: super::Backoff
pub async fn move_binding(
    adapter: &dyn Adapter,
    job: &MoveJob,
    gate: &dyn Gate,
    journal: &Journal,
    deadline: Duration,
) -> Result<(), AdapterError> {
    move_binding_at(&RealTime::default(), adapter, job, gate, journal, deadline).await
}

/// As [`move_binding`], at another pace than that of the real world.
///
/// # Errors
/// As [`move_binding`].
pub async fn move_binding_at(
    pace: &dyn Pace,
    adapter: &dyn Adapter,
    job: &MoveJob,
    gate: &dyn Gate,
    journal: &Journal,
    deadline: Duration,
) -> Result<(), AdapterError> {
    let mut result = None;
    let mut report = |_, told| result = Some(told);
    let jobs = vec![Progress::new(job)];
    Moving { pace, adapter, gate, journal, jobs, report: &mut report }.within(deadline).await;
    result.unwrap_or_else(|| Err(overdue(job, deadline)))
}

/// Moves several bindings together, each as [`move_binding`] would. One that fails keeps no other
/// from being moved. Worth it for those that [`entangled`] puts together.
pub async fn move_bindings(
    adapter: &dyn Adapter,
    jobs: &[MoveJob],
    gate: &dyn Gate,
    journal: &Journal,
    deadline: Duration,
    report: Report<'_>,
) {
    let pace = &RealTime::default();
    let jobs = jobs.iter().map(Progress::new).collect();
    Moving { pace, adapter, gate, journal, jobs, report }.within(deadline).await;
}

/// Puts jobs together that may write the same resource, directly or through others.
pub fn entangled(adapter: &dyn Adapter, jobs: Vec<MoveJob>) -> Vec<Vec<MoveJob>> {
    let mut sets: Vec<(BTreeSet<String>, Vec<MoveJob>)> = Vec::new();
    for job in jobs {
        // One that cannot be moved at all is alone with its error.
        let mut resources = adapter.resources(&job.binding).unwrap_or_default();
        let mut together = Vec::new();
        sets.retain_mut(|(theirs, jobs)| {
            let apart = theirs.is_disjoint(&resources);
            if !apart {
                resources.append(theirs);
                together.append(jobs);
            }
            apart
        });
        together.push(job);
        sets.push((resources, together));
    }
    sets.into_iter().map(|(_, jobs)| jobs).collect()
}

/// Reads where a binding points, without changing anything.
///
/// # Errors
/// As [`move_binding`], without [`AdapterError::Deposed`].
pub async fn inspect(
    adapter: &dyn Adapter,
    group: &GroupName,
    binding: &BindingSpec,
    journal: &Journal,
    deadline: Duration,
) -> Result<Actual, AdapterError> {
    match tokio::time::timeout(deadline, adapter.read(group, binding, journal)).await {
        Ok(result) => result,
        Err(_) => Err(late(format!("read {} `{}`", binding.kind.word(), binding.name), deadline)),
    }
}

fn overdue(job: &MoveJob, deadline: Duration) -> AdapterError {
    late(format!("move {} `{}` to {}", job.binding.kind.word(), job.binding.name, job.to), deadline)
}

fn late(attempt: String, deadline: Duration) -> AdapterError {
    AdapterError::transient(attempt, format!("it took longer than {deadline:?}"))
}

struct Moving<'a> {
    pace: &'a dyn Pace,
    adapter: &'a dyn Adapter,
    gate: &'a dyn Gate,
    journal: &'a Journal,
    jobs: Vec<Progress<'a>>,
    report: Report<'a>,
}

/// A job of this round, with what was read for it.
struct Seen {
    at: usize,
    actual: Actual,
}

impl Moving<'_> {
    async fn within(mut self, deadline: Duration) {
        let started = self.pace.now();
        let late = self.pace.sleep(deadline);
        let in_time = matches!(select(pin!(self.until_right()), late).await, Either::Left(_));
        if !in_time {
            // The call under way is in no other record: its answer never came.
            let took = self.pace.now().saturating_sub(started);
            self.journal.record("(deadline)", format!("no end within {deadline:?}"), took);
            for at in 0..self.jobs.len() {
                self.end(at, Err(overdue(self.jobs[at].job, deadline)));
            }
        }
    }

    async fn until_right(&mut self) {
        let mut resources = BTreeSet::new();
        for at in 0..self.jobs.len() {
            match self.adapter.resources(&self.jobs[at].job.binding) {
                Ok(more) => resources.extend(more),
                Err(error) => self.end(at, Err(error)),
            }
        }
        let adapter = self.adapter;
        let _turn = adapter.locks().acquire(&resources).await;
        loop {
            let waiting = self.jobs.iter().filter(|job| !job.ended);
            let Some(earliest) = waiting.map(|job| job.patience.rests_until).min() else { return };
            let rest = earliest.saturating_sub(self.pace.now());
            if !rest.is_zero() {
                self.pace.sleep(rest).await;
            }
            let due = self.pace.now() + SLACK;
            let due = |job: &Progress<'_>| !job.ended && job.patience.rests_until <= due;
            let due: Vec<usize> = (0..self.jobs.len()).filter(|at| due(&self.jobs[*at])).collect();
            self.round(due).await;
        }
    }

    /// One round: everything in it follows from one fresh read.
    async fn round(&mut self, due: Vec<usize>) {
        let mut seen = self.read(due).await;
        let under_way = self.under_way(&seen);
        // Claims do not wait for an earlier change to be finished: it may be the deposed leader's.
        let claimed = self.claim(&seen).await;
        let unsettled: Vec<usize> = seen.iter().filter(|s| !s.actual.settled).map(|s| s.at).collect();
        seen.retain(|seen| claimed.contains(&seen.at));
        let waiting = seen.iter().filter(|seen| !seen.actual.settled).map(|seen| seen.at);
        self.rest_together(waiting.collect());
        seen.retain(|seen| seen.actual.settled);
        let (adapter, journal) = (self.adapter, self.journal);
        let waits = under_way.iter().map(|(resource, place)| adapter.resume(resource, place, journal));
        join(self.change(&seen), join_all(waits)).await;
        if !under_way.is_empty() {
            // It is over, as far as can be known: the next read tells more.
            let now = self.pace.now();
            unsettled.into_iter().for_each(|at| self.jobs[at].patience.rests_until = now);
        }
    }

    /// What an earlier attempt, perhaps another leader's, has left the cloud at work on.
    fn under_way(&self, seen: &[Seen]) -> Vec<(String, String)> {
        let unsettled = seen.iter().filter(|seen| !seen.actual.settled);
        let resources: BTreeSet<&str> =
            unsettled.flat_map(|seen| &seen.actual.resources).map(|resource| &*resource.id).collect();
        let place = |id: &str| Some((id.to_owned(), self.journal.take_place(id)?));
        resources.into_iter().filter_map(place).collect()
    }

    /// Reads for all jobs, and ends those that find themselves deposed.
    async fn read(&mut self, due: Vec<usize>) -> Vec<Seen> {
        let jobs: Vec<&MoveJob> = due.iter().map(|at| self.jobs[*at].job).collect();
        let asks: Vec<_> = jobs.iter().map(|job| (&job.group, &job.binding)).collect();
        let read = self.adapter.read_all(&asks, self.journal).await;
        let mut seen = Vec::with_capacity(due.len());
        for (at, result) in due.into_iter().zip(read) {
            match result.and_then(|actual| refuse_if_deposed(self.jobs[at].job, &actual).map(|()| actual)) {
                Ok(actual) => seen.push(Seen { at, actual }),
                Err(error) => self.fail(at, error),
            }
        }
        seen
    }

    /// Claims what is not claimed yet. Returns the jobs that had nothing left to claim.
    async fn claim(&mut self, seen: &[Seen]) -> Vec<usize> {
        let mut planned = plan::claims(self.adapter, |at| self.jobs[at].job, seen);
        for (at, error) in planned.failed {
            self.fail(at, error);
        }
        let settled = |at: usize| seen.iter().any(|seen| seen.at == at && seen.actual.settled);
        for (at, result) in write(self.adapter, self.gate, self.journal, &mut planned.merged).await {
            match result {
                // Clouds refuse writes to what they are at work on. That is no failure, and takes
                // longer than failures are ridden out for.
                Err(AdapterError::Transient { .. }) if !settled(at) => self.rest_together(vec![at]),
                result => self.wrote(at, result),
            }
        }
        planned.idle
    }

    /// Plans and writes.
    async fn change(&mut self, seen: &[Seen]) {
        let mut planned = plan::changes(self.adapter, |at| self.jobs[at].job, seen);
        for (at, error) in planned.failed {
            self.fail(at, error);
        }
        for at in planned.idle {
            let (job, found) = (self.jobs[at].job, seen.iter().find(|seen| seen.at == at));
            let Some(found) = found.map(|seen| &seen.actual.pointing) else { continue };
            let result = if *found == Pointing::At(job.to.clone()) {
                Ok(())
            } else {
                let attempt = format!("move `{}` to {}", job.binding.name, job.to);
                let why = format!("it points at {found}, and no write is known that would change that");
                Err(AdapterError::permanent(attempt, why))
            };
            self.end(at, result);
        }
        for (at, result) in write(self.adapter, self.gate, self.journal, &mut planned.merged).await {
            self.wrote(at, result);
        }
    }

    fn wrote(&mut self, at: usize, result: Result<(), AdapterError>) {
        match result.map(|()| self.jobs[at].wrote()) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.end(at, Err(error)),
            Err(error) => self.fail(at, error),
        }
    }

    /// Lets a job try again if that may help, and ends it otherwise.
    fn fail(&mut self, at: usize, error: AdapterError) {
        if let Err(error) = self.jobs[at].failed(self.pace, error) {
            self.end(at, Err(error));
        }
    }

    /// All until the same moment, so that they stay together.
    fn rest_together(&mut self, jobs: Vec<usize>) {
        let until = jobs.iter().map(|at| self.jobs[*at].next_rest(self.pace, None)).max();
        for at in jobs {
            if let Some(until) = until {
                self.jobs[at].patience.rests_until = until;
            }
        }
    }

    fn end(&mut self, at: usize, result: Result<(), AdapterError>) {
        let progress = &mut self.jobs[at];
        if std::mem::replace(&mut progress.ended, true) {
            return;
        }
        let job = progress.job;
        if let Err(error) = &result {
            tracing::debug!(group = %job.group, binding = %job.binding.name, token = %job.token,
                error = error.chain(), "a binding was not moved");
        }
        (self.report)(at, result);
    }
}

/// Writes layer after layer, each side by side. Every write is waited for, also when one has
/// failed, so that none is still on its way when the next round reads; what rests on a failed
/// one is not written. Returns what became of each job that took part.
async fn write(
    adapter: &dyn Adapter,
    gate: &dyn Gate,
    journal: &Journal,
    merged: &mut Merged,
) -> Vec<(usize, Result<(), AdapterError>)> {
    let mut results: BTreeMap<usize, Result<(), AdapterError>> =
        merged.jobs().map(|at| (at, Ok(()))).collect();
    for layer in merged.take_layers() {
        let writes = layer.iter().map(|(change, _)| async {
            gate.confirm().await?;
            adapter.write(change, journal).await
        });
        let mut failed = false;
        for ((_, jobs), result) in layer.iter().zip(join_all(writes).await) {
            let Err(error) = result else { continue };
            failed = true;
            for at in jobs {
                // Being deposed is final, whatever else went wrong.
                let worse = results.get(at).is_none_or(|result| result.is_ok() || error.is_deposed());
                if worse {
                    results.insert(*at, Err(error.again()));
                }
            }
        }
        if failed {
            break;
        }
    }
    results.into_iter().collect()
}

fn refuse_if_deposed(job: &MoveJob, actual: &Actual) -> Result<(), AdapterError> {
    let MoveJob { group, token, .. } = job;
    match actual.resources.iter().find(|r| r.token.is_some_and(|found| found > *token)) {
        None => Ok(()),
        Some(resource) => Err(AdapterError::Deposed(format!(
            "{} carries token {} of group {group}, and this move has only {token}",
            resource.id,
            resource.token.unwrap_or_default(),
        ))),
    }
}

#[cfg(test)]
mod tests;
