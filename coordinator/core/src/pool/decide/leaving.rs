//! Sick members: who is taken out, and why not.

use super::view::{View, count, millis};
use super::{Hold, Plan};
use crate::ids::ApplianceName;
use crate::model::Trigger;
use crate::observe::Verdict;
use crate::pool::{PoolCommand, PoolReason, Standing};

pub(super) fn consider(view: &View<'_>, plan: &mut Plan) {
    let down = |name: &ApplianceName| view.certainly(name, Verdict::Down);
    for (name, member) in view.members() {
        let left_as_it_is = matches!(member.standing, Standing::Leaving(_));
        if left_as_it_is && view.pool.serving_beside(name) == 0 {
            plan.because(PoolReason::LeavingAlone { member: name.clone() });
        }
    }
    if view.members().all(|(name, _)| down(name)) {
        plan.because(PoolReason::AllDown);
        plan.hold = Hold::Set(PoolReason::AllDown);
        return;
    }
    let there = |standing: &Standing| {
        matches!(standing, Standing::New | Standing::In { .. } | Standing::Returning(_))
    };
    let sick: Vec<_> = view.members().filter(|(name, m)| there(&m.standing) && down(name)).collect();
    if sick.is_empty() {
        let inside = || view.members().filter(|(_, m)| matches!(m.standing, Standing::In { .. }));
        // Nothing follows from what is not known: a hold stands until all are known to be up.
        if inside().all(|(name, _)| view.certainly(name, Verdict::Up)) {
            plan.hold = Hold::Clear;
            if inside().next().is_some() {
                plan.because(PoolReason::AllWell);
            }
        }
        return;
    }
    for (name, _) in sick {
        plan.because(view.why(name));
        match fate(view, name) {
            Fate::Leaves => {
                let because = plan.reasons.split_off(plan.reasons.len().saturating_sub(1));
                return plan.change(view, name, because, PoolCommand::TakeOut);
            }
            Fate::NotYet(None) => {}
            Fate::NotYet(Some((left, reason))) => plan.wait(left, reason),
            Fate::Stays(reason) => {
                plan.because(reason.clone());
                if matches!(plan.hold, Hold::Keep) {
                    plan.hold = Hold::Set(reason);
                }
            }
        }
    }
}

/// What becomes of a sick member.
enum Fate {
    Leaves,
    /// Time, or a report, will tell.
    NotYet(Option<(std::time::Duration, PoolReason)>),
    /// It stays, and somebody has to know.
    Stays(PoolReason),
}

fn fate(view: &View<'_>, name: &ApplianceName) -> Fate {
    let (pool, member) = (view.pool, name.clone());
    let policy = &pool.spec.policy;
    let since = pool.members.get(name).map_or(view.time, |m| m.since);
    if let Some(left) = view.remaining(since, policy.take_out_wait) {
        let reason = PoolReason::WaitingToTakeOut { member, remaining_ms: millis(left) };
        return Fate::NotYet(Some((left, reason)));
    }
    if policy.take_out == Trigger::Manual {
        return Fate::Stays(PoolReason::TakeOutManual { member });
    }
    let (out, most) = (pool.out(), pool.spec.max_out());
    if out >= most {
        return Fate::Stays(PoolReason::TooManyOut { member, out: count(out), max_out: count(most) });
    }
    let min_in = pool.spec.min_in();
    let inside: Vec<_> = view
        .members()
        .filter(|(other, m)| *other != name && matches!(m.standing, Standing::In { .. }))
        .collect();
    let up: Vec<_> = inside.iter().filter(|(other, _)| view.certainly(other, Verdict::Up)).collect();
    if up.len() < min_in {
        // Those of which nothing certain is known, and those on their way in, may be up soon.
        let unsure = inside
            .iter()
            .any(|(other, _)| !view.certainly(other, Verdict::Up) && !view.certainly(other, Verdict::Down));
        let coming = view.members().any(|(other, m)| {
            matches!(m.standing, Standing::New | Standing::Returning(_))
                && !view.certainly(other, Verdict::Down)
        });
        if unsure || coming {
            return Fate::NotYet(None);
        }
        let (serving, min_in) = (count(up.len()), count(min_in));
        return Fate::Stays(PoolReason::TooFewLeft { member, serving, min_in });
    }
    // After a loss of sight of everything, those that are seen first are not the only ones alive.
    let mut waits: Vec<_> =
        up.iter().map(|(_, m)| view.remaining(m.since, view.settle(name)).unwrap_or_default()).collect();
    waits.sort_unstable();
    match waits.get(min_in.saturating_sub(1)).filter(|left| !left.is_zero()) {
        Some(left) => {
            let reason = PoolReason::OthersJustUp { member, remaining_ms: millis(*left) };
            Fate::NotYet(Some((*left, reason)))
        }
        None => Fate::Leaves,
    }
}
