//! What this node's own configuration demands of a group, beyond the rules of the core.
//!
//! The core cannot know which clouds a coordinator is connected to, nor how fast its elections
//! are. The leader checks a declaration against its own configuration before it proposes it; all
//! coordinators are meant to have the same.

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator_core::ids::{AdapterName, HookName};
use coordinator_core::model::{ApplianceSpec, BindingKind, FenceSpec, GroupSpec};
use coordinator_core::pool::{PoolSpec, Side, Way};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct GroupLimits {
    /// The configured adapters.
    pub adapters: BTreeSet<AdapterName>,
    /// Those of them that can power machines off.
    pub power: BTreeSet<AdapterName>,
    /// Those of them that fill backend pools of load balancers.
    pub balancers: BTreeSet<AdapterName>,
    /// The configured hooks.
    pub hooks: BTreeSet<HookName>,
    /// The shortest lease with which a healthy active keeps its VIPs while the leader changes.
    pub shortest_lease: Duration,
}

impl GroupLimits {
    /// Every fault of `spec`, in words; none when it fits.
    pub fn faults(&self, spec: &GroupSpec) -> Vec<String> {
        let mut faults = Vec::new();
        for binding in &spec.bindings {
            let adapter = match &binding.kind {
                BindingKind::PublicIp { adapter, .. } | BindingKind::Route { adapter, .. } => adapter,
                BindingKind::Vip { .. } | BindingKind::ProbeGate(_) => continue,
            };
            if !self.adapters.contains(adapter) {
                let name = &binding.name;
                faults.push(format!("binding {name} uses the adapter {adapter}, which is not configured"));
            }
        }
        faults.extend(spec.appliances.iter().filter_map(|appliance| self.fence_fault(appliance)));
        if self.too_short(spec) && !spec.lease.accept_outage_on_leader_change {
            faults.push(format!(
                "lease.ttl is {} ms; it must be at least {} ms, twice raft.election_max and 100 ms, so that \
                 a change of leader does not cost a healthy appliance its VIPs; \
                 lease.accept_outage_on_leader_change = true accepts that it does",
                spec.lease.ttl.as_millis(),
                self.shortest_lease.as_millis()
            ));
        }
        faults
    }

    /// Every fault of a pool, in words; none when it fits.
    pub fn pool_faults(&self, spec: &PoolSpec) -> Vec<String> {
        let fault = |(side, way): (Side, &Way)| {
            let adapter = way.adapter();
            if !self.adapters.contains(adapter) {
                return Some(format!("the {side} side uses the adapter {adapter}, which is not configured"));
            }
            let able = self.balancers.contains(adapter);
            (!able)
                .then(|| format!("the {side} side uses the adapter {adapter}, which fills no backend pools"))
        };
        spec.sides().filter_map(fault).collect()
    }

    /// Says in the log what was accepted: a lease that a change of leader may cost.
    pub fn warn(&self, spec: &GroupSpec) {
        if self.too_short(spec) && spec.lease.accept_outage_on_leader_change {
            tracing::warn!(
                group = %spec.name,
                lease_ms = spec.lease.ttl.as_millis(),
                safe_from_ms = self.shortest_lease.as_millis(),
                "the lease does not outlast a change of leader: one may cost the group its virtual addresses for a moment"
            );
        }
    }

    /// Whether a change of leader may cost an active appliance its virtual addresses.
    pub(crate) fn too_short(&self, spec: &GroupSpec) -> bool {
        spec.needs_lease() && spec.lease.ttl < self.shortest_lease
    }

