//! The ways on which the agents of a group hear each other: what of it to record.
//!
//! Two agents have up to two ways to each other: the management network and a direct link. The
//! loss of one is an event, so that it is repaired before the other one is lost as well; no move
//! follows from it. Each agent judges its own ways, with thresholds of its own; the leader reads
//! their newest reports and records what changed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::command::CommandBody;
use crate::ids::ApplianceName;
use crate::state::{HeartbeatPath, State};
use crate::time::{Mono, Now};

/// A way that was down is recorded as up no sooner than this after it was recorded as down: one
/// that comes and goes makes one pair of entries in this time, not one for every change.
pub const SETTLE: Duration = Duration::from_secs(5);

/// Most changes proposed at once; the rest follows in the next round.
const AT_ONCE: usize = 32;

/// What an agent's newest report says of its ways to its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// When the report came in.
    pub at: Mono,
    /// Who answers where: the peer, the number of its address, and whether it does.
    pub peers: Vec<(ApplianceName, u8, bool)>,
}

/// The changes to propose now. `heard` holds the newest report of each agent; one out of date, by
/// the group's freshness, says nothing.
pub fn due(state: &State, heard: &BTreeMap<ApplianceName, Heard>, now: Now) -> Vec<CommandBody> {
    let time = now.wall.max(state.time);
    let mut changes = Vec::new();
    for group in state.groups.values() {
        for from in group.spec.appliances.iter().map(|a| &a.name) {
            let fresh = |h: &&Heard| now.mono.since(h.at) <= group.spec.policy.freshness;
            for (to, path, up) in heard.get(from).filter(fresh).into_iter().flat_map(|h| &h.peers) {
                let way = HeartbeatPath { from: from.clone(), to: to.clone(), path: *path };
                let settled = |since| time.since(since) >= SETTLE;
                let changed = match group.heartbeats_down.get(&way) {
                    None => !up,
                    Some(since) => *up && settled(*since),
                };
                // An agent may act on an older declaration.
                if changed && way.is_declared(&group.spec) {
                    let group = group.spec.name.clone();
                    changes.push(CommandBody::RecordHeartbeat { group, path: way, up: *up });
                }
            }
        }
    }
    changes.truncate(AT_ONCE);
    changes
}
