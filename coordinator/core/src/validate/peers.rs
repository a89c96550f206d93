//! The rules for the ways between the agents of a group, and for what rests on them.

use std::collections::BTreeSet;

use super::{Faults, MAX_PEER_ADDRESSES};
use crate::model::{ApplianceSpec, BindingKind, GroupSpec, QuorumLoss};

pub(super) fn check(faults: &mut Faults, spec: &GroupSpec) {
    let failsafe = spec.policy.quorum_loss == QuorumLoss::Failsafe;
    let rule = "must be \"drop\" in a group without a virtual address and without a probe gate: there is no lease to go on with";
    faults.check(!failsafe || spec.needs_lease(), "policy.quorum_loss", "\"failsafe\"", rule);
    let mut taken = BTreeSet::new();
    for (i, appliance) in spec.appliances.iter().enumerate() {
        let at = format!("appliances[{i}].peer");
        addresses(faults, &at, spec, appliance);
        for address in &appliance.peer {
            faults.check(taken.insert(address), &at, address, "must be unique in the group");
        }
        let rule = "must name the address of the agent for its peers, because the policy is failsafe";
        faults.check(!failsafe || !appliance.peer.is_empty(), &at, "empty", rule);
    }
}

fn addresses(faults: &mut Faults, at: &str, spec: &GroupSpec, appliance: &ApplianceSpec) {
    faults.count(at, appliance.peer.len(), 0, MAX_PEER_ADDRESSES);
    for address in &appliance.peer {
        let host = !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0;
        faults.check(host, at, address, "must be the address of one host, and a port");
        let moves = spec.bindings.iter().any(|binding| match &binding.kind {
            BindingKind::Vip { address: vip, .. } => *vip == address.ip(),
            _ => false,
        });
        faults.check(!moves, at, address, "must stay where it is: it is a virtual address of the group");
    }
}