    fn fence_fault(&self, appliance: &ApplianceSpec) -> Option<String> {
        let name = &appliance.name;
        match appliance.fence.as_ref()? {
            FenceSpec::PowerOff { adapter, .. } if !self.adapters.contains(adapter) => {
                Some(format!("{name} is fenced by the adapter {adapter}, which is not configured"))
            }
            FenceSpec::PowerOff { adapter, .. } if !self.power.contains(adapter) => {
                Some(format!("{name} is fenced by the adapter {adapter}, which cannot power machines off"))
            }
            FenceSpec::Hook { name: hook } if !self.hooks.contains(hook) => {
                Some(format!("{name} is fenced by the hook {hook}, which is not configured"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator_core::model::{BindingSpec, LeaseSpec, Policy};

    fn spec(kind: BindingKind, ttl_ms: u64) -> GroupSpec {
        GroupSpec {
            name: "dmz".parse().unwrap(),
            appliances: Vec::new(),
            bindings: vec![BindingSpec { name: "b".parse().unwrap(), kind }],
            policy: Policy::default(),
            lease: LeaseSpec { ttl: Duration::from_millis(ttl_ms), ..LeaseSpec::default() },
            path_probes: Vec::new(),
        }
    }

    fn limits() -> GroupLimits {
        GroupLimits {
            adapters: ["known".parse().unwrap(), "weak".parse().unwrap()].into(),
            power: ["known".parse().unwrap()].into(),
            balancers: ["known".parse().unwrap()].into(),
            hooks: ["pdu".parse().unwrap()].into(),
            shortest_lease: Duration::from_millis(700),
        }
    }

    fn public_ip(adapter: &str) -> BindingKind {
        let resource = "pip".to_owned();
        BindingKind::PublicIp { adapter: adapter.parse().unwrap(), resource, targets: [].into() }
    }

    #[test]
    fn a_binding_of_an_adapter_that_is_not_configured_is_a_fault() {
        assert!(limits().faults(&spec(public_ip("known"), 1)).is_empty());
        let faults = limits().faults(&spec(public_ip("other"), 1));
        assert_eq!(faults, ["binding b uses the adapter other, which is not configured"]);
    }

    #[test]
    fn a_fence_that_this_node_does_not_have_is_a_fault() {
        let power = |adapter: &str| FenceSpec::PowerOff {
            adapter: adapter.parse().unwrap(),
            resource: "vm-a".to_owned(),
        };
        let hook = |name: &str| FenceSpec::Hook { name: name.parse().unwrap() };
        for (fence, fault) in [
            (power("known"), None),
            (power("weak"), Some("fw-a is fenced by the adapter weak, which cannot power machines off")),
            (power("other"), Some("fw-a is fenced by the adapter other, which is not configured")),
            (hook("pdu"), None),
            (hook("pduu"), Some("fw-a is fenced by the hook pduu, which is not configured")),
        ] {
            let mut spec = spec(public_ip("known"), 1);
            spec.appliances.push(ApplianceSpec {
                name: "fw-a".parse().unwrap(),
                address: [10, 0, 0, 4].into(),
                probes: Vec::new(),
                peer: Vec::new(),
                fence: Some(fence),
            });
            assert_eq!(limits().faults(&spec).first().map(String::as_str), fault);
        }
    }

    #[test]
    fn a_lease_shorter_than_a_change_of_leader_is_a_fault_where_there_is_one() {
        let vip = BindingKind::Vip { address: [10, 0, 0, 9].into(), prefix_len: 24, interfaces: [].into() };
        assert!(limits().faults(&spec(vip.clone(), 700)).is_empty());
        let faults = limits().faults(&spec(vip, 699));
        assert!(faults[0].starts_with("lease.ttl is 699 ms; it must be at least 700 ms"), "{faults:?}");
    }

    #[test]
    fn a_lease_shorter_than_a_change_of_leader_is_accepted_on_the_operators_word() {
        let vip = BindingKind::Vip { address: [10, 0, 0, 9].into(), prefix_len: 24, interfaces: [].into() };
        let mut accepted = spec(vip, 100);
        accepted.lease.accept_outage_on_leader_change = true;
        assert!(limits().faults(&accepted).is_empty());
    }
}
