//! What the coordinator records about a group: verdicts, holds, drift.

use super::operations::bounded;
use super::{About, Log, Rejection};
use crate::event::{EventBody, Level};
use crate::ids::{ApplianceName, BindingName};
use crate::observe::{Evidence, Verdict};
use crate::reason::Reason;
use crate::state::{Drift, Group};

pub(super) fn verdict(
    group: &mut Group,
    log: &mut Log,
    appliance: &ApplianceName,
    verdict: Verdict,
    evidence: &[Evidence],
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    let Some(known) = group.appliances.get_mut(appliance) else {
        return Err(Rejection::UnknownAppliance { group: name, appliance: appliance.clone() });
    };
    if known.verdict == verdict {
        return Ok(());
    }
    let from = std::mem::replace(&mut known.verdict, verdict);
    known.since = log.at;
    let active = group.active.as_ref() == Some(appliance);
    let level = match verdict {
        Verdict::Up => Level::Info,
        Verdict::Down if active => Level::Alert,
        Verdict::Down | Verdict::Unknown => Level::Warning,
    };
    let body = EventBody::VerdictChanged { from, to: verdict, evidence: bounded(evidence) };
    let during = group.operation.as_ref().map(|o| o.id);
    log.push(level, &name, About::appliance(appliance).during(during), body);
    Ok(())
}

pub(super) fn hold(group: &mut Group, log: &mut Log, hold: Option<&Reason>) -> Result<(), Rejection> {
    if group.hold.as_ref() == hold {
        return Ok(());
    }
    group.hold = hold.cloned();
    let (level, body) = match hold {
        Some(reason) => (Level::Alert, EventBody::Held { reason: reason.clone() }),
        None => (Level::Info, EventBody::HoldEnded),
    };
    let during = group.operation.as_ref().map(|o| o.id);
    log.push(level, &group.spec.name, About::default().during(during), body);
    Ok(())
}

pub(super) fn drift(
    group: &mut Group,
    log: &mut Log,
    binding: &BindingName,
    drift: Option<&Drift>,
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    if group.spec.binding(binding).is_none() {
        return Err(Rejection::UnknownBinding { group: name, binding: binding.clone() });
    }
    let drift = drift.map(Drift::bounded);
    if group.drift.get(binding) == drift.as_ref() {
        return Ok(());
    }
    let binding = binding.clone();
    let (level, body) = match drift {
        Some(drift) => {
            group.drift.insert(binding.clone(), drift.clone());
            (Level::Warning, EventBody::DriftFound { binding, drift })
        }
        None => {
            group.drift.remove(&binding);
            (Level::Info, EventBody::DriftGone { binding })
        }
    };
    log.push(level, &name, About::default(), body);
    Ok(())
}
