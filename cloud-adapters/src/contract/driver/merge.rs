//! Changes of several jobs to one resource become one write.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::ids::Token;

use crate::contract::{Actual, Change};

/// The documents as the changes planned so far leave them: what the next job plans on.
#[derive(Default)]
pub(super) struct Overlay {
    by_resource: BTreeMap<String, (serde_json::Value, Token)>,
}

impl Overlay {
    /// What was read, with the planned changes in it.
    pub(super) fn over(&self, actual: &Actual) -> Actual {
        let mut actual = actual.clone();
        for seen in &mut actual.resources {
            if let Some((document, token)) = self.by_resource.get(&seen.id) {
                seen.document.clone_from(document);
                seen.token = seen.token.max(Some(*token));
            }
        }
        actual
    }

    /// Takes in a planned change.
    pub(super) fn put(&mut self, change: &Change, token: Token) {
        self.by_resource.insert(change.resource.clone(), (change.document.clone(), token));
    }
}

/// One write, and the jobs that it is for.
pub(super) type Write = (Change, Vec<usize>);

/// What is to be written: in layers, of which each rests on those before it; in all of them
/// together each resource at most once.
#[derive(Default)]
pub(super) struct Merged {
    writes: BTreeMap<String, (usize, Write)>,
    jobs: BTreeSet<usize>,
}

impl Merged {
    /// The layer in which a change to `resource` can be made that may not come before `layer`;
    /// `None` when the resource is written before that already.
    pub(super) fn place(&self, resource: &str, layer: usize) -> Option<usize> {
        match self.writes.get(resource) {
            Some((written, _)) => (*written >= layer).then_some(*written),
            None => Some(layer),
        }
    }

    /// Adds a change of job `at`. It holds all earlier changes to the same resource: it was
    /// planned on an [`Overlay`] with them.
    pub(super) fn add(&mut self, layer: usize, at: usize, change: Change) {
        self.jobs.insert(at);
        match self.writes.get_mut(&change.resource) {
            Some((_, (earlier, jobs))) => {
                earlier.attempt = format!("{}, and {}", earlier.attempt, change.attempt);
                earlier.document = change.document;
                jobs.push(at);
            }
            None => {
                self.writes.insert(change.resource.clone(), (layer, (change, vec![at])));
            }
        }
    }

    /// Whether any of these resources is about to be written.
    pub(super) fn touches(&self, actual: &Actual) -> bool {
        actual.resources.iter().any(|seen| self.writes.contains_key(&seen.id))
    }

    /// Everybody who takes part.
    pub(super) fn jobs(&self) -> impl Iterator<Item = usize> + '_ {
        self.jobs.iter().copied()
    }

    /// The writes, layer by layer.
    pub(super) fn take_layers(&mut self) -> Vec<Vec<Write>> {
        let mut layers: BTreeMap<usize, Vec<Write>> = BTreeMap::new();
        for (layer, write) in std::mem::take(&mut self.writes).into_values() {
            layers.entry(layer).or_default().push(write);
        }
        layers.into_values().collect()
    }
}
