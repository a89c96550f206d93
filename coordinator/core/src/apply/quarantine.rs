//! What was taken out of a group while an appliance may still hold it under an earlier lease.
//!
//! An appliance that held it learns of that at its next renewal, or when its lease runs out. In
//! between, another group, or the same one declared anew, could grant it to another appliance
//! without knowing of the old lease.

use std::net::IpAddr;

use super::Rejection;
use crate::ids::ApplianceName;
use crate::model::{BindingKind, GroupSpec};
use crate::state::{Group, KEPT_WITHDRAWN, State, Withdrawn};
use crate::time::WallTime;

/// What was withdrawn stays out of use for this many times the lease wait. One would do if wall
/// clocks were to be trusted.
const WAITS: u32 = 10;

/// What `group` gives up when it becomes `next`, and until when; `None` removes it.
///
/// A gate's port is given up on every appliance of the group: whoever declares it next on one of
/// them may mean the same load balancer.
pub(super) fn given_up(group: &Group, next: Option<&GroupSpec>, time: WallTime) -> Withdrawn {
    let mut gone = Withdrawn::default();
    if group.active.is_none() {
        return gone;
    }
    let until = time.plus(group.spec.lease.wait().saturating_mul(WAITS));
    let stays = |vip: &IpAddr| next.is_some_and(|spec| vips(spec).any(|v| v == *vip));
    gone.vips.extend(vips(&group.spec).filter(|vip| !stays(vip)).map(|vip| (vip, until)));
    let stays = |port: &u16| next.is_some_and(|spec| gates(spec).any(|p| p == *port));
    for port in gates(&group.spec).filter(|port| !stays(port)) {
        for appliance in &group.spec.appliances {
            gone.gates.entry(appliance.name.clone()).or_default().insert(port, until);
        }
    }
    gone
}

/// Whether what `spec` adds to `before` is out of quarantine.
pub(super) fn declarable(state: &State, before: Option<&Group>, spec: &GroupSpec) -> Result<(), Rejection> {
    let remaining = |until: &WallTime| {
        let left = until.0.saturating_sub(state.time.0);
        (left > 0).then_some(left)
    };
    let kept = |vip: &IpAddr| before.is_some_and(|g| vips(&g.spec).any(|v| v == *vip));
    for vip in vips(spec).filter(|vip| !kept(vip)) {
        if let Some(remaining_ms) = state.withdrawn.vips.get(&vip).and_then(remaining) {
            return Err(Rejection::VipWithdrawn { vip, remaining_ms });
        }
    }
    let kept = |appliance: &ApplianceName, port: u16| {
        before.is_some_and(|g| g.spec.appliance(appliance).is_some() && gates(&g.spec).any(|p| p == port))
    };
    for port in gates(spec) {
        for appliance in spec.appliances.iter().map(|a| &a.name).filter(|name| !kept(name, port)) {
            let ports = state.withdrawn.gates.get(appliance);
            if let Some(remaining_ms) = ports.and_then(|ports| ports.get(&port)).and_then(remaining) {
                return Err(Rejection::GateWithdrawn { port, appliance: appliance.clone(), remaining_ms });
            }
        }
    }
    Ok(())
}

/// Puts it into quarantine.
pub(super) fn withdraw(state: &mut State, gone: Withdrawn) -> Result<(), Rejection> {
    let mut kept = state.withdrawn.pruned(state.time);
    let vips = kept.vips.len() + gone.vips.len();
    if vips > KEPT_WITHDRAWN || kept.gate_count() + gone.gate_count() > KEPT_WITHDRAWN {
        return Err(Rejection::TooManyWithdrawn);
    }
    kept.vips.extend(gone.vips);
    for (appliance, ports) in gone.gates {
        kept.gates.entry(appliance).or_default().extend(ports);
    }
    state.withdrawn = kept;
    Ok(())
}

/// The virtual addresses of a group.
pub(super) fn vips(spec: &GroupSpec) -> impl Iterator<Item = IpAddr> {
    spec.bindings.iter().filter_map(|b| match &b.kind {
        BindingKind::Vip { address, .. } => Some(*address),
        _ => None,
    })
}

/// The ports of a group's probe gates.
pub(super) fn gates(spec: &GroupSpec) -> impl Iterator<Item = u16> {
    spec.bindings.iter().filter_map(|b| match &b.kind {
        BindingKind::ProbeGate(gate) => Some(gate.port),
        _ => None,
    })
}
