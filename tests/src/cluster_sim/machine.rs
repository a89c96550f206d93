//! One node's machine: its disks, and the process that runs on it, for one life after the other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use coordinator::raft::{Ground, RaftTimings, Replica, ReplicaOptions, Simulated, server};
use coordinator_core::ids::NodeId;
use rand::RngExt as _;
use tokio::time::Instant;

use super::wire::Wire;
use super::world::World;
use super::{Mutation, NODES, observe};
use crate::disk::{Fault, Loss, Platter, SimDisk};

/// Small, so that a run goes through many segments and snapshots.
const SEGMENT: u64 = 64 << 10;
const SNAPSHOT_EVERY: u64 = 150;
const KEEP_BEHIND: u64 = 40;

/// A machine and what runs on it.
pub(super) struct Machine {
    /// Rises with every start and every end of the process.
    pub(super) life: u64,
    pub(super) replica: Option<Replica>,
    pub(super) router: Option<Router>,
    /// Messages and syncs wait until then.
    pub(super) still_until: Option<Instant>,
    /// An operator stops it.
    pub(super) stopping: bool,
    /// How long the sync of a batch takes, in microseconds: at least and at most.
    pub(super) slow: (u64, u64),
    log: SimDisk,
    snapshots: SimDisk,
    /// What is in the data directory besides: copied at every start, since sled's part of it does
    /// not last by itself.
    base: PathBuf,
    /// The log as it was when the process started.
    earlier: Platter,
}

impl Machine {
    pub(super) fn new(root: &Path, id: u64) -> Machine {
        Machine {
            life: 0,
            replica: None,
            router: None,
            still_until: None,
            stopping: false,
            slow: (100, 1_500),
            log: SimDisk::new(Platter::default()),
            snapshots: SimDisk::new(Platter::default()),
            base: root.join(format!("{id}-base")),
            earlier: Platter::default(),
        }
    }

    fn is_faulty(&self) -> bool {
        matches!(self.log.fault(), Some(Fault::Broken | Fault::Full))
    }

    /// What is wrong with its disk from now on.
    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        self.log.set_fault(fault);
        self.snapshots.set_fault(fault);
    }
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything that was written is there.
    Killed,
    /// Only what was synced is certain.
    PowerLost(Loss),
}

impl World {
    pub(super) fn replica(&self, id: u64) -> Option<Replica> {
        self.core().nodes.get(&id).and_then(|node| node.replica.clone())
    }

    pub(super) fn is_down(&self, id: u64) -> bool {
        self.core().nodes.get(&id).is_none_or(|node| node.replica.is_none())
    }

    /// Starts a node's process on what is on its disks.
    pub(super) async fn start(self: &Arc<Self>, id: u64) {
        let (options, life) = match self.prepare(id) {
            Ok(prepared) => prepared,
            Err(error) => return self.violated("starts", format!("node {id}: no directory: {error}")),
        };
        self.line(format_args!("node {id} starts"));
        let started = Box::pin(Replica::start(options)).await;
        let replica = match started {
            Ok(replica) => replica,
            Err(_) if self.core().nodes.get(&id).is_some_and(Machine::is_faulty) => {
                self.line(format_args!("node {id} does not start over its disk"));
                return self.start_later(id, Duration::from_millis(300));
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                return self.violated("starts", format!("node {id} does not start: {error}: {cause}"));
            }
        };
        let mut core = self.core();
        let Some(node) = core.nodes.get_mut(&id) else { return };
        if node.life != life {
            // It ended while it started.
            drop(core);
            tokio::spawn(async move { replica.shutdown().await });
            return;
        }
        node.router = Some(server::router(replica.clone()));
        node.replica = Some(replica.clone());
        if self.mutated(Mutation::AckBeforeSync) {
            node.log.set_fault(Some(Fault::AcknowledgesBeforeSync));
        }
        drop(core);
        tokio::spawn(observe::run(self.clone(), id, life, replica));
    }

