//! The one way to move a binding, and to look at one.

use std::pin::pin;
use std::time::Duration;

use coordinator_core::ids::GroupName;
use coordinator_core::model::BindingSpec;
use futures::future::{Either, join_all, select};

use super::{
    Actual, Adapter, AdapterError, Backoff, Change, Gate, Journal, MoveJob, Pace, Pointing, RealTime,
};

/// Failures in a row that a move rides out before it gives up and leaves the next attempt to its
/// caller. Five waits, from 50 ms doubled to at most 1 s, ride out a short burst of throttling.
const TRANSIENT_IN_A_ROW: u32 = 5;

/// Fresh reads after a conflict. Each means that someone else wrote one of our resources within
/// the time of one round, so a few are plausible and many are a fight that needs a person.
const CONFLICTS: u32 = 8;

/// Rounds that wrote something. A claim and a move take two; each conflict and each failure may
/// cost one more. More than this means that writes are accepted and do not last.
const WRITING_ROUNDS: u32 = 16;

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
    let started = pace.now();
    let work = async {
        let _turn = adapter.locks().acquire(&adapter.resources(&job.binding)?).await;
        Move { pace, adapter, job, gate, journal }.until_right().await
    };
    let result = match select(pin!(work), pace.sleep(deadline)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => {
            // The call under way is in no other record: its answer never came.
            let took = pace.now().saturating_sub(started);
            journal.record("(deadline)", format!("no end within {deadline:?}"), took);
            Err(overdue(
                format!("move {} `{}` to {}", job.binding.kind.word(), job.binding.name, job.to),
                deadline,
            ))
        }
    };
    if let Err(error) = &result {
        tracing::debug!(group = %job.group, binding = %job.binding.name, token = %job.token,
            error = error.chain(), "a binding was not moved");
    }
    result
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
        Err(_) => Err(overdue(format!("read {} `{}`", binding.kind.word(), binding.name), deadline)),
    }
}

fn overdue(attempt: String, deadline: Duration) -> AdapterError {
    AdapterError::transient(attempt, format!("it took longer than {deadline:?}"))
}

struct Move<'a> {
    pace: &'a dyn Pace,
    adapter: &'a dyn Adapter,
    job: &'a MoveJob,
    gate: &'a dyn Gate,
    journal: &'a Journal,
}

/// How one round went.
enum Round {
    /// It points where it must: nothing was written.
    Right,
    /// The cloud has not finished an earlier change.
    Unsettled,
    /// Something was written: read it back.
    Wrote,
}

impl Move<'_> {
    async fn until_right(&self) -> Result<(), AdapterError> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let (mut failures, mut conflicts, mut writing) = (0, 0, 0);
        loop {
            match self.round().await {
                Ok(Round::Right) => return Ok(()),
                Ok(Round::Unsettled) => self.rest(&mut backoff, None).await,
                Ok(Round::Wrote) if writing < WRITING_ROUNDS => {
                    writing += 1;
                    failures = 0;
                    backoff.reset();
                }
                Ok(Round::Wrote) => {
                    let attempt = format!("keep `{}` at {}", self.job.binding.name, self.job.to);
                    return Err(AdapterError::conflict(attempt, "each write was accepted, and none lasted"));
                }
                // The cloud is at work, on our own earlier change perhaps: only the deadline ends it.
                Err(error @ AdapterError::Busy { .. }) => {
                    tokio::time::sleep(backoff.next_wait(error.retry_after())).await;
                }
                Err(AdapterError::Conflict { .. }) if conflicts < CONFLICTS => conflicts += 1,
                Err(error @ AdapterError::Transient { .. }) if failures < TRANSIENT_IN_A_ROW => {
                    failures += 1;
                    self.rest(&mut backoff, error.retry_after()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn rest(&self, backoff: &mut Backoff, retry_after: Option<Duration>) {
        self.pace.sleep(backoff.next_wait_by(self.pace.chance(), retry_after)).await;
    }

    /// One round: everything in it follows from one fresh read.
    async fn round(&self) -> Result<Round, AdapterError> {
        let actual = self.adapter.read(&self.job.group, &self.job.binding, self.journal).await?;
        self.refuse_if_deposed(&actual)?;
        // Claims do not wait for an earlier change to be finished: it may be the deposed leader's.
        let claims = self.adapter.plan_claim(&actual, self.job)?;
        if !claims.is_empty() {
            return match self.write_claims(&claims).await {
                // Clouds refuse writes to what they are at work on. That is no failure, and takes
                // longer than failures are ridden out for.
                Err(AdapterError::Transient { .. }) if !actual.settled => Ok(Round::Unsettled),
                claimed => claimed.map(|()| Round::Wrote),
            };
        }
        if !actual.settled {
            return Ok(Round::Unsettled);
        }
        let changes = self.adapter.plan(&actual, self.job)?;
        if !changes.is_empty() {
            self.write_all(&changes).await?;
            return Ok(Round::Wrote);
        }
        if actual.pointing == Pointing::At(self.job.to.clone()) {
            Ok(Round::Right)
        } else {
            let attempt = format!("move `{}` to {}", self.job.binding.name, self.job.to);
            let why =
                format!("it points at {}, and no write is known that would change that", actual.pointing);
            Err(AdapterError::permanent(attempt, why))
        }
    }

    fn refuse_if_deposed(&self, actual: &Actual) -> Result<(), AdapterError> {
        let MoveJob { group, token, .. } = self.job;
        let newer = actual.resources.iter().find(|r| r.token.is_some_and(|found| found > *token));
        match newer {
            None => Ok(()),
            Some(resource) => Err(AdapterError::Deposed(format!(
                "{} carries token {} of group {group}, and this move has only {token}",
                resource.id,
                resource.token.unwrap_or_default(),
            ))),
        }
    }

    /// All at once: none rests on another. Each is waited for, also when one has failed, so that
    /// none is still on its way when the next round reads.
    async fn write_claims(&self, claims: &[Change]) -> Result<(), AdapterError> {
        let writes = claims.iter().map(|claim| self.write_all(std::slice::from_ref(claim)));
        let mut failures: Vec<AdapterError> =
            join_all(writes).await.into_iter().filter_map(Result::err).collect();
        // Being deposed is final, whatever else went wrong.
        let worst = failures.iter().position(AdapterError::is_deposed).unwrap_or_default();
        if failures.is_empty() { Ok(()) } else { Err(failures.swap_remove(worst)) }
    }

    /// In order: a later change may rest on an earlier one.
    async fn write_all(&self, changes: &[Change]) -> Result<(), AdapterError> {
        for change in changes {
            self.gate.confirm().await?;
            self.adapter.write(change, self.journal).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
