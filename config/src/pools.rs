//! Pools: `[[pool]]`, beside groups.

use std::net::IpAddr;

use coordinator_core::ids::{AdapterName, ApplianceName};
use coordinator_core::model::GroupSpec;
use coordinator_core::pool::{MemberSpec, PoolPolicy, PoolSpec, Way, validate};

use crate::decode::{Report, Table};
use crate::groups::{Known, adapter, listed, locate, probe};

/// The pools of a file, with every fault of each and between them and the groups reported. Names
/// of adapters are checked when they are known.
pub(crate) fn read(
    report: &Report,
    file: &mut Table<'_>,
    known: Known<'_>,
    groups: &[GroupSpec],
) -> Option<Vec<PoolSpec>> {
    let pools = file.each("pool", |t| pool(t, known))?;
    for (index, spec) in pools.iter().enumerate() {
        let (before, after) = (&pools[..index], &pools[index + 1..]);
        let fault = |path: &str, value: &str, rule: &str| {
            locate::fault_in("pool", report, file, index, path, value, rule);
        };
        if before.iter().any(|pool| pool.name == spec.name) {
            let value = format!("\"{}\"", spec.name);
            fault("name", &value, "must be unique: another pool has this name");
        }
        let between = validate::against(spec, before.iter().chain(after), groups);
        for found in validate::pool(spec).iter().chain(&between) {
            fault(&found.path, &found.value, &found.rule);
        }
    }
    Some(pools)
}

fn pool(t: &mut Table<'_>, known: Known<'_>) -> Option<PoolSpec> {
    let name = t.required("name");
    let policy = t.table("policy", policy).unwrap_or_default();
    let members = t.each("member", member);
    let names: Vec<ApplianceName> = members.iter().flatten().map(|m| m.name.clone()).collect();
    let (ingress, egress) =
        (t.table("ingress", |side| way(side, known)), t.table("egress", |side| way(side, known)));
    // A side that cannot be read is replaced by one that breaks no rule: its own faults refuse the
    // file, and the rest of the pool is checked as well.
    let adapter = ingress.iter().chain(&egress).flatten().map(|way| way.adapter().clone()).next();
    let at = t.offset();
    let readable = |read: Option<Option<Way>>, key: &str| {
        read.and_then(|way| way.or_else(|| unreadable(at, key, &names, adapter.clone())))
    };
    let (ingress, egress) = (readable(ingress, "ingress"), readable(egress, "egress"));
    Some(PoolSpec { name: name?, members: members?, ingress, egress, policy })
}

fn policy(t: &mut Table<'_>) -> PoolPolicy {
    let default = PoolPolicy::default();
    PoolPolicy {
        take_out: t.or("take_out", default.take_out),
        put_in: t.or("put_in", default.put_in),
        min_in: t.or("min_in", default.min_in),
        max_out: t.optional("max_out"),
        take_out_wait: t.or("take_out_wait", default.take_out_wait),
        return_after: t.or("return_after", default.return_after),
        flap_moves: t.or("flap_moves", default.flap_moves),
        flap_window: t.or("flap_window", default.flap_window),
        freshness: t.or("freshness", default.freshness),
    }
}

fn member(t: &mut Table<'_>) -> Option<MemberSpec> {
    let (name, address) = (t.required("name"), t.required::<IpAddr>("address"));
    let probes = t.each("probe", |p| probe::of_appliance(p, address));
    Some(MemberSpec { name: name?, address: address?, probes: probes? })
}

fn way(t: &mut Table<'_>, known: Known<'_>) -> Option<Way> {
    let adapter = adapter(t, known.adapters).filter(|name| fills(t, name, known));
    let backend_pool = t.required("backend_pool");
    if !t.has("targets") {
        t.missing("targets", "must be a table with one entry per member");
    }
    let targets = t.per_appliance("targets");
    Some(Way::BackendPool { adapter: adapter?, backend_pool: backend_pool?, targets: targets? })
}

fn fills(t: &Table<'_>, name: &AdapterName, known: Known<'_>) -> bool {
    let (Some(all), Some(able)) = (known.adapters, known.balancers) else { return true };
    if all.contains(name) && !able.contains(name) {
        let rule = format!("must be an [[adapter]] that fills backend pools: {}", listed(able));
        t.fault("adapter", &format!("\"{name}\""), &rule);
        return false;
    }
    true
}

fn unreadable(at: usize, key: &str, members: &[ApplianceName], adapter: Option<AdapterName>) -> Option<Way> {
    let adapter = adapter.or_else(|| AdapterName::new("unreadable").ok())?;
    let targets = members.iter().map(|name| (name.clone(), name.to_string())).collect();
    let backend_pool = format!("unreadable-{key}-{at}");
    Some(Way::BackendPool { adapter, backend_pool, targets })
}
