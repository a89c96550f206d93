//! Groups: `[[group]]` in a coordinator's file, or in a file of their own for `pointsman apply`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use coordinator_core::ids::{AdapterName, ApplianceName, BindingName, HookName};
use coordinator_core::model::{
    ApplianceSpec, BindingKind, BindingSpec, FenceSpec, GroupSpec, LeaseSpec, Policy,
};
use coordinator_core::pool::PoolSpec;
use coordinator_core::validate;
use ipnet::IpNet;

use crate::decode::{Report, Table, Value};
use crate::fault::ConfigFaults;
use crate::pools;

mod fence;
mod gate;
pub(crate) mod locate;
pub(crate) mod probe;

pub(crate) use fence::listed;

/// What the rest of a coordinator's file says, for a group's names to be checked against. `None` in
/// a file that holds groups alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    pub(crate) adapters: Option<&'a BTreeSet<AdapterName>>,
    /// Those that can power machines off.
    pub(crate) power: Option<&'a BTreeSet<AdapterName>>,
    pub(crate) hooks: Option<&'a BTreeSet<HookName>>,
    /// Adapters that fill backend pools of load balancers.
    pub(crate) balancers: Option<&'a BTreeSet<AdapterName>>,
}

/// What a file for `pointsman apply` declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declarations {
    /// In the order of the file.
    pub groups: Vec<GroupSpec>,
    /// In the order of the file.
    pub pools: Vec<PoolSpec>,
}

/// Reads and checks a file that holds groups and pools and nothing else. Adapters are the
/// coordinator's business, so names of adapters are not checked here.
///
/// # Errors
/// [`ConfigFaults`] with everything that is wrong.
pub fn load(path: &Path) -> Result<Declarations, ConfigFaults> {
    let report = Report::open(path)?;
    from_report(&report)
}

/// Like [`load`], from text; `name` stands for the file in faults.
///
/// # Errors
/// [`ConfigFaults`] with everything that is wrong.
pub fn parse(name: &Path, text: &str) -> Result<Declarations, ConfigFaults> {
    from_report(&Report::of(name, text.to_owned()))
}

pub(crate) fn from_report(report: &Report) -> Result<Declarations, ConfigFaults> {
    let document = report.document()?;
    let declared = Table::read_file(report, &document, |file| {
        let groups = read(report, file, Known::default());
        let pools = pools::read(report, file, Known::default(), groups.as_deref().unwrap_or_default());
        let declared = Declarations { groups: groups?, pools: pools? };
        if declared.groups.is_empty() && declared.pools.is_empty() {
            let rule = "must list one group or more, each as [[group]], or there must be a [[pool]]";
            file.missing("group", rule);
        }
        Some(declared)
    });
    report.finish(declared)
}

/// The groups of a file, with every fault of each and between them reported. Names of adapters
/// and hooks are checked when they are known.
pub(crate) fn read(report: &Report, file: &mut Table<'_>, known: Known<'_>) -> Option<Vec<GroupSpec>> {
    let groups = file.each("group", |t| group(t, known))?;
    for (index, spec) in groups.iter().enumerate() {
        let (before, after) = (&groups[..index], &groups[index + 1..]);
        if before.iter().any(|g| g.name == spec.name) {
            let value = format!("\"{}\"", spec.name);
            locate::fault(report, file, index, "name", &value, "must be unique: another group has this name");
        }
        let between = validate::against(spec, before.iter().chain(after));
        for fault in validate::group(spec).iter().chain(&between) {
            locate::fault(report, file, index, &fault.path, &fault.value, &fault.rule);
        }
    }
    Some(groups)
}

/// A probe or a binding that cannot be read is replaced by one that breaks no rule. Its own faults
/// refuse the file whatever follows; with it in place, the rest of the group is checked as well,
/// and indexes still count what stands in the file.
fn group(t: &mut Table<'_>, known: Known<'_>) -> Option<GroupSpec> {
    let name = t.required("name");
    let policy = t.table("policy", policy).unwrap_or_default();
    let lease = t.table("lease", lease).unwrap_or_default();
    let appliances = t.each("appliance", |a| appliance(a, known));
    let names: Option<Vec<_>> = appliances.as_ref().map(|all| all.iter().map(|a| a.name.clone()).collect());
    let bindings = t.each("binding", |b| {
        let read = binding(b, names.as_deref(), known.adapters);
        read.or_else(|| unreadable_binding(b, names.as_deref()?))
    });
    let path_probes = t.each("path_probe", probe::through);
    Some(GroupSpec {
        name: name?,
        appliances: appliances?,
        bindings: bindings?,
        policy,
        lease,
        path_probes: path_probes?,
    })
}

fn policy(t: &mut Table<'_>) -> Policy {
    let default = Policy::default();
    Policy {
        failover: t.or("failover", default.failover),
        failover_wait: t.or("failover_wait", default.failover_wait),
        failback: t.or("failback", default.failback),
        stabilisation: t.or("stabilisation", default.stabilisation),
        flap_moves: t.or("flap_moves", default.flap_moves),
        flap_window: t.or("flap_window", default.flap_window),
        operation_timeout: t.or("operation_timeout", default.operation_timeout),
        freshness: t.or("freshness", default.freshness),
        quorum_loss: t.or("quorum_loss", default.quorum_loss),
        fencing: t.or("fencing", default.fencing),
        path_decides: t.or("path_decides", default.path_decides),
        drain: t.or("drain", default.drain),
        drain_ahead: t.or("drain_ahead", default.drain_ahead),
    }
}

