//! Moves that operators ask for.

use super::view::View;
use super::{MoveRequest, Observations};
use crate::command::{OperationKind, StartOperation};
use crate::ids::{ApplianceName, OperationId};
use crate::observe::Verdict;
use crate::reason::Reason;
use crate::state::State;
use crate::text::MAX_TEXT;
use crate::time::Now;

pub(super) fn admit(
    state: &State,
    observations: &Observations,
    now: Now,
    request: &MoveRequest,
) -> Result<StartOperation, Vec<Reason>> {
    let Some(group) = state.groups.get(&request.group) else {
        return Err(vec![Reason::UnknownGroup { group: request.group.clone() }]);
    };
    let view = View::new(state, group, observations, now);
    check_form(&view, request).map_err(|reason| vec![reason])?;
    let to = target(&view, request).map_err(|reason| vec![reason])?;
    let forced = request.kind == OperationKind::ForcedSwitchover;
    let mut refused = Vec::new();
    let mut because = vec![Reason::Requested { reason: request.reason.clone() }];
    if group.active.as_ref() == Some(to) {
        refused.push(Reason::AlreadyActive { appliance: to.clone() });
    }
    if request.kind == OperationKind::Failback && group.preferred() != Some(to) {
        refused.push(Reason::NotPreferred { appliance: to.clone() });
    }
    let supersedes = running(&view, forced, &mut refused, &mut because);
    let failing = failing_checks(&view, to);
    let sound = failing.is_empty();
    if !forced {
        refused.extend(failing);
    } else if !sound {
        because.push(Reason::ChecksSkipped);
        because.extend(failing);
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    if let Some(active) = &group.active {
        because.push(view.why(active));
    }
    if sound {
        because.push(view.why(to));
    }
    Ok(StartOperation {
        group: request.group.clone(),
        kind: request.kind,
        to: to.clone(),
        expected: group.token,
        supersedes,
        reason: request.reason.clone(),
        because,
        evidence: view.evidence(),
    })
}

fn check_form(view: &View<'_>, request: &MoveRequest) -> Result<(), Reason> {
    if request.reason.len() > MAX_TEXT {
        return Err(Reason::ReasonTooLong { limit: u32::try_from(MAX_TEXT).unwrap_or(u32::MAX) });
    }
    match request.kind {
        OperationKind::Activation | OperationKind::Failover => {
            Err(Reason::NotForOperators { kind: request.kind.word().to_owned() })
        }
        // With nothing active there is nothing to switch from; forcing says what to begin with.
        OperationKind::Switchover | OperationKind::Failback if view.group.active.is_none() => {
            Err(Reason::NotActivated)
        }
        _ => Ok(()),
    }
}

/// Where to: as asked, or the best standby.
fn target<'a>(view: &View<'a>, request: &'a MoveRequest) -> Result<&'a ApplianceName, Reason> {
    let group = view.group;
    if let Some(asked) = &request.to {
        let unknown = || Reason::UnknownAppliance { appliance: asked.clone() };
        return group.spec.appliance(asked).map(|a| &a.name).ok_or_else(unknown);
    }
    if request.kind == OperationKind::Failback {
        return group.preferred().ok_or(Reason::NoStandby);
    }
    let sound = group.standbys().find(|name| failing_checks(view, name).is_empty());
    sound.or_else(|| group.standbys().next()).ok_or(Reason::NoStandby)
}

/// What speaks against a move to `to`.
fn failing_checks(view: &View<'_>, to: &ApplianceName) -> Vec<Reason> {
    let appliance = to.clone();
    let mut failing = Vec::new();
    if view.group.in_maintenance(to) {
        failing.push(Reason::StandbyInMaintenance { appliance: appliance.clone() });
    }
    if let Some((source, notice)) = view.group.notices(to).next() {
        failing.push(Reason::StandbyAnnounced { appliance: to.clone(), kind: notice.kind, source });
    }
    let recorded = view.group.verdict(to);
    match view.seen(to) {
        Verdict::Down => failing.push(Reason::StandbyDown { appliance }),
        Verdict::Unknown if recorded == Verdict::Down => failing.push(Reason::StandbyDown { appliance }),
        Verdict::Unknown => {
            failing.push(Reason::StandbyUnknown { appliance });
            failing.push(view.why(to));
        }
        Verdict::Up if recorded != Verdict::Up => failing.push(Reason::VerdictChanging { appliance }),
        Verdict::Up => {}
    }
    failing
}

/// What a running operation means for the request: it is refused, or, when it is forced and the
/// operation is stalled or has lost its target, it takes over.
fn running(
    view: &View<'_>,
    forced: bool,
    refused: &mut Vec<Reason>,
    because: &mut Vec<Reason>,
) -> Option<OperationId> {
    let running = view.group.operation.as_ref()?;
    let (operation, to) = (running.id, running.to.clone());
    let stalled = running.stalled(view.time, view.group.spec.policy.operation_timeout);
    let target_down = view.group.verdict(&to) == Verdict::Down;
    if !forced || !(stalled || target_down) {
        refused.push(Reason::OperationRunning { operation, to });
        return None;
    }
    because.push(if target_down {
        Reason::OperationTargetDown { operation, to }
    } else {
        Reason::OperationStalled { operation, to }
    });
    Some(operation)
}
