//! What must be in the write-ahead log.

use std::collections::BTreeMap;

use coordinator::raft::types::{Entry, LogId, Membership, Peer, Vote, log_id};
use coordinator::raft::wal::Wal;
use openraft::EntryPayload;
use openraft::storage::{RaftLogReader as _, RaftLogStorage as _};

/// One record of the log, in the order of writing.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Vote(Vote),
    Entry(Box<Entry>),
    Truncate(LogId),
    Purge(LogId),
}

/// What a log holds after some records.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Content {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
    pub(super) entries: Vec<Entry>,
}

impl Content {
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(*vote),
            Record::Entry(entry) => self.entries.push((**entry).clone()),
            Record::Truncate(last) => self.entries.retain(|entry| entry.log_id.index() <= last.index()),
            Record::Purge(upto) => {
                self.purged = Some(*upto);
                self.entries.retain(|entry| entry.log_id.index() > upto.index());
            }
        }
    }

    pub(super) fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.log_id).or(self.purged)
    }

    /// In a few words.
    pub(super) fn brief(&self) -> String {
        let vote = self.vote.map(|vote| vote.to_string()).unwrap_or_default();
        let index = |id: Option<LogId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        format!(
            "vote {vote}, purged {}, {} entries up to {}",
            index(self.purged),
            self.entries.len(),
            index(self.last())
        )
    }

    /// What an open log holds.
    pub(super) async fn of(wal: &mut Wal) -> std::io::Result<Content> {
        let purged = wal.get_log_state().await?.last_purged_log_id;
        Ok(Content { vote: wal.read_vote().await?, purged, entries: wal.try_get_log_entries(..).await? })
    }
}

/// An entry of about `size` bytes.
pub(super) fn entry(term: u64, index: u64, size: usize) -> Entry {
    let nodes = BTreeMap::from([(1, Peer { address: "x".repeat(size) })]);
    let membership = Membership::new_with_defaults(vec![[1].into()], []);
    let membership = Membership::new(vec![[1].into()], nodes).unwrap_or(membership);
    Entry { log_id: log_id(term, index), payload: EntryPayload::Membership(membership) }
}
