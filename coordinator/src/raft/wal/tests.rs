//! Power losses, damaged files, full disks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader as _, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::frame::PAGE;
use super::memory::MemoryDisk;
use super::{Wal, WalError, segment};
use crate::raft::StorageHealth;
use crate::raft::types::{Entry, LogId, Membership, Peer, TypeConfig, Vote, log_id};

/// Small, so that tests go through many.
const SEGMENT: u64 = 64 << 10;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let disk = MemoryDisk::default();
    let mut wal = open(&disk).unwrap();
    wal.save_vote(&Vote::new_committed(3, 2)).await.unwrap();
    append(&mut wal, (0..400).map(|index| entry(3, index, 300))).await.unwrap();
    wal.truncate_after(Some(log_id(3, 349))).await.unwrap();
    append(&mut wal, [entry(4, 350, 10)]).await.unwrap();
    wal.save_committed(Some(log_id(3, 340))).await.unwrap();
    wal.close().await;

    let mut wal = open(&disk).unwrap();
    assert_eq!(wal.read_vote().await.unwrap(), Some(Vote::new_committed(3, 2)));
    assert_eq!(wal.read_committed().await.unwrap(), Some(log_id(3, 340)));
    let entries = wal.try_get_log_entries(..).await.unwrap();
    assert_eq!(entries.len(), 351);
    assert_eq!(entries[350], entry(4, 350, 10));
    assert_eq!(entries[349], entry(3, 349, 300));
}

#[tokio::test]
async fn a_purge_removes_segments_and_keeps_vote_and_position() {
    let disk = MemoryDisk::default();
    let mut wal = open(&disk).unwrap();
    wal.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
    append(&mut wal, (0..1000).map(|index| entry(1, index, 300))).await.unwrap();
    let before = crate::raft::disk::Disk::list(&disk).unwrap().len();
    wal.purge(log_id(1, 990)).await.unwrap();
    let after = crate::raft::disk::Disk::list(&disk).unwrap();
    assert!(before > 4 && after.len() <= 4, "{before} files, then {after:?}");
    wal.close().await;

    let mut wal = open(&disk).unwrap();
    let state = wal.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 990)), Some(log_id(1, 999))));
    assert_eq!(wal.read_vote().await.unwrap(), Some(Vote::new_committed(1, 1)));
    assert_eq!(wal.try_get_log_entries(..).await.unwrap().len(), 9);
}

#[tokio::test]
async fn a_power_loss_at_any_moment_loses_nothing_acknowledged() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut disk = MemoryDisk::default();
        let mut model = Model::default();
        for round in 0..4 {
            let mut wal = open(&disk).unwrap_or_else(|error| panic!("seed {seed}, round {round}: {error}"));
            model.check(&mut wal, seed).await;
            for _ in 0..rng.random_range(1..12) {
                model.step(&mut wal, &mut rng).await;
            }
            // One more write is under way while the power goes.
            let next = model.last + 1;
            let size = rng.random_range(1..3000);
            let (callback, _unheard) = flushed();
            wal.append([entry(model.term, next, size)], callback).await.unwrap();
            if rng.random_bool(0.5) {
                tokio::time::sleep(Duration::from_micros(rng.random_range(0..300))).await;
            }
            model.maybe = Some(entry(model.term, next, size));
            disk = disk.lose_power(rng.random());
        }
    }
}

/// What must be in the log.
struct Model {
    term: u64,
    last: u64,
    entries: Vec<Entry>,
    /// Never acknowledged: may be there or not.
    maybe: Option<Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
}

impl Default for Model {
    fn default() -> Self {
        let first = entry(0, 0, 1);
        Self { term: 1, last: 0, entries: Vec::from([first]), maybe: None, purged: None, vote: None }
    }
}

impl Model {
    async fn step(&mut self, wal: &mut Wal, rng: &mut StdRng) {
        match rng.random_range(0..10) {
            0 => {
                self.term += 1;
                let vote = Vote::new(self.term, 1);
                wal.save_vote(&vote).await.unwrap();
                self.vote = Some(vote);
            }
            1 if self.entries.len() > 2 => {
                let keep = rng.random_range(1..self.entries.len());
                self.entries.truncate(keep);
                let last = self.entries[keep - 1].log_id;
                wal.truncate_after(Some(last)).await.unwrap();
                self.last = last.index();
            }
            2 if self.entries.len() > 40 => {
                let upto = self.entries[rng.random_range(0..30)].log_id;
                wal.purge(upto).await.unwrap();
                self.entries.retain(|entry| entry.log_id.index() > upto.index());
                self.purged = Some(upto);
            }
            _ => {
                let count = rng.random_range(1..20);
                let new: Vec<_> =
                    (1..=count).map(|i| entry(self.term, self.last + i, rng.random_range(1..2000))).collect();
                append(wal, new.clone()).await.unwrap();
                self.entries.extend(new);
                self.last += count;
            }
        }
    }

