//! Who is to be taken out, who returns, and why not: level-triggered and without memory, like
//! [`decide`](crate::decide::decide) for groups.
//!
//! A change needs the recorded verdict *and* the present observation to say the same. At most one
//! change per pool is proposed at a time: it names the token that it was decided on, so two
//! decisions cannot both count on each other's member.

mod leaving;
mod returning;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ChangeMember, Pool, PoolCommand, PoolReason};
use crate::command::CommandBody;
use crate::decide::Observations;
use crate::ids::{ApplianceName, PoolName};
use crate::observe::Verdict;
use crate::reason::Reason;
use crate::state::State;
use crate::time::{Mono, Now};
use view::View;

/// What to propose for all pools, and why or why not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct PoolDecision {
    /// In this order.
    pub propose: Vec<CommandBody>,
    /// Per pool: why a member leaves or returns, or why not.
    pub reasons: BTreeMap<PoolName, Vec<PoolReason>>,
    /// When something will change by the passing of time alone. Never in the past.
    pub next_wakeup: Option<Mono>,
}

/// Decides what to propose.
pub fn decide(state: &State, observations: &Observations, now: Now) -> PoolDecision {
    let mut decision = PoolDecision::default();
    for (name, pool) in &state.pools {
        let view = View::new(state, pool, observations, now);
        let plan = plan(&view);
        let wakeup = plan.wakeup(&view);
        decision.next_wakeup = decision.next_wakeup.into_iter().chain(wakeup).min();
        let (reasons, propose) = plan.finish(pool);
        decision.reasons.insert(name.clone(), reasons);
        decision.propose.extend(propose.into_iter().map(CommandBody::Pool));
    }
    decision
}

fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    verdicts(view, &mut plan);
    if plan.propose.is_empty() {
        // Whoever is needed comes first: it makes room for others to leave.
        returning::consider(view, &mut plan);
    }
    if plan.propose.is_empty() {
        leaving::consider(view, &mut plan);
    }
    plan
}

/// Records each verdict that differs from the log; an unknown one only when it lasts.
fn verdicts(view: &View<'_>, plan: &mut Plan) {
    for (name, seen) in view.observed() {
        let transient = seen.verdict == Verdict::Unknown && !seen.lastingly_unknown;
        if seen.verdict == view.pool.verdict(name) || transient {
            continue;
        }
        plan.because(view.why(name));
        plan.because(PoolReason::Seen(Reason::VerdictChanging { appliance: name.clone() }));
        plan.propose.push(PoolCommand::RecordVerdict {
            pool: view.pool.spec.name.clone(),
            member: name.clone(),
            verdict: seen.verdict,
            evidence: seen.evidence.clone(),
        });
    }
}

/// What becomes of the recorded hold.
#[derive(Debug, Default)]
enum Hold {
    /// Nothing is certain enough to change it.
    #[default]
    Keep,
    Clear,
    Set(PoolReason),
}

/// What is decided for one pool, as it comes together.
#[derive(Debug, Default)]
struct Plan {
    propose: Vec<PoolCommand>,
    reasons: Vec<PoolReason>,
    hold: Hold,
    wake_in: Option<Duration>,
}

impl Plan {
    fn because(&mut self, reason: PoolReason) {
        self.reasons.push(reason);
    }

    /// The reason given says that something changes after this time.
    fn wait(&mut self, remaining: Duration, reason: PoolReason) {
        self.because(reason);
        self.wake_in = Some(self.wake_in.map_or(remaining, |earlier| earlier.min(remaining)));
    }

    fn change(
        &mut self,
        view: &View<'_>,
        member: &ApplianceName,
        because: Vec<PoolReason>,
        command: impl FnOnce(ChangeMember) -> PoolCommand,
    ) {
        self.reasons.extend(because.iter().cloned());
        self.propose.push(command(ChangeMember {
            pool: view.pool.spec.name.clone(),
            member: member.clone(),
            expected: Some(view.pool.token),
            reason: String::new(),
            because,
            evidence: view.evidence(member),
        }));
    }

    fn wakeup(&self, view: &View<'_>) -> Option<Mono> {
        // At least a millisecond ahead, so that rounding never makes a caller spin.
        let span = self.wake_in.map(|span| span.max(Duration::from_millis(1)));
        span.map(|span| view.now.plus(span)).into_iter().chain(view.expiry()).min()
    }

    fn finish(mut self, pool: &Pool) -> (Vec<PoolReason>, Vec<PoolCommand>) {
        let hold = match self.hold {
            Hold::Keep => return (self.reasons, self.propose),
            Hold::Clear => None,
            Hold::Set(reason) => Some(reason),
        };
        if pool.hold != hold {
            self.propose.push(PoolCommand::RecordHold { pool: pool.spec.name.clone(), hold });
        }
        (self.reasons, self.propose)
    }
}
