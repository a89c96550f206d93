//! Putting the members of a pool into the backend pools of load balancers, and taking them out.
//!
//! The same order as for a move: read → claim → read again → plan → write → read back. Two things
//! are added. All sides of a member are one job: nothing is written on any side before every side
//! is claimed and checked. And before a member is taken out, another one that the log has as in and
//! up must be found in the same backend pool, by the cloud's own word: a backend pool that nobody
//! is left in serves nobody.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, PoolName, Token};
use coordinator_core::pool::{Side, Way};
use futures::future::{BoxFuture, Either, join_all, select};

use super::patience::Patience;
use super::{Adapter, AdapterError, Change, Gate, Journal, Pace, RealTime, ResourceSeen};

/// A member to put in, or to take out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceJob {
    /// The pool.
    pub pool: PoolName,
    /// The token of the change.
    pub token: Token,
    /// The member.
    pub member: ApplianceName,
    /// In, or out.
    pub inside: bool,
    /// The sides that are to change, all by one adapter.
    pub places: Vec<Place>,
    /// The other members that are in and up by the log.
    pub others: BTreeSet<ApplianceName>,
}

/// One side of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub side: Side,
    /// How the load balancer is told there.
    pub way: Way,
}

/// What the cloud says of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacesSeen {
    /// Every resource that the job may have to write, each once.
    pub resources: Vec<ResourceSeen>,
    /// Whether the cloud has finished every earlier change of them.
    pub settled: bool,
    /// One for each place of the job, in their order.
    pub sides: Vec<SideSeen>,
}

/// What the cloud says of one side of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideSeen {
    /// Which.
    pub side: Side,
    /// The resource that is written for it.
    pub resource: String,
    /// Whether the member is in.
    pub inside: bool,
    /// Which of the job's other members were found to be in, with nothing under way.
    pub others: BTreeSet<ApplianceName>,
    /// Why the rest of them do not count, in words.
    pub doubts: Vec<String>,
}

/// What an adapter does whose cloud has load balancers with backend pools. Use it through
/// [`place`] and [`places`].
pub trait BackendPools: Send + Sync {
    /// The ids of the resources that the job may write.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when the declaration is not one of this cloud, or names what
    /// this adapter may not touch.
    fn resources(&self, job: &PlaceJob) -> Result<BTreeSet<String>, AdapterError>;

    /// Reads where the member is. Other members are looked for only when it is to be taken out.
    ///
    /// # Errors
    /// Every class but [`AdapterError::Deposed`].
    fn read<'a>(
        &'a self,
        job: &'a PlaceJob,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<PlacesSeen, AdapterError>>;

    /// The writes that put the job's token onto each resource that carries an older one or none,
    /// and change nothing else. Pure.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when a document is not of the form that it must have.
    fn plan_claim(&self, seen: &PlacesSeen, job: &PlaceJob) -> Result<Vec<Change>, AdapterError>;

    /// The writes that put the member where it must be, one for each resource. Empty when it is
    /// there. Pure.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when no write can.
    fn plan(&self, seen: &PlacesSeen, job: &PlaceJob) -> Result<Vec<Change>, AdapterError>;
}

/// What became of a side: told once for each.
pub type PlaceReport<'a> = &'a mut (dyn FnMut(Side, Result<(), AdapterError>) + Send);

/// Puts a member where it must be on all sides of the job, and reads it back to make sure.
///
/// Idempotent, and resumable when cut at any point. The gate is asked before every write.
/// `deadline` bounds everything.
///
/// # Errors
/// Each side is told its own: as for [`move_binding`](super::move_binding). A member that would
/// leave a backend pool empty gets [`AdapterError::Permanent`] on every side that is left.
pub async fn place(
    adapter: &dyn Adapter,
    job: &PlaceJob,
    gate: &dyn Gate,
    journal: &Journal,
    deadline: Duration,
    report: PlaceReport<'_>,
) {
    let pace = RealTime::default();
    let open = job.places.iter().map(|place| place.side).collect();
    let mut placing = Placing { adapter, job, gate, journal, pace, patience: Patience::new(), open, report };
    let late = pace.sleep(deadline);
    let ended = {
        let work = pin!(placing.until_right());
        match select(work, late).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        }
    };
    let error = match ended {
        Some(Ok(())) => return,
        Some(Err(error)) => error,
        None => {
            journal.record("(deadline)", format!("no end within {deadline:?}"), deadline);
            AdapterError::transient(attempt(job), format!("it took longer than {deadline:?}"))
        }
    };
    for side in std::mem::take(&mut placing.open) {
        (placing.report)(side, Err(error.again()));
    }
}

/// Reads where a member is, without changing anything.
///
/// # Errors
/// As [`BackendPools::read`], and [`AdapterError::Permanent`] when the adapter has no backend pools.
pub async fn places(
    adapter: &dyn Adapter,
    job: &PlaceJob,
    journal: &Journal,
    deadline: Duration,
) -> Result<PlacesSeen, AdapterError> {
    let pools = pools_of(adapter, job)?;
    match tokio::time::timeout(deadline, pools.read(job, journal)).await {
        Ok(result) => result,
        Err(_) => {
            let attempt = format!("read where {} is", job.member);
            Err(AdapterError::transient(attempt, format!("it took longer than {deadline:?}")))
        }
    }
}

