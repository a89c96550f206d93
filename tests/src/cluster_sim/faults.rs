//! What goes wrong, one thing after the other and on top of each other.

use std::sync::Arc;
use std::time::Duration;

use coordinator::raft::{Role, StorageHealth};
use rand::RngExt as _;
use tokio::time::Instant;

use super::machine::End;
use super::world::{Link, World};
use super::{Mutation, NODES};
use crate::disk::{Fault, Loss};

/// Runs for `span`; what it began may last a little longer.
pub(super) async fn run(world: &Arc<World>, span: Duration) {
    // Long enough for a first leader, most of the time.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    while world.now() < span {
        one(world).await;
        let pause = world.core().span(100_000, 2_500_000);
        tokio::time::sleep(pause).await;
    }
}

async fn one(world: &Arc<World>) {
    let (kind, node, other, lasts) = {
        let mut core = world.core();
        let (node, other) = (core.node(), core.node());
        (core.chance.random_range(0..20), node, other, core.span(200_000, 8_000_000))
    };
    let leader = leader(world).unwrap_or(node);
    match kind {
        0 | 1 => isolate(world, leader, true, true, lasts),
        2 => isolate(world, leader, false, true, lasts),
        3 => isolate(world, leader, true, false, lasts),
        4 => isolate(world, node, true, true, lasts),
        5 => links(world, &[(node, other), (other, node)], Link { cut: true, ..Link::SOUND }, lasts),
        6 => links(world, &[(node, other)], Link { cut: true, ..Link::SOUND }, lasts),
        7 => links(world, &all(), Link { lost: 20, doubled: 20, ..Link::SOUND }, lasts),
        8 => links(world, &all(), Link { slow: 120_000, doubled: 30, ..Link::SOUND }, lasts),
        9 => links(world, &[(leader, other), (other, leader)], Link { slow: 600_000, ..Link::SOUND }, lasts),
        10 | 11 => end(world, leader, lasts),
        12 | 13 => end(world, node, lasts),
        14 => NODES.into_iter().for_each(|id| end(world, id, lasts)),
        15 => pause(world, leader, lasts),
        16 => slow_disk(world, node, lasts),
        17 => disk_fault(world, node, Fault::Full, lasts),
        18 => disk_fault(world, node, Fault::Broken, lasts),
        _ => {
            world.stop(node).await;
            world.start_later(node, lasts / 4);
        }
    }
}

fn leader(world: &World) -> Option<u64> {
    NODES.into_iter().find(|id| world.replica(*id).is_some_and(|replica| replica.leading().is_some()))
}

fn all() -> Vec<(u64, u64)> {
    NODES.into_iter().flat_map(|from| NODES.into_iter().map(move |to| (from, to))).collect()
}

fn isolate(world: &Arc<World>, node: u64, inward: bool, outward: bool, lasts: Duration) {
    let others = || NODES.into_iter().filter(|id| *id != node);
    let mut of = Vec::new();
    of.extend(others().filter(|_| inward).map(|other| (other, node)));
    of.extend(others().filter(|_| outward).map(|other| (node, other)));
    links(world, &of, Link { cut: true, ..Link::SOUND }, lasts);
}

fn links(world: &Arc<World>, of: &[(u64, u64)], link: Link, lasts: Duration) {
    world.line(format_args!("links {of:?}: {link:?} for {lasts:?}"));
    world.core().links.extend(of.iter().map(|pair| (*pair, link)));
    let (world, of) = (world.clone(), of.to_vec());
    later(lasts, move || {
        world.core().links.retain(|pair, _| !of.contains(pair));
    });
}

fn end(world: &Arc<World>, node: u64, lasts: Duration) {
    if world.is_down(node) {
        return;
    }
    let how = match world.core().chance.random_range(0..5) {
        0 => End::Killed,
        n => End::PowerLost(Loss::ALL[(n - 1) % Loss::ALL.len()]),
    };
    world.end(node, how);
    world.start_later(node, lasts / 2);
}

fn pause(world: &Arc<World>, node: u64, lasts: Duration) {
    world.line(format_args!("node {node} stands still for {lasts:?}"));
    if let Some(node) = world.core().nodes.get_mut(&node) {
        node.still_until = Some(Instant::now() + lasts);
    }
}

fn slow_disk(world: &Arc<World>, node: u64, lasts: Duration) {
    world.line(format_args!("node {node} has a slow disk for {lasts:?}"));
    let set = move |world: &World, slow| {
        if let Some(node) = world.core().nodes.get_mut(&node) {
            node.slow = slow;
        }
    };
    set(world, (20_000, 700_000));
    let world = world.clone();
    later(lasts, move || set(&world, (100, 1_500)));
}

fn disk_fault(world: &Arc<World>, node: u64, fault: Fault, lasts: Duration) {
    if world.mutated(Mutation::AckBeforeSync) {
        return;
    }
    world.line(format_args!("node {node}'s disk is {fault:?} for {lasts:?}"));
    if let Some(node) = world.core().nodes.get(&node) {
        node.set_fault(Some(fault));
    }
    let world = world.clone();
    later(lasts, move || {
        if let Some(node) = world.core().nodes.get(&node) {
            node.set_fault(None);
        }
        // It says that it is to be started again once the disk is sound.
        if world.gave_up(node) {
            world.end(node, End::Killed);
            world.start_later(node, Duration::from_millis(50));
        }
    });
}

fn later(after: Duration, then: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        then();
    });
}

impl World {
    /// Whether a node has stopped over its storage.
    fn gave_up(&self, id: u64) -> bool {
        self.replica(id).is_some_and(|replica| {
            let status = replica.status();
            status.role == Role::Stopped || matches!(status.storage, StorageHealth::Failed { .. })
        })
    }

    /// Ends every fault, and starts what is down.
    pub(super) async fn settle(self: &Arc<Self>) {
        // Whatever was begun ends by itself within this.
        tokio::time::sleep(Duration::from_secs(9)).await;
        self.line(format_args!("calm"));
        self.core().links.clear();
        for id in NODES {
            if let Some(node) = self.core().nodes.get_mut(&id) {
                (node.still_until, node.slow) = (None, (100, 1_500));
            }
            if self.gave_up(id) {
                self.end(id, End::Killed);
            }
            if self.is_down(id) {
                self.start(id).await;
            }
        }
    }

    /// Resolves when one leader is confirmed and every node stands where it does.
    pub(super) async fn agree(&self) {
        self.core().quiet = true;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Some(leader) = leader(self).and_then(|id| self.replica(id)) else { continue };
            if leader.confirm_leadership(Duration::from_secs(1)).await.is_err() {
                continue;
            }
            let at = leader.applied().map(|(index, _)| index);
            if NODES.into_iter().all(|id| self.stands_at(id) == at) {
                return;
            }
        }
    }

    fn stands_at(&self, id: u64) -> Option<u64> {
        self.replica(id)?.applied().map(|(index, _)| index)
    }

    /// Why it has not come to that.
    pub(super) fn disagreement(&self) -> String {
        let of = |id| (id, self.replica(id).map(|replica| replica.status()));
        format!("{:?}", NODES.map(of))
    }
}