    async fn check(&mut self, wal: &mut Wal, seed: u64) {
        if wal.is_pristine() {
            append(wal, self.entries.clone()).await.unwrap();
        }
        assert_eq!(wal.read_vote().await.unwrap(), self.vote, "seed {seed}");
        assert_eq!(wal.get_log_state().await.unwrap().last_purged_log_id, self.purged, "seed {seed}");
        let found = wal.try_get_log_entries(..).await.unwrap();
        if found.len() > self.entries.len() {
            self.entries.extend(self.maybe.take());
            self.last += 1;
        }
        assert!(
            found == self.entries,
            "seed {seed}: {} entries, {} expected",
            found.len(),
            self.entries.len()
        );
    }
}

#[tokio::test]
async fn an_unfinished_batch_that_was_never_acknowledged_is_cut() {
    let (disk, end) = three_batches().await;
    // The next batch, torn: its header and half of what follows.
    let (torn, _) = super::frame::BatchHeader::encode(99, 7, 7, 1, &[0xAB; 2000]);
    disk.edit(&segment::name(1), |bytes| bytes[end..end + 1000].copy_from_slice(&torn[..1000]));
    let mut wal = open(&disk).unwrap();
    assert_eq!(wal.try_get_log_entries(..).await.unwrap().len(), 3);
    append(&mut wal, [entry(1, 3, 10)]).await.unwrap();
    wal.close().await;
    assert_eq!(open(&disk).unwrap().try_get_log_entries(..).await.unwrap().len(), 4);
}

#[tokio::test]
async fn any_flipped_bit_in_an_acknowledged_batch_refuses_to_start() {
    let (disk, end) = three_batches().await;
    let name = segment::name(1);
    let good = disk.bytes(&name);
    for at in (PAGE as usize..end).step_by(7) {
        // The padding behind a batch belongs to none.
        let mut changed = good.clone();
        changed[at] ^= 0x10;
        disk.edit(&name, |bytes| *bytes = changed);
        match open(&disk) {
            Err(WalError::Damaged { file, offset, .. }) => {
                assert!(file.ends_with(&name));
                assert!(offset <= at as u64, "{offset} for {at}");
            }
            Err(other) => panic!("byte {at}: {other}"),
            Ok(mut wal) => assert_eq!(wal.try_get_log_entries(..).await.unwrap().len(), 3, "byte {at}"),
        }
        disk.edit(&name, |bytes| *bytes = good.clone());
    }
}

#[tokio::test]
async fn the_newest_acknowledged_batch_is_not_taken_for_an_unfinished_one() {
    let (disk, end) = three_batches().await;
    disk.edit(&segment::name(1), |bytes| bytes[end - 30] ^= 1);
    let error = open(&disk).err().unwrap().to_string();
    assert!(error.contains("was synced and acknowledged") && error.contains("000000000001.seg"), "{error}");
}

#[tokio::test]
async fn damaged_or_missing_files_refuse_to_start() {
    for file in [segment::name(1), segment::name(2), "synced".to_owned()] {
        for (how, truncate) in [("truncated", true), ("missing", false)] {
            let disk = MemoryDisk::default();
            let mut wal = open(&disk).unwrap();
            for index in 0..200 {
                append(&mut wal, [entry(1, index, 600)]).await.unwrap();
            }
            wal.close().await;
            if truncate {
                disk.edit(&file, |bytes| bytes.truncate(bytes.len() - 100));
            } else {
                disk.delete(&file);
            }
            let error = open(&disk).err();
            assert!(matches!(error, Some(WalError::Damaged { .. })), "{file} {how}: {error:?}");
        }
    }
    let (disk, _) = three_batches().await;
    disk.edit(&segment::name(1), |bytes| bytes[20] ^= 1);
    assert!(matches!(open(&disk), Err(WalError::Damaged { offset: 0, .. })));
}

