//! Tokens only rise: in the state, on the agents' disks, on the resources, and nothing is held
//! under a token lower than the highest that is stored.

use coordinator_core::check::check_progress;
use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::state::State;

use crate::sim::cloud::ResourceIx;

pub(crate) const NAME: &str = "tokens-rise";

pub(super) fn in_state(before: &State, after: &State) -> Result<(), String> {
    let faults = check_progress(before, after);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

pub(super) fn on_disk(agent: &ApplianceName, before: Token, after: Token) -> Result<(), String> {
    rises(before, after).map_err(|what| format!("on the disk of {agent} {what}"))
}

pub(super) fn on_resource(
    resource: ResourceIx,
    before: Option<Token>,
    after: Option<Token>,
) -> Result<(), String> {
    rises(before.unwrap_or_default(), after.unwrap_or_default())
        .map_err(|what| format!("on resource r{resource} {what}"))
}

pub(super) fn held(agent: &ApplianceName, disk: Token, token: Token) -> Result<(), String> {
    if token == disk {
        return Ok(());
    }
    Err(format!("{agent} takes the lease under token {token}, and has {disk} on its disk"))
}

fn rises(before: Token, after: Token) -> Result<(), String> {
    if after >= before { Ok(()) } else { Err(format!("token {after} replaced the higher {before}")) }
}
