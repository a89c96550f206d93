//! What a move would do, without doing any of it.
//!
//! Nothing here decides: whether a move would start is asked of the core's own `admit`, what would
//! then have to be done is `pending_actions` of a copy of the state to which the start was applied,
//! and what would be written is planned by the driver that would write it.

mod clouds;
mod estimate;

use coordinator_api::v1::{DryRun, PlannedPart};
use coordinator_core::action::{Action, pending_actions};
use coordinator_core::apply::apply;
use coordinator_core::command::{Actor, Command, CommandBody, StartOperation};
use coordinator_core::decide::MoveRequest;
use coordinator_core::ids::OperationId;
use coordinator_core::reason::Reason;
use coordinator_core::state::{Group, State};
use coordinator_core::time::WallTime;

pub(crate) use clouds::add_writes;

/// A dry run, and the moves of cloud bindings whose writes are still to be asked of the clouds.
#[derive(Debug)]
pub struct Sketch {
    /// All but the clouds' part.
    pub dry: DryRun,
    /// To be planned on what the clouds say.
    pub(crate) moves: Vec<cloud_adapters::MoveJob>,
}

/// Puts together what a move would do, as far as the log tells. `next` is the index that the start
/// would have in the log: its token.
pub fn sketch(
    state: &State,
    request: &MoveRequest,
    admitted: Result<StartOperation, Vec<Reason>>,
    next: u64,
    operator: &str,
    at: WallTime,
) -> Sketch {
    let from = state.groups.get(&request.group).and_then(|group| group.active.clone());
    let mut dry = DryRun {
        group: request.group.clone(),
        kind: request.kind,
        from,
        to: None,
        refused: Vec::new(),
        because: Vec::new(),
        first: Vec::new(),
        parts: Vec::new(),
        estimate: estimate::none(),
    };
    let start = match admitted {
        Ok(start) => start,
        Err(reasons) => {
            dry.refused = reasons.iter().map(ToString::to_string).collect();
            return Sketch { dry, moves: Vec::new() };
        }
    };
    let to = start.to.clone();
    let because = start.because.iter().map(ToString::to_string).collect();
    let command =
        Command { at, actor: Actor::Operator(operator.to_owned()), body: CommandBody::StartOperation(start) };
    let mut after = state.clone();
    if let Err(rejection) = apply(&mut after, next, &command) {
        dry.refused = vec![rejection.to_string()];
        return Sketch { dry, moves: Vec::new() };
    }
    (dry.to, dry.because) = (Some(to), because);
    let mut moves = Vec::new();
    if let Some(group) = after.groups.get(&request.group) {
        for action in pending_actions(&after) {
            take(group, action, OperationId(next), &mut dry, &mut moves);
        }
        dry.estimate = estimate::of(state, group);
    }
    Sketch { dry, moves }
}

/// One thing that would have to be done, if it is this operation's.
fn take(
    group: &Group,
    action: Action,
    own: OperationId,
    dry: &mut DryRun,
    moves: &mut Vec<cloud_adapters::MoveJob>,
) {
    match action {
        Action::AwaitRelease { group: name, appliance, .. } if name == group.spec.name => {
            let wait = group.spec.lease.wait().as_millis();
            dry.first.push(format!(
                "{appliance} lets go of its lease: its agent confirms that, or {wait} ms pass; virtual addresses and probe gates wait for it, cloud bindings do not"
            ));
        }
        Action::Fence { operation, appliance, spec, .. } if operation == own => {
            dry.first.push(format!("{appliance} is switched off by {spec}; everything waits for it"));
        }
        Action::AwaitHold { operation, binding, to, .. } if operation == own => {
            dry.parts.push(PlannedPart {
                what: format!("{to} takes {binding} under its lease"),
                bindings: vec![binding],
                waves: Vec::new(),
                problems: Vec::new(),
            });
        }
        Action::MoveBinding { group, operation, binding, to, .. } if operation == own => {
            moves.push(cloud_adapters::MoveJob { group, token: operation.token(), binding, to });
        }
        _ => {}
    }
}