#[tokio::test]
async fn a_disk_that_stops_answering_is_found_out_without_any_work() {
    let disk = MemoryDisk::default();
    let mut wal = open(&disk).unwrap();
    append(&mut wal, [entry(1, 0, 10)]).await.unwrap();
    assert_eq!(wal.health().borrow().clone(), StorageHealth::Ok);
    disk.hang(true);
    let found_out = async {
        while wal.busy_for() < Duration::from_millis(200) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found_out).await.unwrap();
    disk.hang(false);
    append(&mut wal, [entry(1, 1, 10)]).await.unwrap();
    assert!(wal.busy_for() < Duration::from_millis(200), "still hanging");
    assert_eq!(wal.try_get_log_entries(..).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_full_disk_is_reported_before_the_log_runs_out_and_loses_nothing() {
    let disk = MemoryDisk::default();
    let mut wal = open(&disk).unwrap();
    append(&mut wal, [entry(1, 0, 10)]).await.unwrap();
    disk.set_capacity(Some(disk.used().max(3 * SEGMENT)));
    let mut health = wal.health();
    let mut index = 1;
    while *health.borrow_and_update() == StorageHealth::Ok {
        append(&mut wal, [entry(1, index, 500)]).await.unwrap();
        index += 1;
        assert!(index < 10_000, "the log never noticed");
    }
    // Votes still find room, and so do a few entries that were under way.
    wal.save_vote(&Vote::new(9, 1)).await.unwrap();
    append(&mut wal, [entry(1, index, 500)]).await.unwrap();
    disk.set_capacity(None);
    let recovered = health.wait_for(|health| *health == StorageHealth::Ok);
    tokio::time::timeout(Duration::from_secs(5), recovered).await.unwrap().unwrap();
    wal.close().await;
    let mut wal = open(&disk).unwrap();
    assert_eq!(wal.try_get_log_entries(..).await.unwrap().len() as u64, index + 1);
    assert_eq!(wal.read_vote().await.unwrap(), Some(Vote::new(9, 1)));
}

#[tokio::test]
async fn a_log_that_ran_out_of_space_keeps_what_it_has() {
    let disk = MemoryDisk::default();
    let mut wal = open(&disk).unwrap();
    let mut acknowledged = 0;
    disk.set_capacity(Some(SEGMENT + (32 << 10)));
    let error = loop {
        match append(&mut wal, [entry(1, acknowledged, 500)]).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    assert!(matches!(*wal.health().borrow(), StorageHealth::Failed { .. }));
    wal.close().await;
    disk.set_capacity(None);
    assert_eq!(open(&disk).unwrap().try_get_log_entries(..).await.unwrap().len() as u64, acknowledged);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let disk = MemoryDisk::default();
    let mut wal = open(&disk).unwrap();
    append(&mut wal, [entry(1, 0, 10)]).await.unwrap();
    disk.fail_syncs();
    assert!(append(&mut wal, [entry(1, 1, 10)]).await.is_err());
    assert!(wal.save_vote(&Vote::new(2, 1)).await.is_err());
    assert!(matches!(*wal.health().borrow(), StorageHealth::Failed { .. }));
}

#[tokio::test]
async fn entries_beyond_the_cache_are_read_from_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let mut wal = Wal::open(root.path().to_owned()).unwrap();
    for start in (0..60).step_by(10) {
        append(&mut wal, (start..start + 10).map(|index| entry(1, index, 800_000))).await.unwrap();
    }
    let found = wal.try_get_log_entries(0..3).await.unwrap();
    assert!(found == [entry(1, 0, 800_000), entry(1, 1, 800_000), entry(1, 2, 800_000)]);
    assert_eq!(wal.limited_get_log_entries(0, 60).await.unwrap().len(), 2);
    wal.close().await;
    assert_eq!(Wal::open(root.path().to_owned()).unwrap().last(), Some(log_id(1, 59)));
}

/// A log with three batches of one entry each, and where they end.
async fn three_batches() -> (MemoryDisk, usize) {
    let disk = MemoryDisk::default();
    let mut wal = open(&disk).unwrap();
    for index in 0..3 {
        append(&mut wal, [entry(1, index, 200)]).await.unwrap();
    }
    wal.close().await;
    let bytes = disk.bytes(&segment::name(1));
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (disk, end.next_multiple_of(16))
}

fn open(disk: &MemoryDisk) -> Result<Wal, WalError> {
    Wal::open_on(Arc::new(disk.clone()), SEGMENT)
}

fn flushed() -> (IOFlushed<TypeConfig>, tokio::sync::oneshot::Receiver<io::Result<()>>) {
    let (heard, outcome) = tokio::sync::oneshot::channel();
    let (tx, rx) = TypeConfig::oneshot::<io::Result<()>>();
    tokio::spawn(async move {
        let _ = heard.send(rx.await.unwrap_or_else(|_| Err(io::Error::other("no answer"))));
    });
    (IOFlushed::signal(tx), outcome)
}

async fn append(
    wal: &mut Wal,
    entries: impl IntoIterator<Item = Entry, IntoIter: Send> + Send,
) -> io::Result<()> {
    let (callback, outcome) = flushed();
    wal.append(entries, callback).await?;
    outcome.await.unwrap()
}

/// An entry of about `size` bytes.
fn entry(term: u64, index: u64, size: usize) -> Entry {
    let address = "x".repeat(size);
    let members = Membership::new_with_defaults(vec![[1].into()], []);
    let nodes = members
        .nodes()
        .map(|(id, _)| (*id, Peer { address: address.clone() }))
        .collect::<std::collections::BTreeMap<_, _>>();
    let membership = Membership::new(vec![[1].into()], nodes).unwrap();
    Entry { log_id: log_id(term, index), payload: EntryPayload::Membership(membership) }
}
