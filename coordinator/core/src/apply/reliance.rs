//! Who may be going on past its lease on the promises of others, and what must not happen while
//! anyone may.
//!
//! The end of a lease proves nothing of such a holder by itself. That nobody else holds rests on
//! this: each appliance that could be granted the lease is one that the holder must have asked,
//! and one that promised accepts no grant. See `docs/adr/0015-failsafe.md`.

use super::quarantine::{gates, vips};
use super::{About, Log, Rejection};
use crate::event::{EventBody, Level};
use crate::ids::ApplianceName;
use crate::model::{GroupSpec, QuorumLoss};
use crate::state::Group;

/// Whether `next` may replace the declaration of `group`; `None` removes it.
///
/// A holder asks those whom its own declaration names, and that may be an older one. So nobody may
/// join whom it does not ask. Addresses and probe gates must stay as well: what keeps them from being
/// declared elsewhere too early goes by the end of a lease. Appliances may leave and addresses may join:
/// that takes nothing from anyone who was asked.
pub(super) fn check(group: &Group, next: Option<&GroupSpec>) -> Result<(), Rejection> {
    let Some(holder) = group.relies.first() else { return Ok(()) };
    let refused = |what: String| {
        Err(Rejection::ReliedOn { group: group.spec.name.clone(), appliance: holder.clone(), what })
    };
    let Some(next) = next else { return refused("it cannot be removed".to_owned()) };
    if let Some(new) = next.appliances.iter().find(|a| group.spec.appliance(&a.name).is_none()) {
        return refused(format!("{} cannot join", new.name));
    }
    if let Some(gone) = vips(&group.spec).find(|vip| !vips(next).any(|v| v == *vip)) {
        return refused(format!("{gone} cannot leave"));
    }
    if let Some(gone) = gates(&group.spec).find(|port| !gates(next).any(|p| p == *port)) {
        return refused(format!("the probe gate on port {gone} cannot leave"));
    }
    Ok(())
}

/// A declaration was applied: the active may rely on promises as soon as it hears of it.
pub(super) fn declared(group: &mut Group) {
    if group.spec.policy.quorum_loss == QuorumLoss::Failsafe {
        group.relies.extend(group.active.clone());
    }
}

/// `to` was given the active role, and with it the lease before long.
pub(super) fn granted(group: &mut Group, to: &ApplianceName) {
    if group.spec.policy.quorum_loss == QuorumLoss::Failsafe {
        group.relies.insert(to.clone());
    }
}

/// `to` holds the lease under the newest token. So its promise to anyone else is over, and it
/// gives no other: each earlier holder has stopped, and cannot go on.
pub(super) fn held(group: &mut Group, to: &ApplianceName) {
    group.relies.retain(|holder| holder == to);
}

pub(super) fn acknowledged(
    group: &mut Group,
    log: &mut Log,
    appliance: &ApplianceName,
    revision: u64,
) -> Result<(), Rejection> {
    let drops = group.spec.policy.quorum_loss == QuorumLoss::Drop;
    if !drops || revision < group.revision || !group.relies.remove(appliance) {
        let name = group.spec.name.clone();
        return Err(Rejection::NothingToAcknowledge { group: name, appliance: appliance.clone() });
    }
    let body = EventBody::Acknowledged { revision };
    log.push(Level::Info, &group.spec.name, About::appliance(appliance), body);
    Ok(())
}
