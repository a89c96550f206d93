//! Nothing acts before its decision is committed, and nobody acts on another decision.

use coordinator_core::ids::Token;

use super::Oracle;

pub(crate) const NAME: &str = "committed-first";

/// Something acts for the appliance at `place` of `group`, under `token`.
pub(super) fn judge(oracle: &Oracle, group: usize, token: Token, place: usize) -> Result<(), String> {
    match oracle.grants.get(&token) {
        Some(granted) if *granted == (group, place) => Ok(()),
        Some((_, to)) => {
            Err(format!("acts under token {token} for appliance {place}; it was granted to {to}"))
        }
        None => Err(format!("acts under token {token}, which no committed command has granted")),
    }
}
