//! Which coordinators answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coordinator_core::ids::NodeId;
use coordinator_core::time::Mono;

/// What is known of one coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Whether the newest report was answered.
    pub reachable: bool,
    /// When one was answered last, on this machine's clock since boot.
    pub answered_at: Option<Mono>,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Why the newest report was not answered.
    pub error: Option<String>,
}

/// All contacts, shared between the reporters and those who ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contacts {
    inner: Arc<Mutex<BTreeMap<NodeId, Contact>>>,
}

impl Contacts {
    pub(crate) fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let contacts = nodes.into_iter().map(|node| (node, Contact::default())).collect();
        Contacts { inner: Arc::new(Mutex::new(contacts)) }
    }

    /// Notes a reply; true when the coordinator was not reachable before.
    pub(crate) fn answered(&self, node: NodeId, now: Mono, leader: Option<NodeId>) -> bool {
        let new = Contact { reachable: true, answered_at: Some(now), leader, error: None };
        !self.lock().insert(node, new).is_some_and(|old| old.reachable)
    }

    /// Notes a failure; true when it is news: the first, or the first after an answer.
    pub(crate) fn failed(&self, node: NodeId, error: &str) -> bool {
        let mut contacts = self.lock();
        let contact = contacts.entry(node).or_default();
        let news = contact.reachable || contact.error.is_none();
        contact.reachable = false;
        contact.error = Some(error.to_owned());
        news
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<NodeId, Contact> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Contact>> {
        // Every write is one insertion: what a panicking thread left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
