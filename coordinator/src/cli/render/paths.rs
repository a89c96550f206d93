//! The path through the active appliance, and the ways between agents.

use coordinator_api::v1::{GroupStatus, HeartbeatStatus};
use coordinator_core::observe::Verdict;

use super::cluster::dash;
use super::paint::Paint;
use super::span::{moment, span};
use super::table::Table;

/// Both, for `pointsman status GROUP`; empty for a group that declares neither.
pub(super) fn paths(status: &GroupStatus, paint: Paint) -> String {
    let mut text = through(status, paint);
    let ways = heartbeats(status, paint);
    if !text.is_empty() && !ways.is_empty() {
        text.push('\n');
    }
    text + &ways
}

fn through(status: &GroupStatus, paint: Paint) -> String {
    let Some(path) = &status.path else { return String::new() };
    let active = status.summary.active.as_ref().map_or_else(dash, ToString::to_string);
    let mut text = format!(
        "{} through {active} is {} since {}\n",
        paint.faint("PATH"),
        paint.verdict(path.verdict),
        moment(path.since)
    );
    for sight in path.vantages.iter().filter(|sight| sight.verdict != Verdict::Up) {
        let (verdict, node, age) = (paint.verdict(sight.verdict), sight.node, span(sight.age_ms));
        text.push_str(&format!("  {verdict} for coordinator {node}: {} ({age} ago)\n", sight.detail));
    }
    text
}

fn heartbeats(status: &GroupStatus, paint: Paint) -> String {
    let mut table = Table::new(&["HEARTBEAT", "TO", "WAY", "STATE", "RESPONSE", "DOWN SINCE"], paint);
    let ways = status.members.iter().flat_map(|from| from.heartbeats.iter().map(move |way| (from, way)));
    let mut any = false;
    for (from, way) in ways {
        any = true;
        table.row([
            from.name.to_string(),
            way.to.to_string(),
            if way.path == 0 { "management" } else { "direct" }.to_owned(),
            state(way, paint),
            way.rtt_us.map_or_else(dash, response),
            way.down_since.map_or_else(dash, moment),
        ]);
    }
    if any { table.render() } else { String::new() }
}

fn state(way: &HeartbeatStatus, paint: Paint) -> String {
    match way.up {
        Some(true) => paint.good("up"),
        Some(false) => paint.bad("down"),
        None => dash(),
    }
}

/// `0.8ms`.
fn response(us: u32) -> String {
    format!("{}.{}ms", us / 1000, us % 1000 / 100)
}
