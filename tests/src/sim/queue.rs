//! The events to come, in the one order in which they happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::At;
use super::event::Event;

/// Events by time, and by the order of their making at the same time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// When, the how-many-th made, and where it lies: what is moved about is small.
    order: BinaryHeap<Reverse<(At, u64, usize)>>,
    places: Vec<Option<Event>>,
    free: Vec<usize>,
    made: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: At, event: Event) {
        self.made += 1;
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        };
        self.places[place] = Some(event);
        self.order.push(Reverse((at, self.made, place)));
    }

    pub(crate) fn pop(&mut self) -> Option<(At, Event)> {
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.places[place].take().map(|event| (at, event))
    }

    pub(crate) fn next_at(&self) -> Option<At> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }
}
