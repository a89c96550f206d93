//! Where fencing is required, nothing is carried or written for the new active of a failover
//! before the earlier one is truly off, or has let go by itself.

use coordinator_core::command::OperationKind;
use coordinator_core::ids::Token;
use coordinator_core::model::Fencing;
use coordinator_core::state::Ending;

use super::Oracle;
use crate::sim::agent::Agent;
use crate::sim::clock::At;

pub(crate) const NAME: &str = "fenced-first";

/// Something is carried or written under `token`.
pub(super) fn judge(oracle: &Oracle, agents: &[Agent], token: Token, now: At) -> Result<(), String> {
    let running = oracle.state.groups.values().find_map(|group| {
        let operation = group.operation.as_ref().filter(|operation| operation.id.token() == token)?;
        Some((group, operation))
    });
    let Some((group, operation)) = running else { return Ok(()) };
    let required = group.spec.policy.fencing == Fencing::Require;
    // One that took over from another may have to do with machines of that one's.
    let took_over = group.ended.back().is_some_and(|o| matches!(o.ended, Some((_, Ending::Superseded(_)))));
    if !required || operation.kind != OperationKind::Failover || took_over {
        return Ok(());
    }
    let from = agents.iter().find(|agent| operation.from.as_ref() == Some(&agent.name));
    let Some(from) = from else { return Ok(()) };
    let since = oracle.started_at.get(&token).copied().unwrap_or_default();
    let off = !from.machine_up || from.on_at >= since;
    let let_go = from.disk >= token && !from.carries(now);
    if off || let_go {
        return Ok(());
    }
    Err(format!("something is done under token {token}, and {} is neither off nor has it let go", from.name))
}
