//! A group as the log, the vantages and the agents have it. Pure: everything is kept fresh all the
//! time, so nothing has to be asked.

use std::time::Duration;

use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::{ApplianceName, NodeId};
use coordinator_core::model::{ApplianceSpec, ProbeKind, Trigger};
use coordinator_core::observe::{VantageReport, Verdict};
use coordinator_core::state::Group;

use crate::control_loop::{AgentSeen, Overview};
use crate::http::GroupLimits;

/// An agent that has not reported for so long is not connected: several of the longest intervals
/// that make sense.
const SILENT: Duration = Duration::from_secs(5);

/// All checks of one group.
pub(super) fn look(group: &Group, overview: &Overview, limits: &GroupLimits) -> Vec<CheckItem> {
    let mut items = vec![state(group)];
    items.extend(group.spec.appliances.iter().map(|spec| appliance(group, overview, spec)));
    items.push(standby(group));
    if group.spec.needs_lease() {
        items.push(lease(group, limits));
    }
    items.extend(agents(group, overview));
    items.extend(heartbeats(group));
    items.extend(path(group));
    items.extend(drift(group));
    items.into_iter().map(|item| item.of(&group.spec.name)).collect()
}

fn state(group: &Group) -> CheckItem {
    let what = format!("group {}", group.spec.name);
    if let Some(reason) = &group.frozen {
        let advice = "find out why it moved so often, then `pointsman unfreeze`";
        return CheckItem::fail(Check::GroupState, what, format!("it is frozen: {reason}"), advice);
    }
    if let Some(operation) = &group.operation {
        let found = format!("operation {} to {} is running", operation.id, operation.to);
        let advice = "run this again when it has ended";
        return CheckItem::warn(Check::GroupState, what, found, advice);
    }
    if let Some(reason) = &group.hold {
        let advice = "repair what holds it";
        return CheckItem::fail(
            Check::GroupState,
            what,
            format!("it ought to move, and is held: {reason}"),
            advice,
        );
    }
    let Some(active) = &group.active else {
        let advice = "`pointsman status` says what it waits for";
        return CheckItem::fail(Check::GroupState, what, "no appliance is active", advice);
    };
    if group.mode == Trigger::Manual || group.spec.policy.failover == Trigger::Manual {
        let advice = "`pointsman mode GROUP automatic`, or policy.failover, if it is to fail over by itself";
        return CheckItem::warn(Check::GroupState, what, "only an operator moves it", advice);
    }
    CheckItem::pass(Check::GroupState, what, format!("{active} is active, and it moves by itself"))
}

/// Whether every coordinator sees it up.
fn appliance(group: &Group, overview: &Overview, spec: &ApplianceSpec) -> CheckItem {
    let what = spec.name.as_str();
    if group.in_maintenance(&spec.name) {
        let advice = "`pointsman maintenance … off` when it may take over again";
        return CheckItem::warn(Check::Appliance, what, "it is in maintenance", advice);
    }
    let freshness = group.spec.policy.freshness;
    let vantages = &overview.observations.vantages;
    let doubts: Vec<String> = vantages
        .iter()
        .filter_map(|node| {
            let report = overview.observations.reports.get(node);
            doubt(*node, report.filter(|report| overview.now.since(report.about) <= freshness), &spec.name)
        })
        .collect();
    let found = || doubts.join("; ");
    match group.verdict(&spec.name) {
        Verdict::Up if doubts.is_empty() => CheckItem::pass(
            Check::Appliance,
            what,
            format!("it is up for all {} coordinators", vantages.len()),
        ),
        Verdict::Up => {
            let advice = "open the way from that coordinator to it: a majority has to see it";
            CheckItem::warn(Check::Appliance, what, found(), advice)
        }
        Verdict::Down => {
            let advice = "repair it; `pointsman status GROUP` shows what each coordinator sees";
            CheckItem::fail(Check::Appliance, what, format!("it is down: {}", found()), advice)
        }
        Verdict::Unknown => {
            let advice = "see that a majority of coordinators reaches it, and that its probes answer";
            CheckItem::fail(Check::Appliance, what, format!("nothing certain is known: {}", found()), advice)
        }
    }
}

/// Why a coordinator does not see an appliance up.
fn doubt(node: NodeId, report: Option<&VantageReport>, appliance: &ApplianceName) -> Option<String> {
    let Some(sight) = report.and_then(|report| report.sight(appliance)) else {
        return Some(format!("coordinator {node} has said nothing of it lately"));
    };
    let said = || format!("for coordinator {node} it is {}: {}", sight.verdict, sight.detail);
    (sight.verdict != Verdict::Up).then(said)
}

