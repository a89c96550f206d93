//! What operators set: mode, maintenance, freeze.

use super::operations::check_reason;
use super::{About, Log, Rejection};
use crate::event::{EventBody, Level};
use crate::ids::ApplianceName;
use crate::model::Trigger;
use crate::reason::Reason;
use crate::state::Group;
use crate::text::clip;

pub(super) fn mode(group: &mut Group, log: &mut Log, mode: Trigger, reason: &str) -> Result<(), Rejection> {
    check_reason(reason)?;
    if group.mode == mode {
        return Ok(());
    }
    group.mode = mode;
    let level = if mode == Trigger::Manual { Level::Warning } else { Level::Info };
    let body = EventBody::ModeSet { mode, reason: reason.to_owned() };
    log.push(level, &group.spec.name, About::default(), body);
    Ok(())
}

pub(super) fn maintenance(
    group: &mut Group,
    log: &mut Log,
    appliance: &ApplianceName,
    enabled: bool,
    reason: &str,
) -> Result<(), Rejection> {
    check_reason(reason)?;
    let name = group.spec.name.clone();
    let Some(known) = group.appliances.get_mut(appliance) else {
        return Err(Rejection::UnknownAppliance { group: name, appliance: appliance.clone() });
    };
    let wanted = enabled.then(|| reason.to_owned());
    if known.maintenance == wanted {
        return Ok(());
    }
    known.maintenance = wanted;
    let body = EventBody::MaintenanceSet { enabled, reason: reason.to_owned() };
    let level = if enabled { Level::Warning } else { Level::Info };
    log.push(level, &name, About::appliance(appliance), body);
    Ok(())
}

pub(super) fn freeze(group: &mut Group, log: &mut Log, reason: &Reason) -> Result<(), Rejection> {
    if group.frozen.is_some() {
        return Ok(());
    }
    let reason = match reason {
        Reason::Requested { reason } => Reason::Requested { reason: clip(reason) },
        other => other.clone(),
    };
    group.frozen = Some(reason.clone());
    log.push(Level::Alert, &group.spec.name, About::default(), EventBody::Frozen { reason });
    Ok(())
}

pub(super) fn unfreeze(group: &mut Group, log: &mut Log, reason: &str) -> Result<(), Rejection> {
    check_reason(reason)?;
    if group.frozen.take().is_none() {
        return Ok(());
    }
    group.automatic_moves.clear();
    let body = EventBody::Unfrozen { reason: reason.to_owned() };
    log.push(Level::Info, &group.spec.name, About::default(), body);
    Ok(())
}
