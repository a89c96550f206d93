//! `apply(state, log_index, command) -> events`: the one door through which state changes.
//!
//! Runs on every node and gives the same result everywhere, so it judges by the state and the
//! command alone. It trusts no proposer: whatever `decide` or an operator's request was based on
//! may be stale by the time that it is committed, so every rule is checked again here.
//!
//! Each handler checks everything before it changes anything.

mod fencing;
mod groups;
mod modes;
mod notices;
mod operations;
mod paths;
mod progress;
mod quarantine;
mod records;
mod rejection;
mod reliance;
mod under_way;

pub(crate) use operations::{bounded as bounded_evidence, check_reason};
pub(crate) use progress::bounded as bounded_calls;
pub use rejection::Rejection;

use crate::chain::Link;
use crate::command::{Actor, Command, CommandBody};
use crate::event::{Event, EventBody, Level};
use crate::ids::{ApplianceName, GroupName, OperationId};
use crate::pool;
use crate::state::{Group, State};
use crate::time::WallTime;

/// Applies a committed command. An idempotent repeat changes nothing and gives no events.
///
/// # Errors
/// [`Rejection`]: the state is unchanged but for its time.
pub fn apply(state: &mut State, index: u64, command: &Command) -> Result<Vec<Event>, Rejection> {
    let before = state.time;
    state.time = before.max(command.at);
    let mut log = Log { index, at: state.time, actor: command.actor.clone(), events: Vec::new() };
    let log_ref = &mut log;
    match &command.body {
        CommandBody::PutGroup(spec) => groups::put(state, log_ref, spec),
        CommandBody::Seed { groups, pools } => groups::seed(state, log_ref, before, groups, pools),
        CommandBody::RemoveGroup(name) => groups::remove(state, log_ref, name),
        CommandBody::RecordVerdict { group, appliance, verdict, evidence } => {
            records::verdict(group_mut(state, group)?, log_ref, appliance, *verdict, evidence)
        }
        CommandBody::StartOperation(start) => {
            operations::start(group_mut(state, &start.group)?, log_ref, start)
        }
        CommandBody::RecordRelease { group, appliance, token, proof } => {
            progress::release(group_mut(state, group)?, log_ref, appliance, *token, *proof)
        }
        CommandBody::RecordStep(record) => progress::step(group_mut(state, &record.group)?, log_ref, record),
        CommandBody::SetMode { group, mode, reason } => {
            modes::mode(group_mut(state, group)?, log_ref, *mode, reason)
        }
        CommandBody::SetMaintenance { group, appliance, enabled, reason } => {
            modes::maintenance(group_mut(state, group)?, log_ref, appliance, *enabled, reason)
        }
        CommandBody::Freeze { group, reason } => modes::freeze(group_mut(state, group)?, log_ref, reason),
        CommandBody::Unfreeze { group, reason } => modes::unfreeze(group_mut(state, group)?, log_ref, reason),
        CommandBody::RecordPath { group, token, verdict, evidence } => {
            paths::verdict(group_mut(state, group)?, log_ref, *token, *verdict, evidence)
        }
        CommandBody::RecordTraffic { group, operation, traffic } => {
            paths::traffic(group_mut(state, group)?, log_ref, *operation, *traffic)
        }
        CommandBody::RecordHeartbeat { group, path, up } => {
            paths::heartbeat(group_mut(state, group)?, log_ref, path, *up)
        }
        CommandBody::RecordNotices { group, appliance, source, notices, unknown } => {
            let group = group_mut(state, group)?;
            notices::record(group, log_ref, appliance, *source, notices, unknown.as_deref())
        }
        CommandBody::RecordUnderWay { group, operation, resource, place } => {
            under_way::record(group_mut(state, group)?, *operation, resource, place)
        }
        CommandBody::RecordHold { group, hold } => {
            records::hold(group_mut(state, group)?, log_ref, hold.as_ref())
        }
        CommandBody::RecordDrift { group, binding, drift } => {
            records::drift(group_mut(state, group)?, log_ref, binding, drift.as_ref())
        }
        CommandBody::RecordAcknowledged { group, appliance, revision } => {
            reliance::acknowledged(group_mut(state, group)?, log_ref, appliance, *revision)
        }
        CommandBody::RequestFence { group, appliance, token } => {
            fencing::request(group_mut(state, group)?, log_ref, appliance, *token)
        }
        CommandBody::RecordFence(record) => {
            fencing::record(group_mut(state, &record.group)?, log_ref, record)
        }
        CommandBody::ConfirmOff { group, appliance, token, reason } => {
            fencing::confirm_off(group_mut(state, group)?, log_ref, appliance, *token, reason)
        }
        CommandBody::Pool(command) => pool::apply::apply(state, log_ref, command),
    }?;
    for event in &mut log.events {
        state.history.append(event);
    }
    Ok(log.events)
}

fn group_mut<'a>(state: &'a mut State, name: &GroupName) -> Result<&'a mut Group, Rejection> {
    state.groups.get_mut(name).ok_or_else(|| Rejection::UnknownGroup { group: name.to_string() })
}

/// The events of one command, as they arise.
pub(crate) struct Log {
    pub(crate) index: u64,
    pub(crate) at: WallTime,
    pub(crate) actor: Actor,
    events: Vec<Event>,
}

/// What an event is about, apart from its group.
#[derive(Default)]
struct About {
    appliance: Option<ApplianceName>,
    operation: Option<OperationId>,
}

impl About {
    fn appliance(name: &ApplianceName) -> About {
        About { appliance: Some(name.clone()), operation: None }
    }

    fn during(self, operation: Option<OperationId>) -> About {
        About { operation, ..self }
    }
}

impl Log {
    fn push(&mut self, level: Level, group: &GroupName, about: About, body: EventBody) {
        self.add(level, Some(group), about, body);
    }

    /// An event of no group and no operation.
    pub(crate) fn push_about(&mut self, level: Level, appliance: Option<&ApplianceName>, body: EventBody) {
        self.add(level, None, About { appliance: appliance.cloned(), operation: None }, body);
    }

    fn add(&mut self, level: Level, group: Option<&GroupName>, about: About, body: EventBody) {
        // A command gives at most a handful of events; the cast cannot saturate.
        let seq = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.events.push(Event {
            index: self.index,
            seq,
            at: self.at,
            actor: self.actor.clone(),
            level,
            group: group.cloned(),
            appliance: about.appliance,
            operation: about.operation,
            body,
            link: Link::default(),
        });
    }
}
