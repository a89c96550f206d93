//! What the log holds, in memory: where each entry is, and the newest ones themselves.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::raft::disk::DiskFile;
use crate::raft::types::{Entry, LogId, Vote};

/// Encoded bytes of entries kept decoded. Entries not yet on disk are kept beyond it.
const CACHE_BYTES: usize = 32 << 20;

/// Where an entry's envelope is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

#[derive(Clone)]
pub(super) struct Slot {
    pub(super) log_id: LogId,
    pub(super) length: u32,
    /// `None` until it is on disk; it is cached for as long.
    pub(super) place: Option<Place>,
    pub(super) cached: Option<Arc<Entry>>,
}

/// A segment with entries in it.
pub(super) struct Segment {
    pub(super) file: Arc<dyn DiskFile>,
    /// The highest index ever written to it, void or not.
    pub(super) last_index: Option<u64>,
}

/// Everything but the bytes.
#[derive(Default)]
pub(super) struct Index {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) segments: BTreeMap<u64, Segment>,
    slots: VecDeque<Slot>,
    cached_bytes: usize,
    /// Entries below this index are not cached.
    cached_from: u64,
}

impl Index {
    pub(super) fn first(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.log_id.index())
    }

    /// The newest entry, or the newest purged one.
    pub(super) fn last(&self) -> Option<LogId> {
        self.slots.back().map(|slot| slot.log_id).or(self.purged)
    }

    /// Adds the next entry. One at an index that is taken voids that one and all after it.
    pub(super) fn push(&mut self, slot: Slot) -> Result<(), String> {
        let index = slot.log_id.index();
        if self.purged.is_some_and(|purged| index <= purged.index()) {
            return Ok(());
        }
        if self.slots.back().is_some_and(|last| index <= last.log_id.index()) {
            self.truncate(index.checked_sub(1));
        }
        let expected = self.slots.back().map(|last| last.log_id.index() + 1);
        if expected.is_some_and(|expected| expected != index) {
            return Err(format!("entry {index} does not follow {:?}", self.last().map(|id| id.index())));
        }
        if slot.cached.is_some() {
            self.cached_bytes += slot.length as usize;
        }
        self.slots.push_back(slot);
        Ok(())
    }

    /// Voids everything after `last`.
    pub(super) fn truncate(&mut self, last: Option<u64>) {
        while self.slots.back().is_some_and(|slot| last.is_none_or(|last| slot.log_id.index() > last)) {
            self.drop_slot(VecDeque::pop_back);
        }
        self.cached_from = self.cached_from.min(last.map_or(0, |last| last + 1));
    }

    /// Forgets everything up to `upto`.
    pub(super) fn purge(&mut self, upto: LogId) {
        if self.purged >= Some(upto) {
            return;
        }
        self.purged = Some(upto);
        while self.slots.front().is_some_and(|slot| slot.log_id.index() <= upto.index()) {
            self.drop_slot(VecDeque::pop_front);
        }
    }

    fn drop_slot(&mut self, pop: fn(&mut VecDeque<Slot>) -> Option<Slot>) {
        if let Some(slot) = pop(&mut self.slots)
            && slot.cached.is_some()
        {
            self.cached_bytes = self.cached_bytes.saturating_sub(slot.length as usize);
        }
    }

    /// Notes that an entry is on disk, unless it was voided meanwhile.
    pub(super) fn placed(&mut self, log_id: LogId, place: Place) {
        let segment = self.segments.get_mut(&place.segment);
        if let Some(segment) = segment {
            segment.last_index = segment.last_index.max(Some(log_id.index()));
        }
        if let Some(position) = self.position(log_id.index())
            && let Some(slot) = self.slots.get_mut(position)
            && slot.log_id == log_id
        {
            slot.place = Some(place);
        }
        self.shrink_cache();
    }

    fn shrink_cache(&mut self) {
        let Some(first) = self.first() else { return };
        let mut at = self.cached_from.max(first);
        while self.cached_bytes > CACHE_BYTES {
            let Some(slot) = self.slots.get_mut((at - first) as usize) else { break };
            if slot.place.is_none() {
                break;
            }
            if slot.cached.take().is_some() {
                self.cached_bytes = self.cached_bytes.saturating_sub(slot.length as usize);
            }
            at += 1;
        }
        self.cached_from = at;
    }

    fn position(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.first()?)?).ok()
    }

    /// The slots of `range` that exist, and the files of those that are not cached.
    pub(super) fn slots(&self, range: RangeInclusive<u64>) -> Vec<(Slot, Option<Arc<dyn DiskFile>>)> {
        let Some(first) = self.first() else { return Vec::new() };
        let from = range.start().saturating_sub(first) as usize;
        if *range.end() < first {
            return Vec::new();
        }
        let count = (range.end() - first).saturating_add(1) as usize;
        self.slots
            .iter()
            .take(count)
            .skip(from)
            .map(|slot| {
                let place = slot.place.as_ref().filter(|_| slot.cached.is_none());
                let file = place.and_then(|place| self.segments.get(&place.segment)).map(|s| s.file.clone());
                (slot.clone(), file)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::raft::types::log_id;

    fn slot(term: u64, index: u64) -> Slot {
        let log_id = log_id(term, index);
        let entry = Entry { log_id, payload: EntryPayload::Blank };
        Slot { log_id, length: 100, place: None, cached: Some(Arc::new(entry)) }
    }

    fn held(index: &Index) -> Vec<(u64, u64)> {
        let ids = index.slots(0..=u64::MAX).into_iter().map(|(slot, _)| slot.log_id);
        ids.map(|id| (id.committed_leader_id().term, id.index())).collect()
    }

    #[test]
    fn entries_follow_each_other_without_a_hole() {
        let mut index = Index::default();
        for at in 3..6 {
            index.push(slot(1, at)).unwrap();
        }
        assert!(index.push(slot(1, 7)).is_err());
        index.push(slot(2, 4)).unwrap();
        assert_eq!(held(&index), [(1, 3), (2, 4)]);
        index.truncate(Some(3));
        assert_eq!(index.last(), Some(log_id(1, 3)));
        index.purge(log_id(1, 9));
        assert_eq!(index.last(), Some(log_id(1, 9)));
        assert_eq!(held(&index), []);
    }

    #[test]
    fn a_slot_voided_before_it_reached_the_disk_keeps_no_place() {
        let mut index = Index::default();
        index.push(slot(1, 1)).unwrap();
        index.truncate(None);
        index.push(slot(2, 1)).unwrap();
        index.placed(log_id(1, 1), Place { segment: 1, offset: 0 });
        assert!(index.slots(1..=1)[0].0.place.is_none());
        index.placed(log_id(2, 1), Place { segment: 1, offset: 50 });
        assert_eq!(index.slots(1..=1)[0].0.place.as_ref().unwrap().offset, 50);
    }
}
