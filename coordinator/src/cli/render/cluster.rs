//! The cluster.

use coordinator_api::v1::{ClusterStatus, GroupSummary, NodeRole, NodeStatus};
use coordinator_core::model::Trigger;

use super::paint::Paint;
use super::span::span;
use super::table::Table;

/// `pointsman status`.
pub(in crate::cli) fn cluster(status: &ClusterStatus, paint: Paint) -> String {
    let leader = match status.leader {
        Some(leader) => format!("leader {}", paint.strong(leader)),
        None => paint.bad("NO LEADER"),
    };
    let quorum = if status.quorum_ok { paint.good("quorum ok") } else { paint.bad("NO QUORUM") };
    let mut text = format!(
        "{} {}   {leader}   term {}   {quorum}\n",
        paint.faint("CLUSTER"),
        status.cluster_id,
        status.term
    );
    if status.leader != Some(status.node) {
        let by = format!("as coordinator {} sees it; it may be out of date\n", status.node);
        text.push_str(&paint.warn(by));
    }
    text.push('\n');
    text.push_str(&nodes(status, paint));
    text.push('\n');
    text.push_str(&groups(&status.groups, paint));
    text
}

fn nodes(status: &ClusterStatus, paint: Paint) -> String {
    let mut table = Table::new(&["NODE", "ROLE", "ADDRESS", "BEHIND", "SEES"], paint);
    for node in &status.nodes {
        table.row([
            node.id.to_string(),
            role(node, paint),
            node.cluster_address.clone(),
            node.lag.map_or_else(dash, |lag| if lag == 0 { "0".to_owned() } else { paint.warn(lag) }),
            node.vantage_age_ms.map_or_else(|| paint.warn("nothing yet"), |age| format!("{} ago", span(age))),
        ]);
    }
    table.render()
}

fn role(node: &NodeStatus, paint: Paint) -> String {
    match node.role {
        NodeRole::Leader => paint.strong(node.role.word()),
        NodeRole::Stopped | NodeRole::Candidate => paint.bad(node.role.word()),
        NodeRole::Follower | NodeRole::Learner => node.role.word().to_owned(),
    }
}

fn groups(groups: &[GroupSummary], paint: Paint) -> String {
    if groups.is_empty() {
        return "no groups yet; `pointsman apply -f FILE` declares them\n".to_owned();
    }
    let mut table = Table::new(&["GROUP", "ACTIVE", "TOKEN", "MODE", "UP", "STATE"], paint);
    for group in groups {
        let up = format!("{}/{}", group.up, group.appliances);
        table.row([
            paint.strong(&group.name),
            group.active.as_ref().map_or_else(|| paint.warn("none"), ToString::to_string),
            group.token.to_string(),
            mode(group.mode).to_owned(),
            if group.up == group.appliances { paint.good(up) } else { paint.warn(up) },
            state(group, paint),
        ]);
    }
    table.render()
}

/// Whether all is well with a group, and what is not.
pub(super) fn state(group: &GroupSummary, paint: Paint) -> String {
    let mut parts = Vec::new();
    parts.extend(group.operation.map(|id| paint.warn(format!("moving (operation {id})"))));
    parts.extend(group.frozen.as_ref().map(|why| paint.bad(format!("frozen: {why}"))));
    parts.extend(group.hold.as_ref().map(|why| paint.bad(format!("held: {why}"))));
    if group.drifting > 0 {
        parts.push(paint.bad(format!("{} drifting", group.drifting)));
    }
    if parts.is_empty() { paint.good("ok") } else { parts.join("; ") }
}

pub(super) fn mode(mode: Trigger) -> &'static str {
    match mode {
        Trigger::Automatic => "automatic",
        Trigger::Manual => "manual",
    }
}

/// For what is not known or does not apply.
pub(super) fn dash() -> String {
    "-".to_owned()
}
