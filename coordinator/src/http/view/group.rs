//! Groups, appliances and bindings.

use coordinator_api::agent::PeerPath;
use coordinator_api::v1::{
    AgentStatus, ApplianceRole, ApplianceStatus, BindingStatus, FencingStatus, GroupStatus, GroupSummary,
    HeartbeatStatus, NoticeStatus, PathStatus, UnheardStatus, VantageSight,
};
use coordinator_core::ids::{ApplianceName, BindingName, NodeId};
use coordinator_core::model::{ApplianceSpec, BindingKind, BindingSpec, Fencing};
use coordinator_core::notice::{Notice, NoticeSource};
use coordinator_core::observe::{VantageReport, Verdict};
use coordinator_core::state::{Group, HeartbeatPath, State};
use coordinator_core::time::WallTime;

use super::cluster::{at, millis};
use super::operation::operation_view;
use crate::control_loop::{AgentSeen, Overview};

/// One line on a group.
pub(in crate::http) fn group_summary(group: &Group) -> GroupSummary {
    let up = group.appliances.values().filter(|a| a.verdict == Verdict::Up).count();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    GroupSummary {
        name: group.spec.name.clone(),
        active: group.active.clone(),
        token: group.token,
        mode: group.mode,
        frozen: group.frozen.as_ref().map(ToString::to_string),
        hold: group.hold.as_ref().map(ToString::to_string),
        operation: group.operation.as_ref().map(|operation| operation.id),
        up: count(up),
        appliances: count(group.spec.appliances.len()),
        drifting: count(group.drift.len()),
    }
}

/// Everything about a group.
pub(in crate::http) fn group_status(
    state: &State,
    group: &Group,
    overview: &Overview,
    now: WallTime,
) -> GroupStatus {
    let why = overview.reasons.get(&group.spec.name);
    GroupStatus {
        summary: group_summary(group),
        revision: group.revision,
        why: why.into_iter().flatten().map(ToString::to_string).collect(),
        moved_at: group.moved_at.map(at),
        members: group.spec.appliances.iter().map(|a| appliance(state, group, overview, a)).collect(),
        bindings: group.spec.bindings.iter().map(|b| binding(group, b)).collect(),
        path: path(group, overview),
        running: group.operation.as_ref().map(|operation| operation_view(group, operation, now)),
        spec: group.spec.clone(),
    }
}

fn appliance(state: &State, group: &Group, overview: &Overview, spec: &ApplianceSpec) -> ApplianceStatus {
    let known = group.appliances.get(&spec.name);
    ApplianceStatus {
        name: spec.name.clone(),
        address: spec.address,
        role: role(group, &spec.name),
        verdict: group.verdict(&spec.name),
        since: at(known.map_or(state.time, |appliance| appliance.since)),
        maintenance: known.and_then(|appliance| appliance.maintenance.clone()),
        vantages: vantages(overview, &spec.name),
        agent: overview.agents.get(&spec.name).map(|seen| agent(overview, seen)),
        relies: group.relies.contains(&spec.name),
        fencing: fencing(group, spec),
        heartbeats: heartbeats(group, overview, &spec.name),
        notices: notices(group, &spec.name),
        notices_unknown: unheard(group, &spec.name),
    }
}

fn fencing(group: &Group, spec: &ApplianceSpec) -> Option<FencingStatus> {
    let fence = group.fencing.get(&spec.name)?;
    let require = group.spec.policy.fencing == Fencing::Require;
    Some(FencingStatus {
        how: spec.fence.as_ref()?.to_string(),
        since: at(fence.since),
        attempts: fence.attempts,
        error: fence.error.clone(),
        holds: require || fence.attempts == 0,
    })
}

fn role(group: &Group, name: &ApplianceName) -> ApplianceRole {
    if group.active.as_ref() == Some(name) {
        // An operation that runs is towards the active: it got the role when it started.
        return if group.operation.is_some() { ApplianceRole::Activating } else { ApplianceRole::Active };
    }
    if group.unreleased.contains_key(name) || group.fencing.contains_key(name) {
        return ApplianceRole::Releasing;
    }
    if group.in_maintenance(name) { ApplianceRole::Maintenance } else { ApplianceRole::Standby }
}

pub(super) fn vantages(overview: &Overview, name: &ApplianceName) -> Vec<VantageSight> {
    let reports = overview.observations.reports.iter();
    reports
        .filter_map(|(node, report)| {
            let sight = report.sight(name)?;
            Some(VantageSight {
                node: *node,
                verdict: sight.verdict,
                detail: sight.detail.clone(),
                age_ms: millis(overview.now.since(report.about)),
            })
        })
        .collect()
}

