//! The log and the state machine on a real disk, put through openraft's own suite.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;

use coordinator::raft::disk::OsDisk;
use coordinator::raft::snapshot::SnapshotDir;
use coordinator::raft::state_machine::StateMachine;
use coordinator::raft::store::Store;
use coordinator::raft::types::TypeConfig;
use coordinator::raft::wal::Wal;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

struct OnDisk;

impl StoreBuilder<TypeConfig, Wal, StateMachine, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, Wal, StateMachine), StorageError<TypeConfig>> {
        let root = tempfile::tempdir().unwrap();
        let (wal, machine) = open(root.path());
        Ok((root, wal, machine))
    }
}

fn open(root: &Path) -> (Wal, StateMachine) {
    for dir in ["wal", "snapshots"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    let (store, state, meta) = Store::open(&root.join("state"), 100).unwrap();
    let snapshots = SnapshotDir::open(root.join("snapshots")).unwrap();
    // Small segments: the suite opens some sixty logs.
    let wal = Wal::open_on(Arc::new(OsDisk::new(root.join("wal"))), 256 << 10).unwrap();
    (wal, StateMachine::new(store, snapshots, state, meta))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_storage_suite_passes() {
    Suite::test_all(OnDisk).await.unwrap();
}
