//! What a cloud is at work on, for a leader that takes over.

use super::Rejection;
use crate::ids::OperationId;
use crate::state::{Group, KEPT_UNDER_WAY};

/// Bytes of a resource's id, and of a place. The longest ids of a cloud are a few hundred.
const MAX_BYTES: usize = 1024;

/// No event: a step's record has the calls, and this changes nothing that an operator sees.
pub(super) fn record(
    group: &mut Group,
    id: OperationId,
    resource: &str,
    place: &str,
) -> Result<(), Rejection> {
    let name = group.spec.name.clone();
    let Some(running) = group.operation.as_mut().filter(|running| running.id == id) else {
        return Err(Rejection::NotRunning { group: name, asked: id });
    };
    let fits =
        |text: &str| (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    let known = running.under_way.contains_key(resource);
    if !fits(resource) || !fits(place) || !known && running.under_way.len() >= KEPT_UNDER_WAY {
        return Err(Rejection::UnderWayUnfit { group: name, operation: id });
    }
    running.under_way.insert(resource.to_owned(), place.to_owned());
    Ok(())
}
