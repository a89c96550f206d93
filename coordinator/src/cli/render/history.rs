//! The history.

use coordinator_api::v1::{Changed, HistoryEvent, HistoryPage};
use coordinator_core::command::Actor;

use super::cluster::dash;
use super::operation::actor;
use super::paint::Paint;
use super::span::moment;
use super::table::Table;

/// `pointsman history`.
pub(in crate::cli) fn history(page: &HistoryPage, paint: Paint) -> String {
    if page.events.is_empty() {
        return "nothing recorded that fits\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "LEVEL", "GROUP", "WHAT HAPPENED"], paint);
    for event in &page.events {
        table.row([moment(event.at), paint.level(event.level), whose(event), what(event, paint)]);
    }
    let mut text = table.render();
    if let Some(next) = page.next {
        text.push_str(&paint.faint(format!("there is more: --before {next}\n")));
    }
    text
}

fn whose(event: &HistoryEvent) -> String {
    let group = event.group.as_ref().map(ToString::to_string);
    group.or_else(|| event.pool.as_ref().map(ToString::to_string)).unwrap_or_else(dash)
}

/// The sentence, and the operator if it was one.
fn what(event: &HistoryEvent, paint: Paint) -> String {
    match &event.actor {
        Actor::Operator(_) => {
            format!("{} {}", event.sentence, paint.faint(format!("[{}]", actor(&event.actor))))
        }
        Actor::Coordinator(_) => event.sentence.clone(),
    }
}

/// What a change did.
pub(in crate::cli) fn changed(changed: &Changed, _: Paint) -> String {
    if changed.events.is_empty() {
        return "nothing to change: it was so already\n".to_owned();
    }
    changed.events.iter().map(|event| format!("{}\n", event.sentence)).collect()
}
