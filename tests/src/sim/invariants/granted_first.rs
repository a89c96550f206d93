//! A lease begins with a grant of a leader to this very life of the agent. Promises of peers
//! renew what is held, and are no way to get it.

use coordinator_core::ids::Token;

use crate::sim::agent::Agent;
use crate::sim::clock::At;
use crate::sim::event::Declared;

pub(crate) const NAME: &str = "granted-first";

/// The agent begins to carry the VIPs under `token`.
pub(super) fn judge(agent: &Agent, token: Token, now: At) -> Result<(), String> {
    let ttl = agent.declared.map(Declared::ttl).unwrap_or_default();
    let newest = agent.granted.filter(|(granted, _)| *granted >= token);
    let Some((_, sent_at)) = newest else {
        return Err(format!("{} holds under token {token}, and no leader granted it", agent.name));
    };
    let age = agent.clock.mono(now).since(sent_at);
    if age <= ttl {
        return Ok(());
    }
    Err(format!("{} begins to hold under token {token}, for which it asked {age:?} ago", agent.name))
}
