//! What is announced to happen to an appliance.

use super::{About, Log, Rejection};
use crate::event::{EventBody, Level};
use crate::ids::ApplianceName;
use crate::notice::{Notice, NoticeSource, bounded};
use crate::state::{Announced, Group};
use crate::text::clip;

/// Everything that one source announces for one appliance, in place of what it had before.
pub(super) fn record(
    group: &mut Group,
    log: &mut Log,
    appliance: &ApplianceName,
    source: NoticeSource,
    notices: &[Notice],
    unknown: Option<&str>,
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    let drain = group.spec.policy.drain.clone();
    let Some(known) = group.appliances.get_mut(appliance) else {
        return Err(Rejection::UnknownAppliance { group: name, appliance: appliance.clone() });
    };
    let before = known.announced.remove(&source).unwrap_or_default();
    let after = Announced { notices: bounded(notices), unknown: unknown.map(clip), changed: log.at };
    let mut bodies = Vec::new();
    for (id, notice) in &before.notices {
        if !after.notices.contains_key(id) {
            bodies.push((Level::Info, EventBody::NoticeEnded { source, notice: notice.clone() }));
        }
    }
    for (id, notice) in &after.notices {
        match before.notices.get(id) {
            Some(same) if same == notice => {}
            earlier => {
                let level = if drain.contains(&notice.kind) { Level::Warning } else { Level::Info };
                let new = earlier.is_none();
                bodies.push((level, EventBody::NoticeGiven { source, notice: notice.clone(), new }));
            }
        }
    }
    match (&before.unknown, &after.unknown) {
        (None, Some(why)) => {
            bodies.push((Level::Warning, EventBody::NoticesUnknown { source, why: why.clone() }));
        }
        (Some(_), None) => bodies.push((Level::Info, EventBody::NoticesKnown { source })),
        _ => {}
    }
    let changed = if bodies.is_empty() { before.changed } else { log.at };
    let after = Announced { changed, ..after };
    if !after.notices.is_empty() || after.unknown.is_some() || changed != Default::default() {
        known.announced.insert(source, after);
    }
    let during = group.operation.as_ref().map(|o| o.id);
    for (level, body) in bodies {
        log.push(level, &name, About::appliance(appliance).during(during), body);
    }
    Ok(())
}