fn standby(group: &Group) -> CheckItem {
    let what = format!("group {}", group.spec.name);
    let fit = |name: &&ApplianceName| group.verdict(name) == Verdict::Up && !group.in_maintenance(name);
    match group.standbys().find(fit) {
        Some(standby) => CheckItem::pass(Check::Standby, what, format!("{standby} can take over")),
        None => {
            let advice = "bring one up, or out of maintenance: until then a failover finds nobody";
            CheckItem::fail(Check::Standby, what, "no standby can take over", advice)
        }
    }
}

fn lease(group: &Group, limits: &GroupLimits) -> CheckItem {
    let what = format!("group {}", group.spec.name);
    let (lease, safe) = (group.spec.lease.ttl.as_millis(), limits.shortest_lease.as_millis());
    if limits.too_short(&group.spec) {
        let found = format!("a lease of {lease} ms does not outlast a change of leader; {safe} ms would");
        let advice = "accept the moment's outage, or make the lease longer";
        return CheckItem::warn(Check::Lease, what, found, advice);
    }
    CheckItem::pass(Check::Lease, what, format!("a lease of {lease} ms outlasts a change of leader"))
}

/// The agents of a group that needs a lease, or whose probes listen for them.
fn agents(group: &Group, overview: &Overview) -> Vec<CheckItem> {
    let listens =
        |spec: &ApplianceSpec| spec.probes.iter().any(|probe| probe.kind == ProbeKind::AgentHeartbeat);
    let needed = group.spec.appliances.iter().filter(|spec| group.spec.needs_lease() || listens(spec));
    needed.map(|spec| agent(&spec.name, overview.agents.get(&spec.name), overview)).collect()
}

fn agent(name: &ApplianceName, seen: Option<&AgentSeen>, overview: &Overview) -> CheckItem {
    let what = format!("agent of {name}");
    let age = seen.map(|seen| overview.now.since(seen.received));
    match (seen, age) {
        (Some(seen), Some(age)) if age <= SILENT => {
            let report = &seen.report;
            if let Some(fault) = report.faults.first() {
                let advice = "repair it: an appliance with a fault takes nothing over";
                return CheckItem::fail(Check::Agent, what, fault.clone(), advice);
            }
            if let Some(peer) = &report.via {
                let found = format!("its own way to the leader fails; it reports through {peer}");
                return CheckItem::warn(Check::Agent, what, found, "repair its management link");
            }
            CheckItem::pass(
                Check::Agent,
                what,
                format!("it reports to the leader, version {}", report.version),
            )
        }
        (_, age) => {
            let found = age.map_or_else(
                || "it has never reported to the leader".to_owned(),
                |age| format!("it has not reported to the leader for {} s", age.as_secs()),
            );
            let advice = "start nva-agent there, and open its way to every coordinator";
            CheckItem::fail(Check::Agent, what, found, advice)
        }
    }
}

fn heartbeats(group: &Group) -> Vec<CheckItem> {
    let ways: usize = group.spec.appliances.iter().map(|spec| spec.peer.len()).sum();
    let down = group.heartbeats_down.keys().map(|way| {
        let network = if way.path == 0 { "management network" } else { "direct link" };
        let what = format!("{} to {} on the {network}", way.from, way.to);
        let found = "the peer does not answer on it";
        CheckItem::warn(Check::HeartbeatWay, what, found, "repair the link")
    });
    let down: Vec<CheckItem> = down.collect();
    if down.is_empty() && ways > 0 {
        return vec![CheckItem::pass(Check::HeartbeatWay, "ways between agents", "none is known to be down")];
    }
    down
}

fn path(group: &Group) -> Option<CheckItem> {
    if group.spec.path_probes.is_empty() {
        return None;
    }
    let what = "path through the active appliance";
    let advice = "see what lies behind it: traffic may not pass";
    Some(match group.path.verdict {
        Verdict::Up => CheckItem::pass(Check::Path, what, "traffic passes"),
        Verdict::Down => CheckItem::fail(Check::Path, what, "no traffic was seen to pass", advice),
        Verdict::Unknown => {
            CheckItem::warn(Check::Path, what, "it is not known yet whether traffic passes", advice)
        }
    })
}

fn drift(group: &Group) -> Vec<CheckItem> {
    let drifting = group.drift.iter().map(|(binding, drift)| {
        let advice = "see who changed it; a move sets it right";
        CheckItem::fail(Check::Drift, binding.as_str(), drift.to_string(), advice)
    });
    let drifting: Vec<CheckItem> = drifting.collect();
    let cloud = group.spec.bindings.iter().any(|binding| !binding.kind.needs_lease());
    if drifting.is_empty() && cloud {
        return vec![CheckItem::pass(Check::Drift, "bindings", "the cloud has them where the log has them")];
    }
    drifting
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
