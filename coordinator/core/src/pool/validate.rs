//! What a declaration of a pool must fulfil: all faults at once, each with its path in
//! [`PoolSpec`].

use std::collections::BTreeSet;

use super::{PoolSpec, Way};
use crate::model::GroupSpec;
use crate::reason::Span;
use crate::validate::{Faults, MAX_APPLIANCES, SpecFault, probes};

/// Most members of a pool.
pub const MAX_MEMBERS: usize = MAX_APPLIANCES;

/// Everything that is wrong with a pool by itself.
pub fn pool(spec: &PoolSpec) -> Vec<SpecFault> {
    let mut faults = Faults::default();
    faults.count("members", spec.members.len(), 2, MAX_MEMBERS);
    members(&mut faults, spec);
    let rule = "must be declared, or egress must be: nobody could be taken out of anything";
    faults.check(spec.sides().next().is_some(), "ingress", "absent", rule);
    for (side, way) in spec.sides() {
        targets(&mut faults, side.word(), spec, way);
    }
    if let (Some(ingress), Some(egress)) = (&spec.ingress, &spec.egress) {
        let same = place(ingress) == place(egress);
        let one = ingress.adapter() == egress.adapter();
        let rule = "must be that of the ingress side: both sides are checked before either is changed";
        faults.check(one, "egress.adapter", egress.adapter(), rule);
        faults.check(
            !same,
            "egress.backend_pool",
            egress.what(),
            "must differ from that of the ingress side",
        );
    }
    policy(&mut faults, spec);
    faults.0
}

fn members(faults: &mut Faults, spec: &PoolSpec) {
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (i, member) in spec.members.iter().enumerate() {
        let at = format!("members[{i}]");
        let fresh = names.insert(&member.name);
        faults.check(fresh, format!("{at}.name"), &member.name, "must be unique in the pool");
        let fresh = addresses.insert(member.address);
        faults.check(fresh, format!("{at}.address"), member.address, "must be unique in the pool");
        probes(faults, &at, &member.probes);
    }
}

fn targets(faults: &mut Faults, at: &str, spec: &PoolSpec, way: &Way) {
    let Way::BackendPool { backend_pool, targets, .. } = way;
    let filled = !backend_pool.trim().is_empty();
    faults.check(filled, format!("{at}.backend_pool"), format!("{backend_pool:?}"), "must not be empty");
    let path = format!("{at}.targets");
    for member in &spec.members {
        let name = &member.name;
        let named = targets.contains_key(name);
        faults.check(named, &path, format!("without {name}"), "must name every member");
    }
    let mut seen = BTreeSet::new();
    for (name, target) in targets {
        let path = format!("{path}.{name}");
        faults.check(spec.member(name).is_some(), &path, name, "must be a member of the pool");
        faults.check(!target.trim().is_empty(), &path, format!("{target:?}"), "must not be empty");
        let fresh = seen.insert(target.to_lowercase());
        faults.check(fresh, &path, target, "must differ from the other members' targets");
    }
}

fn policy(faults: &mut Faults, spec: &PoolSpec) {
    let policy = &spec.policy;
    let members = spec.members.len();
    let possible = policy.min_in >= 1 && spec.min_in() < members.max(2);
    let rule = format!(
        "must be at least 1 and less than the number of members ({members}): otherwise nobody could ever leave"
    );
    faults.check(possible, "policy.min_in", policy.min_in, rule);
    let most = policy.max_out.unwrap_or(1);
    faults.check(most >= 1, "policy.max_out", most, "must be at least 1, or be left out");
    faults.check(policy.flap_moves >= 1, "policy.flap_moves", policy.flap_moves, "must be at least 1");
    for (path, value) in [("policy.flap_window", policy.flap_window), ("policy.freshness", policy.freshness)]
    {
        faults.check(!value.is_zero(), path, Span::from(value), "must be more than 0");
    }
}

/// What a way fills: no two pools may fill the same.
fn place(way: &Way) -> (String, String) {
    match way {
        Way::BackendPool { adapter, backend_pool, .. } => (adapter.to_string(), backend_pool.to_lowercase()),
    }
}

/// Everything in `spec` that another pool or a group of the cluster has already. A pool of the
/// same name is the one that `spec` replaces, and is passed over.
pub fn against<'a>(
    spec: &PoolSpec,
    pools: impl IntoIterator<Item = &'a PoolSpec>,
    groups: impl IntoIterator<Item = &'a GroupSpec>,
) -> Vec<SpecFault> {
    let mut faults = Faults::default();
    for other in pools.into_iter().filter(|other| other.name != spec.name) {
        for (i, member) in spec.members.iter().enumerate() {
            let clash = other.members.iter().find(|o| o.name == member.name || o.address == member.address);
            let same_name = clash.is_some_and(|o| o.name == member.name);
            check_free(&mut faults, i, spec, same_name, clash.is_some(), &format!("pool {}", other.name));
        }
        for (side, way) in spec.sides() {
            let taken = other.sides().any(|(_, theirs)| place(theirs) == place(way));
            let rule = format!("must be filled by one pool only, and {} fills it", other.name);
            faults.check(!taken, format!("{side}.backend_pool"), way.what(), rule);
        }
    }
    for group in groups {
        let same = group.name.as_str() == spec.name.as_str();
        faults.check(!same, "name", &spec.name, "must differ from the names of groups");
        for (i, member) in spec.members.iter().enumerate() {
            let clash =
                group.appliances.iter().find(|o| o.name == member.name || o.address == member.address);
            let same_name = clash.is_some_and(|o| o.name == member.name);
            check_free(&mut faults, i, spec, same_name, clash.is_some(), &format!("group {}", group.name));
        }
    }
    faults.0
}

/// Everything in a group that a pool of the cluster has already.
pub fn group_against<'a>(spec: &GroupSpec, pools: impl IntoIterator<Item = &'a PoolSpec>) -> Vec<SpecFault> {
    let mut faults = Faults::default();
    for pool in pools {
        let same = pool.name.as_str() == spec.name.as_str();
        faults.check(!same, "name", &spec.name, "must differ from the names of pools");
        for (i, appliance) in spec.appliances.iter().enumerate() {
            let rule = format!("must be in one group or pool only, and it is in pool {}", pool.name);
            let free = pool.member(&appliance.name).is_none();
            faults.check(free, format!("appliances[{i}].name"), &appliance.name, rule);
            let taken = pool.members.iter().find(|member| member.address == appliance.address);
            if let Some(taken) = taken.filter(|taken| taken.name != appliance.name) {
                let rule = format!("must be unique, and {} of pool {} has it", taken.name, pool.name);
                faults.check(false, format!("appliances[{i}].address"), appliance.address, rule);
            }
        }
    }
    faults.0
}

fn check_free(faults: &mut Faults, i: usize, spec: &PoolSpec, same_name: bool, taken: bool, by: &str) {
    let Some(member) = spec.members.get(i).filter(|_| taken) else { return };
    if same_name {
        let rule = format!("must be in one pool or group only, and it is in {by}");
        faults.check(false, format!("members[{i}].name"), &member.name, rule);
    } else {
        let rule = format!("must be unique, and an appliance of {by} has it");
        faults.check(false, format!("members[{i}].address"), member.address, rule);
    }
}