    fn prepare(self: &Arc<Self>, id: u64) -> io::Result<(ReplicaOptions, u64)> {
        let world = self.clone();
        let mut core = self.core();
        let new_log = core.chance.random();
        let node = core.nodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        node.life += 1;
        node.stopping = false;
        node.earlier = node.log.platter();
        node.log.set_pace(move || {
            let mut core = world.core();
            let slow = core.nodes.get(&id).map_or((0, 0), |node| node.slow);
            let still = core.nodes.get(&id).and_then(|node| node.still_until);
            let wait = still.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
            wait + core.span(slow.0, slow.1)
        });
        let dir = self.root.join(format!("{id}-life-{}", node.life));
        copy(&node.base, &dir)?;
        let wire = Wire { world: self.clone(), from: id, life: node.life };
        let members = NODES.into_iter().map(|id| (NodeId(id), format!("node-{id}:1"))).collect();
        let mut options = ReplicaOptions::new(NodeId(id), "simulated", dir, members, wire);
        options.timings = RaftTimings::default();
        options.ground = Ground::Simulated(Simulated {
            log: Arc::new(node.log.clone()),
            segment_size: SEGMENT,
            new_log,
            snapshots: Arc::new(node.snapshots.clone()),
            snapshot_every: SNAPSHOT_EVERY,
            keep_behind: KEEP_BEHIND,
        });
        Ok((options, node.life))
    }

    /// Ends a node's process at once.
    pub(super) fn end(self: &Arc<Self>, id: u64, end: End) {
        self.line(format_args!("node {id} ends: {end:?}"));
        let forgets = self.mutated(Mutation::ForgetVote);
        let mut core = self.core();
        core.crashes += 1;
        let (seed, store_lost) = (core.chance.random::<u64>(), core.percent(25));
        let Some(node) = core.nodes.get_mut(&id) else { return };
        node.life += 1;
        node.router = None;
        node.still_until = None;
        let loss = match end {
            End::Killed => None,
            End::PowerLost(loss) => Some(loss),
        };
        let earlier = node.earlier.clone();
        node.log = node.log.replace(|platter| match loss {
            _ if forgets && !earlier.names().is_empty() => earlier,
            Some(loss) => platter.after_loss(loss, seed),
            None => platter.clone(),
        });
        let after =
            |platter: &Platter| loss.map_or_else(|| platter.clone(), |loss| platter.after_loss(loss, !seed));
        node.snapshots = node.snapshots.replace(after);
        let (old, base, life) = (node.replica.take(), node.base.clone(), node.life - 1);
        drop(core);
        let dir = self.root.join(format!("{id}-life-{life}"));
        // The identity lasts. The store is as it was at the start, or gone: both may be.
        let kept = copy_file(&dir, &base, "identity");
        let lost = if store_lost { remove(&base.join("state")) } else { Ok(()) };
        if let Err(error) = kept.and(lost) {
            self.violated("starts", format!("could not copy node {id}'s directory: {error}"));
        }
        if let Some(old) = old {
            // Its tasks go on for a while, with nothing that they could reach.
            tokio::spawn(async move {
                old.shutdown().await;
                drop(old);
                let _ = remove(&dir);
            });
        }
    }

    /// Stops a node's process as an operator would; everything lasts.
    pub(super) async fn stop(self: &Arc<Self>, id: u64) {
        let Some(replica) = self.replica(id) else { return };
        self.line(format_args!("node {id} is stopped"));
        let life = self.core().nodes.get_mut(&id).map_or(0, |node| {
            node.stopping = true;
            node.life
        });
        replica.shutdown().await;
        drop(replica);
        let mut core = self.core();
        let Some(node) = core.nodes.get_mut(&id).filter(|node| node.life == life) else { return };
        node.life += 1;
        (node.router, node.replica) = (None, None);
        (node.log, node.snapshots) = (node.log.kill(), node.snapshots.kill());
        let (base, dir) = (node.base.clone(), self.root.join(format!("{id}-life-{}", node.life - 1)));
        drop(core);
        let copied = remove(&base).and_then(|()| copy(&dir, &base)).and_then(|()| remove(&dir));
        if let Err(error) = copied {
            self.violated("starts", format!("could not copy node {id}'s directory: {error}"));
        }
    }

    /// Starts a node again after a while, unless someone else did.
    pub(super) fn start_later(self: &Arc<Self>, id: u64, after: Duration) {
        let world = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if world.is_down(id) {
                world.start(id).await;
            }
        });
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let listing = match std::fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listing => listing?,
    };
    for entry in listing {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != "lock" {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, name: &str) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::copy(from.join(name), to.join(name)).map(drop)
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