fn lease(t: &mut Table<'_>) -> LeaseSpec {
    let default = LeaseSpec::default();
    // A faulty one counts as the longest, which is too short for nothing.
    let ttl = t.defaulted("ttl", default.ttl).unwrap_or(validate::LEASE_TTL.1);
    let key = "accept_outage_on_leader_change";
    LeaseSpec {
        ttl,
        drift_ppm: t.or("drift_ppm", default.drift_ppm),
        accept_outage_on_leader_change: t.or(key, default.accept_outage_on_leader_change),
    }
}

fn appliance(t: &mut Table<'_>, known: Known<'_>) -> Option<ApplianceSpec> {
    let (name, address) = (t.required("name"), t.required("address"));
    let probes = t.each("probe", |p| probe::of_appliance(p, address));
    // One that cannot be read is there all the same: its own faults refuse the file.
    let readable = || address.map(|own| SocketAddr::new(own, 1)).into_iter().collect();
    let peer = t.defaulted("peer", Vec::new()).unwrap_or_else(readable);
    let declared = t.table("fence", |f| fence::fence(f, known));
    let fence = declared.map(|read| read.or_else(|| unreadable_fence(t))).unwrap_or_default();
    Some(ApplianceSpec { name: name?, address: address?, probes: probes?, peer, fence })
}

fn unreadable_fence(t: &Table<'_>) -> Option<FenceSpec> {
    HookName::new(format!("unreadable-{}", t.offset())).ok().map(|name| FenceSpec::Hook { name })
}

fn binding(
    t: &mut Table<'_>,
    appliances: Option<&[ApplianceName]>,
    adapters: Option<&BTreeSet<AdapterName>>,
) -> Option<BindingSpec> {
    let name = t.required("name");
    let kind = match t.required::<String>("kind").as_deref() {
        Some("vip") => vip(t, appliances),
        Some("public-ip") => {
            let (adapter, resource) = (adapter(t, adapters), t.required("resource"));
            let targets = targets(t);
            (|| Some(BindingKind::PublicIp { adapter: adapter?, resource: resource?, targets: targets? }))()
        }
        Some("route") => {
            let (adapter, table, route) = (adapter(t, adapters), t.required("table"), t.required("route"));
            let targets = targets(t);
            (|| {
                Some(BindingKind::Route {
                    adapter: adapter?,
                    table: table?,
                    route: route?,
                    targets: targets?,
                })
            })()
        }
        Some("probe-gate") => gate::gate(t),
        Some(other) => {
            t.fault(
                "kind",
                &format!("{other:?}"),
                "must be \"vip\", \"probe-gate\", \"public-ip\" or \"route\"",
            );
            t.allow_all();
            None
        }
        None => {
            t.allow_all();
            None
        }
    };
    Some(BindingSpec { name: name?, kind: kind? })
}

fn unreadable_binding(t: &mut Table<'_>, appliances: &[ApplianceName]) -> Option<BindingSpec> {
    let unique = format!("unreadable-{}", t.offset());
    let targets = appliances.iter().map(|a| (a.clone(), a.to_string())).collect();
    let adapter = AdapterName::new("unreadable").ok()?;
    Some(BindingSpec {
        name: t.optional("name").or(BindingName::new(unique.clone()).ok())?,
        kind: BindingKind::PublicIp { adapter, resource: unique, targets },
    })
}

pub(crate) fn adapter(t: &mut Table<'_>, known: Option<&BTreeSet<AdapterName>>) -> Option<AdapterName> {
    let adapter = t.required::<AdapterName>("adapter")?;
    if let Some(known) = known.filter(|known| !known.contains(&adapter)) {
        let known: Vec<_> = known.iter().map(AdapterName::as_str).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        let rule = format!("must be the name of an [[adapter]]: {known}");
        t.fault("adapter", &format!("\"{adapter}\""), &rule);
    }
    Some(adapter)
}

fn targets<T: Value>(t: &mut Table<'_>) -> Option<BTreeMap<ApplianceName, T>> {
    if !t.has("targets") {
        t.missing("targets", "must be a table with one entry per appliance");
    }
    t.per_appliance("targets")
}

/// `interface = "eth0"` for all appliances, or `interfaces` with one per appliance.
fn vip(t: &mut Table<'_>, appliances: Option<&[ApplianceName]>) -> Option<BindingKind> {
    let address = t.required::<IpNet>("address");
    let interfaces = match (t.has("interface"), t.has("interfaces")) {
        (true, false) => {
            let interface = t.required::<String>("interface");
            interface.zip(appliances).map(|(i, all)| all.iter().map(|a| (a.clone(), i.clone())).collect())
        }
        (false, true) => t.per_appliance("interfaces"),
        (true, true) => {
            t.complain("interface", "stands beside interfaces; keep one of the two");
            None
        }
        (false, false) => {
            t.missing(
                "interface",
                "must be the network interface on every appliance, or interfaces must name one for each",
            );
            None
        }
    };
    let address = address?;
    Some(BindingKind::Vip {
        address: address.addr(),
        prefix_len: address.prefix_len(),
        interfaces: interfaces?,
    })
}
