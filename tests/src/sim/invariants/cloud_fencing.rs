//! A public IP has at most one carrier, and no write of an older operation takes effect once a
//! newer one's move is recorded as done.

use coordinator_core::ids::Token;

use super::Oracle;
use crate::sim::cloud::{Doc, Resource, ResourceIx};

pub(crate) const NAME: &str = "cloud-fencing";

pub(super) fn judge(
    oracle: &Oracle,
    resource: ResourceIx,
    after: &Resource,
    carriers: &[usize],
) -> Result<(), String> {
    if carriers.len() > 1 {
        return Err(format!("the public IP of group {} is on {} NICs", after.group, carriers.len()));
    }
    let binding = match after.doc {
        Doc::Nic { .. } => "public-ip",
        Doc::Table { .. } => "route",
    };
    let done =
        oracle.done.iter().find(|((group, name), _)| *group == after.group && name.as_str() == binding);
    let token = after.token.unwrap_or(Token::NONE);
    match done {
        Some((_, newest)) if token < *newest => Err(format!(
            "a write with token {token} took effect on r{resource}, after the move of {binding} under token {newest} was done"
        )),
        _ => Ok(()),
    }
}
