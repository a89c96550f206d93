//! One group.

use std::fmt::Display;

use coordinator_api::difference::Difference;
use coordinator_api::v1::{
    AgentStatus, ApplianceRole, ApplianceStatus, BindingStatus, FencingStatus, GroupStatus, NoticeStatus,
};
use coordinator_core::observe::Verdict;

use super::cluster::{dash, mode, state};
use super::operation::progress;
use super::paint::Paint;
use super::paths::paths;
use super::span::{moment, span};
use super::table::Table;

/// `pointsman status GROUP`.
pub(in crate::cli) fn group(status: &GroupStatus, paint: Paint) -> String {
    let summary = &status.summary;
    let active = summary.active.as_ref().map_or_else(|| paint.warn("none"), |name| paint.strong(name));
    let mut text = format!(
        "{} {}   active {active}   token {}   {}   {}\n",
        paint.faint("GROUP"),
        paint.strong(&summary.name),
        summary.token,
        mode(summary.mode),
        state(summary, paint),
    );
    for why in &status.why {
        text.push_str(&format!("  {why}\n"));
    }
    if let Some(moved) = status.moved_at {
        text.push_str(&paint.faint(format!("  last move ended {}\n", moment(moved))));
    }
    text.push('\n');
    text.push_str(&appliances(&status.members, paint));
    let doubts = doubts(&status.members, paint);
    if !doubts.is_empty() {
        text.push('\n');
        text.push_str(&doubts);
    }
    text.push('\n');
    text.push_str(&bindings(&status.bindings, paint));
    let paths = paths(status, paint);
    if !paths.is_empty() {
        text.push('\n');
        text.push_str(&paths);
    }
    if let Some(running) = &status.running {
        text.push('\n');
        text.push_str(&progress(running, paint));
    }
    text
}

fn appliances(members: &[ApplianceStatus], paint: Paint) -> String {
    let mut table = Table::new(&["APPLIANCE", "ROLE", "VERDICT", "SINCE", "VANTAGES", "AGENT"], paint);
    for member in members {
        table.row([
            member.name.to_string(),
            role(member, paint),
            paint.verdict(member.verdict),
            moment(member.since),
            vantages(member),
            member.agent.as_ref().map_or_else(dash, |agent| agent_words(agent, paint)),
        ]);
    }
    table.render()
}

fn role(member: &ApplianceStatus, paint: Paint) -> String {
    let word = member.role.word();
    match member.role {
        ApplianceRole::Active => paint.strong(word),
        ApplianceRole::Standby => word.to_owned(),
        ApplianceRole::Activating | ApplianceRole::Releasing | ApplianceRole::Maintenance => paint.warn(word),
    }
}

fn vantages(member: &ApplianceStatus) -> String {
    let up = member.vantages.iter().filter(|sight| sight.verdict == Verdict::Up).count();
    format!("{up} of {} say up", member.vantages.len())
}

fn agent_words(agent: &AgentStatus, paint: Paint) -> String {
    let lease = match agent.holding {
        Some(token) if agent.vips_up => format!("holds token {token}"),
        Some(token) => paint.warn(format!("has token {token}, not up")),
        None => "holds nothing".to_owned(),
    };
    let faults: String = agent.faults.iter().map(|fault| format!(", {}", paint.bad(fault))).collect();
    let via = agent.via.as_ref().map(|peer| format!(", {}", paint.warn(format!("relayed by {peer}"))));
    format!("{lease}{faults}{} ({} ago)", via.unwrap_or_default(), span(agent.age_ms))
}

/// Every sight that is not up, and the maintenances: what a person looks for first.
fn doubts(members: &[ApplianceStatus], paint: Paint) -> String {
    let mut text = String::new();
    for member in members {
        if let Some(reason) = &member.maintenance {
            text.push_str(&format!("{} is in maintenance: {reason}\n", member.name));
        }
        for notice in &member.notices {
            text.push_str(&notice_words(member, notice, paint));
        }
        for unheard in &member.notices_unknown {
            let (name, source, why) = (&member.name, unheard.source, &unheard.why);
            text.push_str(&format!("what {source} announces for {name} is not known: {why}\n"));
        }
        if let Some(fencing) = &member.fencing {
            text.push_str(&fencing_words(member, fencing, paint));
        }
        for sight in member.vantages.iter().filter(|sight| sight.verdict != Verdict::Up) {
            let verdict = paint.verdict(sight.verdict);
            let (name, node, age) = (&member.name, sight.node, span(sight.age_ms));
            text.push_str(&format!(
                "{name} is {verdict} for coordinator {node}: {} ({age} ago)\n",
                sight.detail
            ));
        }
    }
    text
}

fn notice_words(member: &ApplianceStatus, notice: &NoticeStatus, paint: Paint) -> String {
    let kind = if notice.drains { paint.warn(notice.kind) } else { notice.kind.to_string() };
    let begins = match notice.not_before {
        _ if notice.started => "it has begun".to_owned(),
        Some(at) => format!("not before {}", moment(at)),
        None => "at any moment".to_owned(),
    };
    let about = if notice.about.is_empty() { String::new() } else { format!(" ({})", notice.about) };
    format!("{} is under notice of a {kind} by {}: {begins}{about}\n", member.name, notice.source)
}

fn fencing_words(member: &ApplianceStatus, fencing: &FencingStatus, paint: Paint) -> String {
    let FencingStatus { how, since, attempts, error, holds } = fencing;
    let outcome = match error {
        None => paint.warn("under way"),
        Some(error) => paint.bad(format!("failed {attempts} times: {error}")),
    };
    let holds = if *holds { "; nothing moves before" } else { "" };
    format!("{} is to be switched off by {how} since {}: {outcome}{holds}\n", member.name, moment(*since))
}

fn bindings(bindings: &[BindingStatus], paint: Paint) -> String {
    let mut table = Table::new(&["BINDING", "KIND", "WHAT", "POINTS AT", "DRIFT"], paint);
    for binding in bindings {
        table.row([
            binding.name.to_string(),
            binding.kind.clone(),
            binding.what.clone(),
            binding.points_at.as_ref().map_or_else(dash, ToString::to_string),
            binding.drift.as_ref().map_or_else(dash, |drift| paint.bad(drift)),
        ]);
    }
    table.render()
}

/// What `pointsman apply` would change in a group or a pool.
pub(in crate::cli) fn plan(
    what: &str,
    name: &impl Display,
    exists: bool,
    changes: &[Difference],
    paint: Paint,
) -> String {
    if changes.is_empty() {
        return format!("{what} {name}: no change\n");
    }
    let title = if exists { "changes" } else { "is new" };
    let mut text = format!("{what} {} {title}:\n", paint.strong(name));
    for change in changes {
        text.push_str(&format!("  {}\n", difference(change, paint)));
    }
    text
}

/// One value that differs, in a line.
pub(super) fn difference(change: &Difference, paint: Paint) -> String {
    let path = &change.path;
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("{} {path}: {from} → {to}", paint.warn("~")),
        (None, Some(to)) => format!("{} {path}: {to}", paint.good("+")),
        (Some(from), None) => format!("{} {path}: {from}", paint.bad("-")),
        (None, None) => format!("{} {path}", paint.warn("~")),
    }
}
