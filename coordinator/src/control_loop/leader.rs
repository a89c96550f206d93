//! What a leader does, for one term: decide, propose, act, watch for drift.
//!
//! Level-triggered: a wake-up carries no data. Each round reads the current state and sights and
//! does the same idempotent thing.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::Adapters;
use coordinator_core::action::pending_actions;
use coordinator_core::command::CommandBody;
use coordinator_core::decide::decide;
use coordinator_core::heartbeats;
use coordinator_core::lease::LeaseTable;
use coordinator_core::notice;
use coordinator_core::pool::PoolCommand;
use coordinator_core::pool::action::pending as pending_placings;
use coordinator_core::pool::decide::decide as decide_pools;
use coordinator_core::release;
use coordinator_core::time::{Mono, WallTime};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::act::Acting;
use super::drift;
use super::fence::Fencing;
use super::hook::Hooks;
use super::pools::{self, Pools};
use super::propose::{ProposeFailed, Proposer};
use super::service::Seed;
use super::shared::{LeadingTerm, Shared};
use crate::raft::Leadership;

/// The longest time between two rounds, should a wake-up ever be missed.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// The shortest time before a round that could not commit is tried again.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// How long the first quorum round of a term may take before it is asked for again.
const CATCH_UP: Duration = Duration::from_secs(1);

/// How long a quorum may take to confirm the leadership before a move is proposed.
const CONFIRM: Duration = Duration::from_secs(1);

/// What a leader acts with. Cheap to clone.
#[derive(Clone)]
pub(super) struct Means {
    /// The clouds.
    pub(super) adapters: Arc<Adapters>,
    /// The programs that switch appliances off.
    pub(super) hooks: Hooks,
}

/// Follows the leadership for as long as the node runs.
pub(super) async fn run(shared: Arc<Shared>, means: Means, seed: Seed) {
    let leadership = shared.replica.leadership();
    let seed = Arc::new(seed);
    let lead = |current| {
        let (shared, means, seed) = (shared.clone(), means.clone(), seed.clone());
        async move { lead(&shared, &means, &seed, &current).await }
    };
    each_term(leadership, lead, || shared.lock().leading = None).await;
}

/// Runs `lead` for every term in which this node leads, drops it as soon as that term is over, and
/// then calls `ended`. Returns when the leadership is followed no more.
///
/// The end of one term may be the beginning of the next: a node that lost and regained the
/// leadership before it looked sees only a newer term. So the leadership is looked at again after
/// each term, and only waited for where this node does not lead.
async fn each_term<F: Future<Output = ()>>(
    mut leadership: watch::Receiver<Leadership>,
    lead: impl Fn(Leadership) -> F,
    ended: impl Fn(),
) {
    loop {
        let current = *leadership.borrow_and_update();
        let moved_on = |now: &Leadership| !now.is_self || now.term != current.term;
        let followed = if current.is_self {
            let followed = tokio::select! {
                // It only ends by itself when the node stops: then the term ends as well.
                followed = async {
                    lead(current).await;
                    std::future::pending().await
                } => followed,
                moved = leadership.wait_for(moved_on) => moved.is_ok(),
            };
            info!(term = current.term, "leadership lost: acting stops");
            ended();
            followed
        } else {
            leadership.changed().await.is_ok()
        };
        if !followed {
            return;
        }
    }
}

/// Leads one term, until it is dropped.
async fn lead(shared: &Arc<Shared>, means: &Means, seed: &Seed, leadership: &Leadership) {
    // Before anything is decided or granted, the local state must hold everything that earlier
    // leaders committed: a grant from an older state could go to the wrong appliance.
    while let Err(error) = shared.replica.confirm_leadership(CATCH_UP).await {
        warn!(term = leadership.term, %error, "elected, but not confirmed by a quorum yet");
        tokio::time::sleep(AFTER_FAILURE).await;
    }
    let Some(elected_at) = leadership.elected_at else { return };
    let elected_at = shared.clock.mono(elected_at.into());
    info!(term = leadership.term, "leading");
    shared.lock().leading = Some(LeadingTerm { term: leadership.term, table: LeaseTable::new(elected_at) });

    let proposer = Proposer::new(shared.replica.clone(), leadership.term);
    sow(shared, &proposer, seed).await;
    let Means { adapters, hooks } = means;
    let mut tasks = Tasks {
        acting: Acting::new(adapters.clone(), proposer.clone()),
        fencing: Fencing::new(shared.clone(), adapters.clone(), hooks.clone(), proposer.clone()),
        pools: Pools::new(adapters.clone(), proposer.clone()),
    };
    let rounds = async {
        let mut states = shared.replica.watch_state();
        loop {
            states.mark_unchanged();
            let next = round(shared, &proposer, &mut tasks).await;
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = shared.wake.notified() => {}
                changed = states.changed() => if changed.is_err() { return },
            }
        }
    };
    let (bindings, members) =
        (drift::watch(shared, adapters, &proposer), pools::drift::watch(shared, adapters, &proposer));
    tokio::join!(rounds, bindings, members);
}

