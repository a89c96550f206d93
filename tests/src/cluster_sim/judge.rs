//! What must never be. The judge sees every node and every client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::raft::HistoryQuery;
use coordinator_core::event::{Event, EventBody};
use coordinator_core::state::State;

use super::NODES;
use super::world::World;

/// States kept for comparing: a node may be far behind.
const KEPT_STATES: usize = 5_000;

/// An invariant that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

/// What is known to be true.
#[derive(Default)]
pub(super) struct Judge {
    /// By log index: the first state seen there, and on which node.
    states: BTreeMap<u64, (u64, Arc<State>)>,
    /// By log index and place: the event, as first seen.
    events: BTreeMap<(u64, u32), Arc<Event>>,
    /// By log index: what a client was told that stands there.
    acknowledged: BTreeMap<u64, String>,
    /// By term: who led, and when that was first seen.
    leaders: BTreeMap<u64, (u64, Duration)>,
    reads: u64,
    /// The highest index below which a node's log was dropped.
    pub(super) purged: u64,
}

type Verdict = Result<(), (&'static str, String)>;

impl Judge {
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        (self.acknowledged.len() as u64, self.reads, self.leaders.len() as u64)
    }

    pub(super) fn newest_acknowledged(&self) -> u64 {
        self.acknowledged.keys().next_back().copied().unwrap_or_default()
    }

    /// Every node is in the same state at the same index, and tokens never go back along the log.
    pub(super) fn state(&mut self, node: u64, index: u64, state: &Arc<State>) -> Verdict {
        if let Some((other, known)) = self.states.get(&index) {
            if **known != **state {
                return Err(("replicas-agree", format!("nodes {other} and {node} differ at index {index}")));
            }
            return Ok(());
        }
        let before = self.states.range(..index).next_back().map(|(at, (_, state))| (*at, state));
        let after = self.states.range(index + 1..).next().map(|(at, (_, state))| (*at, state));
        let here = (index, state);
        for ((low, earlier), (high, later)) in [(before, Some(here)), (Some(here), after)]
            .into_iter()
            .filter_map(|(earlier, later)| Some((earlier?, later?)))
        {
            for (name, group) in &earlier.groups {
                if later.groups.get(name).is_some_and(|now| now.token < group.token) {
                    return Err((
                        "tokens-rise",
                        format!("{name} at index {high} has a lower token than at {low}"),
                    ));
                }
            }
        }
        self.states.insert(index, (node, state.clone()));
        if self.states.len() > KEPT_STATES {
            self.states.pop_first();
        }
        Ok(())
    }

    /// Events are the same on every node, and what was acknowledged is where it was said to be.
    pub(super) fn event(&mut self, node: u64, event: &Arc<Event>) -> Verdict {
        let at = (event.index, event.seq);
        let known = self.events.entry(at).or_insert_with(|| event.clone());
        if known != event {
            return Err(("replicas-agree", format!("node {node} has another event at {at:?}")));
        }
        match (self.acknowledged.get(&event.index), id_of(event)) {
            (Some(told), Some(found)) if told != found => Err((
                "acknowledged-survive",
                format!("{told} was acknowledged at index {}, where node {node} has {found}", event.index),
            )),
            _ => Ok(()),
        }
    }

    /// A client was told that its command is in the log.
    pub(super) fn acknowledge(&mut self, id: &str, events: &[Event]) -> Verdict {
        let Some(event) = events.iter().find(|event| id_of(event) == Some(id)) else {
            return Err(("acknowledged-survive", format!("the answer to {id} is about something else")));
        };
        let index = event.index;
        if let Some(other) = self.acknowledged.insert(index, id.to_owned()) {
            return Err((
                "acknowledged-survive",
                format!("{other} and {id} were both acknowledged at {index}"),
            ));
        }
        match self.events.range((index, 0)..=(index, u32::MAX)).find_map(|(_, event)| id_of(event)) {
            Some(found) if found != id => Err((
                "acknowledged-survive",
                format!("{id} was acknowledged at {index}, where {found} stands"),
            )),
            _ => Ok(()),
        }
    }

    /// A read that was said to be linearizable shows all that was acknowledged before it began.
    pub(super) fn read(&mut self, node: u64, index: u64, at_least: u64) -> Verdict {
        self.reads += 1;
        if index >= at_least {
            return Ok(());
        }
        Err((
            "reads-are-fresh",
            format!("node {node} answered at index {index}; {at_least} was acknowledged before"),
        ))
    }

    /// A term has at most one leader.
    pub(super) fn leader(&mut self, node: u64, term: u64, now: Duration) -> Verdict {
        let (first, _) = *self.leaders.entry(term).or_insert((node, now));
        if first == node {
            return Ok(());
        }
        Err(("one-leader-per-term", format!("nodes {first} and {node} both led in term {term}")))
    }

    /// When a quorum acknowledged a leader, no later leader had been elected: leases rest on it.
    pub(super) fn quorum(&self, node: u64, term: u64, acked_at: Duration) -> Verdict {
        match self.leaders.range(term + 1..).next() {
            Some((later, (other, seen))) if acked_at > *seen => Err((
                "quorum-before-election",
                format!(
                    "node {node} counts a quorum at {acked_at:?} in term {term}; node {other} led in term {later} at {seen:?}"
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// The client's own name for its command.
fn id_of(event: &Event) -> Option<&str> {
    match &event.body {
        EventBody::MaintenanceSet { reason, .. } | EventBody::OperationStarted { reason, .. } => Some(reason),
        _ => None,
    }
}

impl World {
    /// Notes a verdict.
    pub(super) fn rule(&self, verdict: Verdict) {
        if let Err((invariant, what)) = verdict {
            self.violated(invariant, what);
        }
    }

    /// Every node has everything, in the same order.
    pub(super) async fn judge_the_end(&self) {
        for id in NODES {
            let Some(replica) = self.replica(id) else { continue };
            let history = match replica.history(HistoryQuery::default()).await {
                Ok(history) => history,
                Err(error) => {
                    return self.violated("replicas-agree", format!("node {id} has no history: {error}"));
                }
            };
            let oldest = history.last().map_or(0, |event| event.index);
            let newest = history.first().map_or(0, |event| event.index);
            let mut core = self.core();
            let judge = &mut core.judge;
            judge.purged = judge.purged.max(replica.status().purged.unwrap_or_default());
            let found: BTreeMap<u64, &str> =
                history.iter().filter_map(|event| Some((event.index, id_of(event)?))).collect();
            let lost = judge.acknowledged.iter().find(|(index, told)| {
                (oldest + 1..).contains(index) && found.get(index).copied() != Some(told.as_str())
            });
            let lost =
                lost.map(|(index, told)| format!("{told}, acknowledged at {index}, is not on node {id}"));
            core.fold(format!("{id} {newest} {history:?}").as_bytes());
            lost.into_iter().for_each(|lost| core.break_rule("acknowledged-survive", lost));
        }
    }
}
