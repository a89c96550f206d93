//! What no two groups may share.

use super::bindings::subject;
use super::fencing::machine;
use super::{BindingKind, Faults, SpecFault};
use crate::model::GroupSpec;

/// Everything in `spec` that another group of the cluster has already. A group of the same name
/// among `others` is the one that `spec` replaces, and is passed over.
pub fn against<'a>(spec: &GroupSpec, others: impl IntoIterator<Item = &'a GroupSpec>) -> Vec<SpecFault> {
    let mut faults = Faults::default();
    for other in others.into_iter().filter(|o| o.name != spec.name) {
        appliances(&mut faults, spec, other);
        bindings(&mut faults, spec, other);
    }
    faults.0
}

fn appliances(faults: &mut Faults, spec: &GroupSpec, other: &GroupSpec) {
    for (i, appliance) in spec.appliances.iter().enumerate() {
        let name = &appliance.name;
        let rule = format!("must be in one group only, and it is in {}", other.name);
        faults.check(other.appliance(name).is_none(), format!("appliances[{i}].name"), name, rule);
        if let Some(own) = machine(appliance)
            && let Some(taken) = other.appliances.iter().find(|o| machine(o).as_ref() == Some(&own))
        {
            let rule =
                format!("must be the machine of one appliance, and {} of {} has it", taken.name, other.name);
            faults.check(false, format!("appliances[{i}].fence.resource"), own, rule);
        }
        let taken = other.appliances.iter().find(|o| o.address == appliance.address);
        if let Some(taken) = taken {
            let rule = format!("must be unique, and {} of {} has it", taken.name, other.name);
            faults.check(false, format!("appliances[{i}].address"), appliance.address, rule);
        }
        let vip = other.bindings.iter().find(|b| is_vip(&b.kind, appliance.address));
        if let Some(vip) = vip {
            let rule =
                format!("must differ from every virtual address, and {} of {} is it", vip.name, other.name);
            faults.check(false, format!("appliances[{i}].address"), appliance.address, rule);
        }
    }
}

fn bindings(faults: &mut Faults, spec: &GroupSpec, other: &GroupSpec) {
    for (i, binding) in spec.bindings.iter().enumerate() {
        let (field, what) = subject(&spec.name, &binding.kind);
        let path = format!("bindings[{i}].{field}");
        if let Some(taken) = other.bindings.iter().find(|o| subject(&other.name, &o.kind).1 == what) {
            let rule = format!("must be bound only once, and {} of {} binds it", taken.name, other.name);
            faults.check(false, &path, what, rule);
        }
        for appliance in &other.appliances {
            let (name, group) = (&appliance.name, &other.name);
            let rule = format!("must differ from the own address of {name} of {group}");
            let own = is_vip(&binding.kind, appliance.address);
            faults.check(!own, &path, appliance.address, rule);
        }
    }
}

fn is_vip(kind: &BindingKind, it: std::net::IpAddr) -> bool {
    matches!(kind, BindingKind::Vip { address, .. } if *address == it)
}
