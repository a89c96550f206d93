//! Switching earlier actives off: when it is due, and what its outcome means.

use super::operations::check_reason;
use super::progress::settle;
use super::{About, Log, Rejection};
use crate::command::{Actor, OperationKind, RecordFence, ReleaseProof, StepOutcome};
use crate::event::{EventBody, Level};
use crate::ids::{ApplianceName, Token};
use crate::model::{Fencing, QuorumLoss};
use crate::observe::Verdict;
use crate::state::{Fence, Group};
use crate::text::clip;

/// Whether `from`, which loses the active role in a move of this kind, is switched off at once.
///
/// An appliance that is up is asked to let go first, as in a planned move; it is switched off when
/// it does not ([`request`]).
pub(super) fn due_at_start(group: &Group, kind: OperationKind, from: &ApplianceName) -> bool {
    let unplanned = matches!(kind, OperationKind::Failover | OperationKind::ForcedSwitchover);
    let wanted = group.spec.policy.fencing != Fencing::Never && unplanned;
    wanted && group.verdict(from) != Verdict::Up && !group.fenced_off_since_start()
}

/// Has `appliance` switched off from now on.
pub(super) fn ask(group: &mut Group, log: &mut Log, appliance: &ApplianceName) {
    let fence = Fence { asked: log.index, since: log.at, attempts: 0, error: None };
    group.fencing.insert(appliance.clone(), fence);
    let body = EventBody::FencingDue { how: how(group, appliance) };
    let during = group.operation.as_ref().map(|o| o.id);
    log.push(Level::Warning, &group.spec.name, About::appliance(appliance).during(during), body);
}

/// In words, for instance `hook power-off-a`.
fn how(group: &Group, appliance: &ApplianceName) -> String {
    let spec = group.spec.appliance(appliance).and_then(|a| a.fence.as_ref());
    spec.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

pub(super) fn request(
    group: &mut Group,
    log: &mut Log,
    appliance: &ApplianceName,
    token: Token,
) -> Result<(), Rejection> {
    check_token(group, token)?;
    if group.fencing.contains_key(appliance) {
        return Ok(());
    }
    let never = group.spec.policy.fencing == Fencing::Never;
    if never || !group.unreleased.contains_key(appliance) {
        let (group, appliance) = (group.spec.name.clone(), appliance.clone());
        return Err(Rejection::NothingToFence { group, appliance });
    }
    ask(group, log, appliance);
    Ok(())
}

pub(super) fn record(group: &mut Group, log: &mut Log, record: &RecordFence) -> Result<(), Rejection> {
    let how = how(group, &record.appliance);
    let pending = group.fencing.get_mut(&record.appliance).filter(|fence| fence.asked == record.asked);
    let Some(fence) = pending else {
        let (group, appliance) = (group.spec.name.clone(), record.appliance.clone());
        return Err(Rejection::NothingToFence { group, appliance });
    };
    fence.attempts = fence.attempts.saturating_add(1);
    let StepOutcome::Failed { error } = &record.outcome else {
        settle(group, log, &record.appliance, ReleaseProof::Fenced);
        return Ok(());
    };
    let (error, attempt, took) = (clip(error), fence.attempts, record.took);
    // It is tried for as long as the operation runs: the same words again are no news.
    if fence.error.as_ref() != Some(&error) {
        fence.error = Some(error.clone());
        let during = group.operation.as_ref().map(|o| o.id);
        let about = About::appliance(&record.appliance).during(during);
        let body = EventBody::FencingFailed { how, attempt, error, took };
        log.push(Level::Alert, &group.spec.name, about, body);
    }
    Ok(())
}

/// An operator's word that `appliance` is off.
pub(super) fn confirm_off(
    group: &mut Group,
    log: &mut Log,
    appliance: &ApplianceName,
    token: Token,
    reason: &str,
) -> Result<(), Rejection> {
    check_reason(reason)?;
    let name = group.spec.name.clone();
    if !matches!(log.actor, Actor::Operator(_)) {
        return Err(Rejection::OperatorsOnly { what: "say that an appliance is off".to_owned() });
    }
    if group.spec.appliance(appliance).is_none() {
        return Err(Rejection::UnknownAppliance { group: name, appliance: appliance.clone() });
    }
    check_token(group, token)?;
    let waited_for = group.unreleased.contains_key(appliance) || group.fencing.contains_key(appliance);
    // The active may be granted the lease again at any time, so nothing rests on its being off,
    // but for this: switched on again, it acts on the newest declaration.
    let active = group.active.as_ref() == Some(appliance);
    let relied =
        group.relies.contains(appliance) && (!active || group.spec.policy.quorum_loss == QuorumLoss::Drop);
    if !waited_for && !relied {
        let appliance = appliance.clone();
        return Err(Rejection::NotAwaited { group: name, appliance, active });
    }
    let during = group.operation.as_ref().map(|o| o.id);
    let body = EventBody::ConfirmedOff { reason: reason.to_owned() };
    log.push(Level::Warning, &name, About::appliance(appliance).during(during), body);
    if waited_for {
        settle(group, log, appliance, ReleaseProof::Operator);
    } else {
        group.relies.remove(appliance);
    }
    Ok(())
}

fn check_token(group: &Group, token: Token) -> Result<(), Rejection> {
    if token == group.token {
        return Ok(());
    }
    Err(Rejection::StaleToken { group: group.spec.name.clone(), expected: token, current: group.token })
}
