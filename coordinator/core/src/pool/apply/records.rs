//! What the coordinator records about a pool: verdicts, steps, holds, drift.

use super::{push, unknown_member};
use crate::apply::{Log, Rejection, bounded_calls, bounded_evidence};
use crate::command::StepOutcome;
use crate::event::Level;
use crate::ids::ApplianceName;
use crate::observe::{Evidence, Verdict};
use crate::pool::{
    Left, Placement, Pool, PoolEventBody, PoolReason, PoolRejection, RecordPlacement, Side, Standing,
};
use crate::text::clip;

pub(super) fn verdict(
    pool: &mut Pool,
    log: &mut Log,
    member: &ApplianceName,
    verdict: Verdict,
    evidence: &[Evidence],
) -> Result<(), Rejection> {
    let name = pool.spec.name.clone();
    let known = pool.members.get_mut(member).ok_or_else(|| unknown_member(&name, member))?;
    if known.verdict == verdict {
        return Ok(());
    }
    let from = std::mem::replace(&mut known.verdict, verdict);
    known.since = log.at;
    let level = if verdict == Verdict::Up { Level::Info } else { Level::Warning };
    let what = PoolEventBody::VerdictChanged { from, to: verdict, evidence: bounded_evidence(evidence) };
    push(log, level, &name, Some(member), what);
    Ok(())
}

pub(super) fn placement(pool: &mut Pool, log: &mut Log, record: &RecordPlacement) -> Result<(), Rejection> {
    let name = pool.spec.name.clone();
    let known = pool.members.get_mut(&record.member);
    let known = known.ok_or_else(|| unknown_member(&name, &record.member))?;
    let inside = matches!(known.standing, Standing::Returning(_));
    let change = known.standing.change_mut().filter(|change| change.token == record.token);
    let step = change.and_then(|change| change.steps.iter_mut().find(|step| step.side == record.side));
    let Some(step) = step else {
        let (member, token) = (record.member.clone(), record.token);
        return Err(PoolRejection::NotRunning { pool: name, member, token }.into());
    };
    if step.done.is_some() {
        // A repeat, or the late failure of an attempt that another one overtook.
        return Ok(());
    }
    step.attempts = step.attempts.saturating_add(1);
    step.took = record.took;
    let (side, took, calls) = (record.side, record.took, bounded_calls(&record.calls));
    match &record.outcome {
        StepOutcome::Done => {
            step.done = Some(log.at);
            step.error = None;
            let what = PoolEventBody::SideDone { side, inside, attempts: step.attempts, took, calls };
            push(log, Level::Info, &name, Some(&record.member), what);
        }
        StepOutcome::Failed { error } => {
            let error = clip(error);
            let attempt = step.attempts;
            if step.error.replace(error.clone()).as_ref() != Some(&error) {
                let what = PoolEventBody::SideFailed { side, inside, attempt, error, took, calls };
                push(log, Level::Warning, &name, Some(&record.member), what);
            }
        }
    }
    complete(pool, log, &record.member);
    Ok(())
}

/// Ends a change once every side has changed.
fn complete(pool: &mut Pool, log: &mut Log, member: &ApplianceName) {
    let Some(known) = pool.members.get_mut(member) else { return };
    let done = known.standing.change().filter(|change| change.steps.iter().all(|step| step.done.is_some()));
    let Some(change) = done.cloned() else { return };
    let inside = matches!(known.standing, Standing::Returning(_));
    let took = log.at.since(change.started);
    known.standing = if inside {
        Standing::In { token: change.token, since: log.at }
    } else {
        Standing::Out(Left {
            token: change.token,
            actor: change.actor,
            reason: change.reason,
            because: change.because,
            since: log.at,
        })
    };
    let what = PoolEventBody::Changed { inside, took };
    push(log, Level::Info, &pool.spec.name, Some(member), what);
}

pub(super) fn hold(pool: &mut Pool, log: &mut Log, hold: Option<&PoolReason>) {
    if pool.hold.as_ref() == hold {
        return;
    }
    pool.hold = hold.cloned();
    let (level, what) = match hold {
        Some(reason) => (Level::Alert, PoolEventBody::Held { reason: reason.clone() }),
        None => (Level::Info, PoolEventBody::HoldEnded),
    };
    push(log, level, &pool.spec.name, None, what);
}

pub(super) fn drift(
    pool: &mut Pool,
    log: &mut Log,
    member: &ApplianceName,
    side: Side,
    drift: Option<&str>,
) -> Result<(), Rejection> {
    let name = pool.spec.name.clone();
    if pool.spec.member(member).is_none() {
        return Err(unknown_member(&name, member).into());
    }
    if pool.spec.side(side).is_none() {
        return Err(PoolRejection::UnknownSide { pool: name, side }.into());
    }
    let placement = Placement { member: member.clone(), side };
    let drift = drift.map(clip);
    if pool.drift.get(&placement) == drift.as_ref() {
        return Ok(());
    }
    let (level, what) = match drift {
        Some(drift) => {
            pool.drift.insert(placement, drift.clone());
            (Level::Warning, PoolEventBody::DriftFound { side, drift })
        }
        None => {
            pool.drift.remove(&placement);
            (Level::Info, PoolEventBody::DriftGone { side })
        }
    };
    push(log, level, &name, Some(member), what);
    Ok(())
}