/// One entry per declared address of each peer.
fn heartbeats(group: &Group, overview: &Overview, from: &ApplianceName) -> Vec<HeartbeatStatus> {
    let report = overview.agents.get(from).map(|seen| &seen.report);
    let peers = group.spec.appliances.iter().filter(|peer| peer.name != *from);
    let ways = peers.flat_map(|peer| (0u8..).zip(&peer.peer).map(|(path, _)| (peer.name.clone(), path)));
    ways.map(|(to, path)| {
        let said = |p: &&PeerPath| p.appliance == to && p.path == path;
        let said = report.and_then(|report| report.peers.iter().find(said));
        let way = HeartbeatPath { from: from.clone(), to: to.clone(), path };
        HeartbeatStatus {
            up: said.map(|said| said.up),
            rtt_us: said.and_then(|said| said.rtt_us),
            down_since: group.heartbeats_down.get(&way).copied().map(at),
            to,
            path,
        }
    })
    .collect()
}

fn notices(group: &Group, name: &ApplianceName) -> Vec<NoticeStatus> {
    let status = |(source, notice): (NoticeSource, &Notice)| NoticeStatus {
        source,
        id: notice.id.clone(),
        kind: notice.kind,
        not_before: notice.not_before.map(at),
        started: notice.started,
        lasts_secs: notice.lasts_secs,
        about: notice.about.clone(),
        drains: group.spec.policy.drain.contains(&notice.kind),
    };
    group.notices(name).map(status).collect()
}

fn unheard(group: &Group, name: &ApplianceName) -> Vec<UnheardStatus> {
    let sources = group.appliances.get(name).into_iter().flat_map(|known| &known.announced);
    sources
        .filter_map(|(source, announced)| {
            Some(UnheardStatus { source: *source, why: announced.unknown.clone()? })
        })
        .collect()
}

fn path(group: &Group, overview: &Overview) -> Option<PathStatus> {
    if group.spec.path_probes.is_empty() {
        return None;
    }
    let sight = |(node, report): (&NodeId, &VantageReport)| {
        let sight = report.path(&group.spec.name).filter(|sight| sight.token == group.token)?;
        Some(VantageSight {
            node: *node,
            verdict: sight.verdict,
            detail: sight.detail.clone(),
            age_ms: millis(overview.now.since(report.about)),
        })
    };
    Some(PathStatus {
        verdict: group.path.verdict,
        since: at(group.path.since),
        down_before_move: group.path.down_before_move,
        vantages: overview.observations.reports.iter().filter_map(sight).collect(),
    })
}

pub(super) fn agent(overview: &Overview, seen: &AgentSeen) -> AgentStatus {
    AgentStatus {
        version: seen.report.version.clone(),
        highest: seen.report.highest,
        holding: seen.report.holding,
        vips_up: seen.report.vips_up,
        faults: seen.report.faults.clone(),
        via: seen.report.via.clone(),
        age_ms: millis(overview.now.since(seen.received)),
    }
}

fn binding(group: &Group, spec: &BindingSpec) -> BindingStatus {
    BindingStatus {
        name: spec.name.clone(),
        kind: spec.kind.word().to_owned(),
        what: what(&spec.kind),
        points_at: points_at(group, &spec.name),
        drift: group.drift.get(&spec.name).map(|drift| drift.summary.clone()),
        differences: group.drift.get(&spec.name).map(|drift| drift.differences.clone()).unwrap_or_default(),
    }
}

fn what(kind: &BindingKind) -> String {
    match kind {
        BindingKind::Vip { address, prefix_len, .. } => format!("{address}/{prefix_len}"),
        BindingKind::PublicIp { resource, .. } => resource.clone(),
        BindingKind::Route { table, route, .. } => format!("{table}/{route}"),
        BindingKind::ProbeGate(gate) => gate.to_string(),
    }
}

/// Where the log has the binding: at the earlier active until its step is done.
fn points_at(group: &Group, name: &BindingName) -> Option<ApplianceName> {
    let Some(operation) = &group.operation else { return group.active.clone() };
    let done = operation.steps.iter().any(|step| step.binding == *name && step.done.is_some());
    if done { Some(operation.to.clone()) } else { operation.from.clone() }
}
