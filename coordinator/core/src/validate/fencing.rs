//! The rules for switching appliances off.

use std::collections::BTreeSet;

use super::Faults;
use crate::model::{ApplianceSpec, FenceSpec, Fencing, GroupSpec};

pub(super) fn check(faults: &mut Faults, spec: &GroupSpec) {
    let needed = spec.policy.fencing != Fencing::Never;
    let mut machines = BTreeSet::new();
    for (i, appliance) in spec.appliances.iter().enumerate() {
        let at = format!("appliances[{i}].fence");
        let rule = "must say how the appliance is switched off, because the policy is to fence";
        faults.check(!needed || appliance.fence.is_some(), &at, "absent", rule);
        if let Some(FenceSpec::PowerOff { resource, .. }) = &appliance.fence {
            let filled = !resource.trim().is_empty();
            faults.check(filled, format!("{at}.resource"), format!("{resource:?}"), "must not be empty");
        }
        if let Some(machine) = machine(appliance) {
            let fresh = machines.insert(machine.clone());
            let rule = "must be the machine of this appliance alone";
            faults.check(fresh, format!("{at}.resource"), machine, rule);
        }
    }
}

/// What a power-off would hit: no two appliances may name the same. A hook is told which appliance
/// it is for, so several may share one.
pub(super) fn machine(appliance: &ApplianceSpec) -> Option<String> {
    match appliance.fence.as_ref()? {
        FenceSpec::PowerOff { adapter, resource } => Some(format!("{resource} of {adapter}")),
        FenceSpec::Hook { .. } => None,
    }
}
