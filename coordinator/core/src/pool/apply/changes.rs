//! Taking members out and putting them in: the one place where that is allowed or not.

use super::{push, unknown_member};
use crate::apply::{Log, Rejection, bounded_evidence, check_reason};
use crate::command::Actor;
use crate::event::Level;
use crate::ids::Token;
use crate::model::Trigger;
use crate::observe::Verdict;
use crate::pool::{
    Change, ChangeMember, PlacementStep, Pool, PoolEventBody, PoolReason, PoolRejection, Standing,
};

/// Departures kept per member, whatever the flap window is.
const KEPT_DEPARTURES: usize = 100;

/// Reasons kept per change.
const KEPT_REASONS: usize = 16;

pub(super) fn take_out(pool: &mut Pool, log: &mut Log, change: &ChangeMember) -> Result<(), Rejection> {
    let automatic = admitted(pool, log, change)?;
    let name = pool.spec.name.clone();
    let member = pool.members.get(&change.member).ok_or_else(|| unknown_member(&name, &change.member))?;
    if matches!(member.standing, Standing::Leaving(_) | Standing::Out(_)) {
        if !automatic {
            keep_out(pool, log, change);
        }
        return Ok(());
    }
    let serving = pool.serving_beside(&change.member);
    let needed = if automatic {
        if member.verdict != Verdict::Down {
            return Err(PoolRejection::NotDown { pool: name, member: change.member.clone() }.into());
        }
        if pool.spec.policy.take_out == Trigger::Manual {
            return Err(not_automatic(
                pool,
                change,
                PoolReason::TakeOutManual { member: change.member.clone() },
            ));
        }
        let (out, most) = (pool.out(), pool.spec.max_out());
        if out >= most {
            let (member, out, max_out) = (change.member.clone(), count(out), count(most));
            return Err(not_automatic(pool, change, PoolReason::TooManyOut { member, out, max_out }));
        }
        pool.spec.min_in()
    } else {
        // An operator may go below what the policy wants, and never to nobody.
        1
    };
    if serving < needed {
        let (serving, needed) = (serving as u64, needed as u64);
        let member = change.member.clone();
        return Err(PoolRejection::TooFewLeft { pool: name, member, serving, needed }.into());
    }
    let window = pool.spec.policy.flap_window;
    let started = begin(pool, log, change);
    pool.hold = None;
    if let Some(member) = pool.members.get_mut(&change.member) {
        if automatic {
            member.left.retain(|at| log.at.since(*at) < window);
            member.left.push_back(log.at);
            while member.left.len() > KEPT_DEPARTURES {
                member.left.pop_front();
            }
        }
        member.standing = Standing::Leaving(started);
    }
    let (reason, because, evidence) = told(change);
    let what = PoolEventBody::Leaving { token: Token(log.index), reason, because, evidence };
    push(log, Level::Warning, &name, Some(&change.member), what);
    Ok(())
}

pub(super) fn put_in(pool: &mut Pool, log: &mut Log, change: &ChangeMember) -> Result<(), Rejection> {
    let automatic = admitted(pool, log, change)?;
    let name = pool.spec.name.clone();
    let member = pool.members.get(&change.member).ok_or_else(|| unknown_member(&name, &change.member))?;
    if matches!(member.standing, Standing::In { .. } | Standing::Returning(_)) {
        return Ok(());
    }
    if member.verdict != Verdict::Up {
        return Err(PoolRejection::NotUp { pool: name, member: change.member.clone() }.into());
    }
    if automatic {
        let policy = &pool.spec.policy;
        let who = change.member.clone();
        if policy.put_in == Trigger::Manual {
            return Err(not_automatic(pool, change, PoolReason::PutInManual { member: who }));
        }
        if member.standing.out_by_operator() {
            let because = PoolReason::OutByOperator { member: who, reason: String::new() };
            return Err(not_automatic(pool, change, because));
        }
        let needed = pool.may_serve() < pool.spec.min_in();
        if !needed && !matches!(member.standing, Standing::New) {
            if log.at.since(member.since) < policy.return_after {
                return Err(PoolRejection::NotStable { pool: name, member: who }.into());
            }
            let moves = usize::try_from(policy.flap_moves).unwrap_or(usize::MAX);
            if member.recently_left(log.at, policy.flap_window) >= moves {
                let window_ms = u64::try_from(policy.flap_window.as_millis()).unwrap_or(u64::MAX);
                let because = PoolReason::Flaps { member: who, moves: policy.flap_moves, window_ms };
                return Err(not_automatic(pool, change, because));
            }
        }
    }
    let started = begin(pool, log, change);
    if let Some(member) = pool.members.get_mut(&change.member) {
        if !automatic {
            member.left.clear();
        }
        member.standing = Standing::Returning(started);
    }
    let (reason, because, evidence) = told(change);
    let what = PoolEventBody::Returning { token: Token(log.index), reason, because, evidence };
    push(log, Level::Info, &name, Some(&change.member), what);
    Ok(())
}

/// What every change must fulfil. Returns whether nobody asked for it.
fn admitted(pool: &Pool, log: &Log, change: &ChangeMember) -> Result<bool, Rejection> {
    check_reason(&change.reason)?;
    let automatic = matches!(log.actor, Actor::Coordinator(_));
    match change.expected {
        None if automatic => Err(PoolRejection::NoToken.into()),
        Some(expected) if expected != pool.token => {
            let (pool, current) = (pool.spec.name.clone(), pool.token);
            Err(PoolRejection::StaleToken { pool, expected, current }.into())
        }
        _ => Ok(automatic),
    }
}

fn not_automatic(pool: &Pool, change: &ChangeMember, because: PoolReason) -> Rejection {
    let (pool, member) = (pool.spec.name.clone(), change.member.clone());
    PoolRejection::NotAutomatic { pool, member, because }.into()
}

/// The change that starts at this index, with nothing done yet.
fn begin(pool: &mut Pool, log: &Log, change: &ChangeMember) -> Change {
    pool.token = Token(log.index);
    pool.drift.retain(|placement, _| placement.member != change.member);
    Change {
        token: pool.token,
        actor: log.actor.clone(),
        reason: change.reason.clone(),
        because: change.because.iter().take(KEPT_REASONS).cloned().collect(),
        started: log.at,
        steps: pool.spec.sides().map(|(side, _)| PlacementStep::new(side)).collect(),
    }
}

/// The operator's word on a member that has left already: from now on only an operator returns it.
fn keep_out(pool: &mut Pool, log: &mut Log, change: &ChangeMember) {
    let Some(member) = pool.members.get_mut(&change.member) else { return };
    let (actor, reason) = match &mut member.standing {
        Standing::Leaving(running) => (&mut running.actor, &mut running.reason),
        Standing::Out(left) => (&mut left.actor, &mut left.reason),
        _ => return,
    };
    if *actor == log.actor && *reason == change.reason {
        return;
    }
    actor.clone_from(&log.actor);
    reason.clone_from(&change.reason);
    let what = PoolEventBody::KeptOut { reason: change.reason.clone() };
    push(log, Level::Warning, &pool.spec.name, Some(&change.member), what);
}

fn told(change: &ChangeMember) -> (String, Vec<PoolReason>, Vec<crate::observe::Evidence>) {
    let because = change.because.iter().take(KEPT_REASONS).cloned().collect();
    (change.reason.clone(), because, bounded_evidence(&change.evidence))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
