//! The events to come, in the one order in which they happen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::clock::At;
use super::event::Event;

/// Events by time, and by the order of their making at the same time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: BinaryHeap<Reverse<(At, u64)>>,
    events: BTreeMap<u64, Event>,
    made: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: At, event: Event) {
        self.made += 1;
        self.order.push(Reverse((at, self.made)));
        self.events.insert(self.made, event);
    }

    pub(crate) fn pop(&mut self) -> Option<(At, Event)> {
        let Reverse((at, number)) = self.order.pop()?;
        self.events.remove(&number).map(|event| (at, event))
    }

    pub(crate) fn next_at(&self) -> Option<At> {
        self.order.peek().map(|Reverse((at, _))| *at)
    }
}