/// What is being carried out.
struct Tasks {
    acting: Acting,
    fencing: Fencing,
    pools: Pools,
}

/// Declares what the configuration file holds in a log that has never held anything: later
/// changes go through the API.
async fn sow(shared: &Shared, proposer: &Proposer, seed: &Seed) {
    let Seed { groups, pools } = seed.clone();
    let counts = (groups.len(), pools.len());
    if counts == (0, 0) || shared.replica.state().time != WallTime::default() {
        return;
    }
    match proposer.propose(CommandBody::Seed { groups, pools }).await {
        Ok(_) => info!(groups = counts.0, pools = counts.1, "declared what the configuration file holds"),
        Err(error) => warn!(%error, "could not declare what the configuration file holds"),
    }
}

/// One round. Returns when to look again at the latest.
async fn round(shared: &Shared, proposer: &Proposer, tasks: &mut Tasks) -> Instant {
    let mut state = shared.replica.state();
    let now = shared.clock.now();
    let mut observations = shared.observations();
    let mut decision = decide(&state, &observations, now);
    let mut pools = decide_pools(&state, &observations, now);
    if decision.propose.iter().chain(&pools.propose).any(is_move) {
        // A leader that has lost touch without knowing must not leave a move in its log, where a
        // later leader could commit it long after the verdict that it rests on. What is proposed is
        // what is decided once a quorum has answered.
        if let Err(error) = shared.replica.confirm_leadership(CONFIRM).await {
            warn!(%error, "a move is not proposed while no quorum confirms the leadership");
            return shared.clock.instant(now.mono) + AFTER_FAILURE;
        }
        state = shared.replica.state();
        observations = shared.observations();
        let now = shared.clock.now();
        decision = decide(&state, &observations, now);
        pools = decide_pools(&state, &observations, now);
    }
    let actions = pending_actions(&state);
    let (due, told, latest) = {
        let mut inner = shared.lock();
        inner.reasons = decision.reasons;
        inner.pool_reasons = pools.reasons;
        let Some(leading) = &inner.leading else { return shared.clock.instant(now.mono) + AFTER_FAILURE };
        let due = release::due(&state, &actions, &leading.table, &inner.holdings(), now.mono);
        let latest = earliest(
            [decision.next_wakeup, pools.next_wakeup, due.next_wakeup],
            now.mono.plus(AT_LEAST_EVERY),
        );
        let ways = heartbeats::due(&state, &inner.heard(), now);
        let told: Vec<_> = notice::due(&state, &inner.listed(), now).into_iter().chain(ways).collect();
        (due, told, latest)
    };
    tasks.acting.reconcile(&actions);
    tasks.fencing.reconcile(&actions);
    tasks.pools.reconcile(&pending_placings(&state));
    for body in due.propose.into_iter().chain(decision.propose).chain(pools.propose).chain(told) {
        if let Err(ProposeFailed::NotCommitted(error)) = proposer.propose(body).await {
            warn!(%error, "a decision could not be committed");
            return shared.clock.instant(now.mono) + AFTER_FAILURE;
        }
    }
    shared.clock.instant(latest.max(now.mono.plus(Duration::from_millis(1))))
}

fn is_move(body: &CommandBody) -> bool {
    matches!(
        body,
        CommandBody::StartOperation(_) | CommandBody::Pool(PoolCommand::TakeOut(_) | PoolCommand::PutIn(_))
    )
}

fn earliest(wakeups: [Option<Mono>; 3], at_most: Mono) -> Mono {
    wakeups.into_iter().flatten().fold(at_most, Mono::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::sync::Notify;

    fn leadership(term: u64, is_self: bool) -> Leadership {
        Leadership { term, is_self, ..Leadership::default() }
    }

    #[tokio::test]
    async fn a_leadership_lost_and_regained_unnoticed_is_led_anew() {
        let (sender, receiver) = watch::channel(leadership(3, true));
        let (led, begun, ends) = (Mutex::new(Vec::new()), Notify::new(), Mutex::new(0));
        let lead = |current: Leadership| {
            led.lock().unwrap().push(current.term);
            begun.notify_one();
            std::future::pending()
        };
        let story = async {
            begun.notified().await;
            // Both at once: the follower of the leadership sees the newer one alone.
            sender.send_replace(leadership(4, false));
            sender.send_replace(leadership(5, true));
            begun.notified().await;
            drop(sender);
        };
        let both = async { tokio::join!(each_term(receiver, lead, || *ends.lock().unwrap() += 1), story) };
        tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        assert_eq!((led.into_inner().unwrap(), ends.into_inner().unwrap()), (vec![3, 5], 2));
    }
}
