//! Breadth first through everything that can happen. The first path to a broken promise is
//! therefore a shortest one.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Something whose every future can be listed.
pub trait Model {
    /// One instant of it. Equal states have equal futures.
    type State: Clone + Eq + Hash + Debug + 'static;
    /// What leads from one state to the next.
    type Step: Copy + Debug;

    /// Where it starts.
    fn first(&self) -> Self::State;

    /// Everything that may happen next, with what follows from it.
    fn successors(&self, state: &Self::State, into: &mut Vec<(Self::Step, Self::State)>);

    /// The promise that `after` breaks, or the step to it from `before`.
    fn broken(&self, before: &Self::State, after: &Self::State) -> Option<&'static str>;

    /// What has to be possible: a name, and whether this state shows that it is.
    fn goals(&self) -> &'static [Goal<Self::State>];
}

/// A name, and whether a state shows that it is possible.
pub type Goal<S> = (&'static str, fn(&S) -> bool);

/// The shortest way to a broken promise.
#[derive(Debug)]
pub struct Counterexample<M: Model> {
    /// Which promise.
    pub promise: &'static str,
    /// Each step, and the state after it.
    pub steps: Vec<(M::Step, M::State)>,
}

/// What an exploration found.
#[derive(Debug)]
pub struct Report<M: Model> {
    /// Different states seen.
    pub states: usize,
    /// Steps tried.
    pub steps: u64,
    /// Steps of the longest of the shortest paths.
    pub depth: u32,
    /// Whether every state within the bounds was seen.
    pub complete: bool,
    /// The broken promise, if there is one: the exploration ends there.
    pub counterexample: Option<Counterexample<M>>,
    /// Each goal, and after how many steps it was first reached.
    pub goals: Vec<(&'static str, Option<u32>)>,
}

struct Seen<M: Model> {
    /// In the order of discovery: those after the one that is looked at are the queue.
    states: Vec<(M::State, Origin<M::Step>)>,
    known: HashSet<M::State, BuildHasherDefault<Quick>>,
}

#[derive(Clone, Copy)]
struct Origin<S> {
    depth: u32,
    from: Option<(usize, S)>,
}

/// Explores until everything was seen, a promise is broken, or there are `limit` states.
pub fn explore<M: Model>(model: &M, limit: usize) -> Report<M> {
    let first = model.first();
    let mut seen = Seen::<M> { states: Vec::new(), known: HashSet::default() };
    let mut goals: Vec<_> = model.goals().iter().map(|(name, _)| (*name, None)).collect();
    let mut report_goals = |state: &M::State, depth| {
        for ((_, reached), (_, shows)) in goals.iter_mut().zip(model.goals()) {
            if reached.is_none() && shows(state) {
                *reached = Some(depth);
            }
        }
    };
    report_goals(&first, 0);
    seen.known.insert(first.clone());
    seen.states.push((first, Origin { depth: 0, from: None }));

    let (mut at, mut steps, mut counterexample) = (0, 0, None);
    let mut next = Vec::new();
    'all: while at < seen.states.len() && seen.states.len() < limit {
        let (state, Origin { depth, .. }) = seen.states[at].clone();
        model.successors(&state, &mut next);
        for (step, after) in next.drain(..) {
            steps += 1;
            if let Some(promise) = model.broken(&state, &after) {
                counterexample = Some(trace(&seen, promise, at, (step, after)));
                break 'all;
            }
            if !seen.known.insert(after.clone()) {
                continue;
            }
            report_goals(&after, depth + 1);
            seen.states.push((after, Origin { depth: depth + 1, from: Some((at, step)) }));
        }
        at += 1;
    }
    Report {
        states: seen.states.len(),
        steps,
        depth: seen.states.last().map_or(0, |(_, origin)| origin.depth),
        complete: counterexample.is_none() && at == seen.states.len(),
        counterexample,
        goals,
    }
}

fn trace<M: Model>(
    seen: &Seen<M>,
    promise: &'static str,
    before: usize,
    last: (M::Step, M::State),
) -> Counterexample<M> {
    let mut steps = vec![last];
    let mut at = before;
    while let (state, Origin { from: Some((from, step)), .. }) = &seen.states[at] {
        steps.push((*step, state.clone()));
        at = *from;
    }
    steps.reverse();
    Counterexample { promise, steps }
}

/// A hasher for states of many single bytes: the standard one spends most of an unoptimised
/// run on them. Equality decides, so a bad hash costs time and nothing else.
#[derive(Debug, Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        // The table takes its buckets from the low bits and its tags from the high ones.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u8(*byte);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
