//! Tokens only rise: in the state, on the agents' disks, on the resources, and nothing is held
//! under a token lower than the highest that is stored.

use std::collections::BTreeMap;

use coordinator_core::check::check_progress;
use coordinator_core::ids::{ApplianceName, GroupName, Token};
use coordinator_core::state::{Group, State};
use coordinator_core::time::WallTime;

use crate::sim::cloud::ResourceIx;

pub(crate) const NAME: &str = "tokens-rise";

/// The state before a command: all of it, or what no command may take back.
pub(super) enum Before {
    All(State),
    Tokens { time: WallTime, groups: BTreeMap<GroupName, (Token, Option<ApplianceName>)> },
}

impl Before {
    pub(super) fn of(state: &State, all: bool) -> Before {
        if all {
            return Before::All(state.clone());
        }
        let one = |(name, group): (&GroupName, &Group)| (name.clone(), (group.token, group.active.clone()));
        Before::Tokens { time: state.time, groups: state.groups.iter().map(one).collect() }
    }

    /// No declaration is among the commands after which only tokens are compared.
    pub(super) fn judge(&self, after: &State) -> Result<(), String> {
        let (time, groups) = match self {
            Before::All(before) => {
                let faults = check_progress(before, after);
                return if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) };
            }
            Before::Tokens { time, groups } => (*time, groups),
        };
        if after.time < time {
            return Err(format!("time went back from {} to {}", time.0, after.time.0));
        }
        for (name, (token, active)) in groups {
            let Some(group) = after.groups.get(name) else { return Err(format!("group {name} is gone")) };
            rises(*token, group.token).map_err(|what| format!("in group {name} {what}"))?;
            if group.active != *active && group.token == *token {
                return Err(format!("group {name}: another appliance is active under token {token}"));
            }
        }
        Ok(())
    }
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
