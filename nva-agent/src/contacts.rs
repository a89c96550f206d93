//! Which coordinators answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, NodeId};
use coordinator_core::time::Mono;

/// Reports in a row that fail on this machine's own way before a peer is asked to relay them, if
/// the lease does not call for it sooner.
const FAILURES: u32 = 3;

/// What is known of one coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Whether the newest report was answered.
    pub reachable: bool,
    /// When one was answered last, on this machine's clock since boot.
    pub answered_at: Option<Mono>,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Why the newest report on this machine's own way was not answered.
    pub error: Option<String>,
    /// The peer that relays to it.
    pub via: Option<ApplianceName>,
}

/// A contact, and what tells whether the own way is lost.
#[derive(Debug, Clone, Default)]
struct Entry {
    contact: Contact,
    /// When a report on the own way was answered last.
    direct_at: Option<Mono>,
    /// In a row, on the own way.
    failures: u32,
}

/// All contacts, shared between the reporters and those who ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contacts {
    inner: Arc<Mutex<BTreeMap<NodeId, Entry>>>,
}

impl Contacts {
    pub(crate) fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let contacts = nodes.into_iter().map(|node| (node, Entry::default())).collect();
        Contacts { inner: Arc::new(Mutex::new(contacts)) }
    }

    /// Notes a reply on the own way; true when the coordinator was not reached there before.
    pub(crate) fn answered(&self, node: NodeId, now: Mono, leader: Option<NodeId>) -> bool {
        let mut entries = self.lock();
        let entry = entries.entry(node).or_default();
        let news = entry.direct_at.is_none() || entry.failures > 0;
        let via = entry.contact.via.take();
        let contact = Contact { reachable: true, answered_at: Some(now), leader, error: None, via };
        *entry = Entry { contact, direct_at: Some(now), failures: 0 };
        news
    }

    /// Notes a failure on the own way; true when it is news: the first, or the first after an
    /// answer.
    pub(crate) fn failed(&self, node: NodeId, error: &str) -> bool {
        let mut entries = self.lock();
        let entry = entries.entry(node).or_default();
        entry.failures = entry.failures.saturating_add(1);
        entry.contact.reachable = entry.contact.via.is_some();
        entry.contact.error.replace(error.to_owned()).is_none()
    }

    /// Notes a reply through a peer; true when it is the first one through that peer.
    pub(crate) fn relayed(
        &self,
        node: NodeId,
        now: Mono,
        leader: Option<NodeId>,
        via: &ApplianceName,
    ) -> bool {
        let mut entries = self.lock();
        let contact = &mut entries.entry(node).or_default().contact;
        (contact.reachable, contact.answered_at, contact.leader) = (true, Some(now), leader);
        contact.via.replace(via.clone()).as_ref() != Some(via)
    }

    /// Notes that the coordinator is not reached through a peer, or needs not be; true when it
    /// was.
    pub(crate) fn not_relayed(&self, node: NodeId) -> bool {
        let mut entries = self.lock();
        let entry = entries.entry(node).or_default();
        let was = entry.contact.via.take().is_some();
        entry.contact.reachable = entry.direct_at.is_some() && entry.failures == 0;
        was
    }

    /// Whether the own way is lost: several failures in a row, or no answer for longer than
    /// `patience` after the last one.
    pub(crate) fn way_is_lost(&self, node: NodeId, now: Mono, patience: Duration) -> bool {
        self.lock().get(&node).is_some_and(|entry| {
            let silent = entry.direct_at.is_some_and(|at| now.since(at) > patience);
            entry.failures >= FAILURES || silent
        })
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<NodeId, Contact> {
        self.lock().iter().map(|(node, entry)| (*node, entry.contact.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Entry>> {
        // Every write is one insertion: what a panicking thread left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    #[test]
    fn a_way_is_lost_after_failures_or_silence_and_found_by_one_answer() {
        let contacts = Contacts::new([NODE]);
        let lost = |now| contacts.way_is_lost(NODE, at(now), Duration::from_millis(250));
        assert!(!lost(0), "nothing is known yet");
        assert!(contacts.failed(NODE, "refused") && !contacts.failed(NODE, "refused"));
        assert!(!lost(10));
        contacts.failed(NODE, "refused");
        assert!(lost(10));
        assert!(contacts.answered(NODE, at(100), None));
        assert!(!lost(350) && lost(351), "a reply may be on its way for that long");
    }

    #[test]
    fn a_relayed_coordinator_is_reachable_until_it_is_not() {
        let contacts = Contacts::new([NODE]);
        let peer = ApplianceName::new("fw-b").unwrap();
        let now = || contacts.snapshot()[&NODE].clone();
        contacts.failed(NODE, "no route");
        assert!(contacts.relayed(NODE, at(5), Some(NODE), &peer));
        assert!(!contacts.relayed(NODE, at(6), Some(NODE), &peer));
        contacts.failed(NODE, "no route");
        assert!(now().reachable && now().via == Some(peer) && now().error.is_some());
        assert!(contacts.not_relayed(NODE) && !contacts.not_relayed(NODE));
        assert!(!now().reachable && now().via.is_none());
    }
}