fn pools_of<'a>(adapter: &'a dyn Adapter, job: &PlaceJob) -> Result<&'a dyn BackendPools, AdapterError> {
    let none = "the adapter's cloud has no load balancers with backend pools that it knows of";
    adapter.backend_pools().ok_or_else(|| AdapterError::permanent(attempt(job), none))
}

/// To follow "could not".
fn attempt(job: &PlaceJob) -> String {
    if job.inside { format!("put {} in", job.member) } else { format!("take {} out", job.member) }
}

struct Placing<'a> {
    adapter: &'a dyn Adapter,
    job: &'a PlaceJob,
    gate: &'a dyn Gate,
    journal: &'a Journal,
    pace: RealTime,
    patience: Patience,
    /// The sides that nothing was told of yet.
    open: BTreeSet<Side>,
    report: PlaceReport<'a>,
}

impl Placing<'_> {
    async fn until_right(&mut self) -> Result<(), AdapterError> {
        let pools = pools_of(self.adapter, self.job)?;
        let resources = pools.resources(self.job)?;
        let adapter = self.adapter;
        let _turn = adapter.locks().acquire(&resources).await;
        while !self.open.is_empty() {
            let rest = self.patience.rests_until.saturating_sub(self.pace.now());
            if !rest.is_zero() {
                self.pace.sleep(rest).await;
            }
            if let Err(error) = self.round(pools).await {
                self.patience.failed(&self.pace, error)?;
            }
        }
        Ok(())
    }

    /// One round: everything in it follows from one fresh read.
    async fn round(&mut self, pools: &dyn BackendPools) -> Result<(), AdapterError> {
        let (job, journal) = (self.job, self.journal);
        let seen = pools.read(job, journal).await?;
        refuse_if_deposed(job, &seen)?;
        let claims = pools.plan_claim(&seen, job)?;
        if !claims.is_empty() {
            return match self.write(&claims).await {
                // Clouds refuse writes to what they are at work on: no failure, and only the
                // deadline ends it.
                Err(AdapterError::Transient { .. }) if !seen.settled => {
                    self.rest();
                    Ok(())
                }
                result => result,
            };
        }
        if !seen.settled {
            self.rest();
            return Ok(());
        }
        let changes = pools.plan(&seen, job)?;
        self.tell_done(&seen, &changes);
        if changes.is_empty() {
            return match self.open.is_empty() {
                true => Ok(()),
                false => Err(AdapterError::permanent(attempt(job), "no write is known that would do it")),
            };
        }
        if !job.inside {
            somebody_stays(job, &seen)?;
        }
        self.write(&changes).await
    }

    /// Tells of the sides that are right, claimed, and not about to be written.
    fn tell_done(&mut self, seen: &PlacesSeen, changes: &[Change]) {
        for side in &seen.sides {
            let touched = changes.iter().any(|change| change.resource == side.resource);
            if side.inside == self.job.inside && !touched && self.open.remove(&side.side) {
                (self.report)(side.side, Ok(()));
            }
        }
    }

    fn rest(&mut self) {
        self.patience.rests_until = self.patience.next_rest(&self.pace, None);
    }

    /// All side by side; every one is waited for, so that none is still under way when the next
    /// round reads.
    async fn write(&mut self, changes: &[Change]) -> Result<(), AdapterError> {
        let writes = changes.iter().map(|change| async {
            self.gate.confirm().await?;
            self.adapter.write(change, self.journal).await
        });
        let mut worst = Ok(());
        for error in join_all(writes).await.into_iter().filter_map(Result::err) {
            // Being deposed is final, whatever else went wrong.
            if worst.is_ok() || error.is_deposed() {
                worst = Err(error);
            }
        }
        worst?;
        let job = self.job;
        self.patience.wrote(|| format!("keep {} {}", job.member, if job.inside { "in" } else { "out" }))
    }
}

fn refuse_if_deposed(job: &PlaceJob, seen: &PlacesSeen) -> Result<(), AdapterError> {
    let newer = seen.resources.iter().find_map(|r| Some((r, r.token.filter(|found| *found > job.token)?)));
    match newer {
        None => Ok(()),
        Some((resource, found)) => Err(AdapterError::Deposed(format!(
            "{} carries token {found} of pool {}, and this change has only {}",
            resource.id, job.pool, job.token
        ))),
    }
}

/// On every side on which the member is still in, somebody else must be.
fn somebody_stays(job: &PlaceJob, seen: &PlacesSeen) -> Result<(), AdapterError> {
    let alone = seen.sides.iter().find(|side| side.inside && side.others.is_empty());
    let Some(SideSeen { side, doubts, .. }) = alone else { return Ok(()) };
    let doubts = if doubts.is_empty() { String::new() } else { format!(" ({})", doubts.join("; ")) };
    let why = format!(
        "no other member that is in and up was found in the backend pool of the {side} side{doubts}: it would \
         serve nobody"
    );
    Err(AdapterError::permanent(attempt(job), why))
}
