//! Commands about pools, applied.
//!
//! As for groups: each handler checks everything before it changes anything, and trusts no
//! proposer.

mod changes;
mod declaring;
mod records;

use super::{Pool, PoolCommand, PoolEvent, PoolEventBody, PoolRejection};
use crate::apply::{Log, Rejection};
use crate::event::{EventBody, Level};
use crate::ids::{ApplianceName, PoolName};
use crate::state::State;

pub(crate) use declaring::{declare, faults};

pub(crate) fn apply(state: &mut State, log: &mut Log, command: &PoolCommand) -> Result<(), Rejection> {
    match command {
        PoolCommand::Put(spec) => declaring::put(state, log, spec),
        PoolCommand::Remove(name) => declaring::remove(state, log, name),
        PoolCommand::RecordVerdict { pool, member, verdict, evidence } => {
            records::verdict(pool_mut(state, pool)?, log, member, *verdict, evidence)
        }
        PoolCommand::TakeOut(change) => changes::take_out(pool_mut(state, &change.pool)?, log, change),
        PoolCommand::PutIn(change) => changes::put_in(pool_mut(state, &change.pool)?, log, change),
        PoolCommand::RecordPlacement(record) => {
            records::placement(pool_mut(state, &record.pool)?, log, record)
        }
        PoolCommand::RecordHold { pool, hold } => {
            records::hold(pool_mut(state, pool)?, log, hold.as_ref());
            Ok(())
        }
        PoolCommand::RecordDrift { pool, member, side, drift } => {
            records::drift(pool_mut(state, pool)?, log, member, *side, drift.as_deref())
        }
    }
}

fn pool_mut<'a>(state: &'a mut State, name: &PoolName) -> Result<&'a mut Pool, Rejection> {
    let unknown = || PoolRejection::UnknownPool { pool: name.clone() };
    Ok(state.pools.get_mut(name).ok_or_else(unknown)?)
}

fn unknown_member(pool: &PoolName, member: &ApplianceName) -> PoolRejection {
    PoolRejection::UnknownMember { pool: pool.clone(), member: member.clone() }
}

fn push(log: &mut Log, level: Level, pool: &PoolName, member: Option<&ApplianceName>, what: PoolEventBody) {
    log.push_about(level, member, EventBody::Pool(PoolEvent { pool: pool.clone(), what }));
}
