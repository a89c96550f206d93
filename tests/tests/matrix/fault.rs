//! The rows and columns of the matrix: what is struck, how, and what must come of it.

use anyhow::{Context, Result};
use coordinator_core::ids::NodeId;
use nix::sys::signal::Signal;
use tests::cluster::host_of;
use tests::loop_disk::LoopDisk;
use tests::netns::Cut;

use crate::stage::Stage;

/// Who is struck. Agents and coordinators take turns in these parts: it is who plays the part
/// when the fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The appliance that carries the VIP; process faults strike its agent alone.
    Active,
    /// The other appliance.
    Standby,
    /// The coordinator that leads.
    Leader,
    /// One of the other two.
    Follower,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its process gets SIGKILL and is started again only to heal.
    Kill,
    /// Its process gets SIGSTOP, and SIGCONT to heal.
    Stop,
    /// Its cable is pulled.
    LinkDown,
    /// Everything that it sends is lost; it hears all.
    Mute,
    /// Everything that is sent to it is lost; it is heard.
    Deaf,
    /// Cut from the quorum, in both directions: an appliance from all three coordinators, a
    /// coordinator from the other two.
    NoQuorum,
    /// Cut from its peer, in both directions: an appliance from the other one, a coordinator from
    /// one other; a follower from the other follower, the leader from one follower.
    NoPeer,
    /// No write to its disk ends: the data directory of a coordinator, the state directory of an
    /// agent.
    DiskHangs,
    /// The same for all coordinators at once, whose disks are one storage: for the leader only.
    AllDisksHang,
    /// Each write to its disk takes up to a quarter of a second.
    DiskSlow,
}

/// All faults, in the order in which they are tried.
pub(crate) const FAULTS: [Fault; 10] = [
    Fault::Kill,
    Fault::Stop,
    Fault::LinkDown,
    Fault::Mute,
    Fault::Deaf,
    Fault::NoQuorum,
    Fault::NoPeer,
    Fault::DiskHangs,
    Fault::AllDisksHang,
    Fault::DiskSlow,
];

/// What must come of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The group moves to the other appliance.
    pub(crate) moves: bool,
    /// Another coordinator leads before it is healed.
    pub(crate) new_leader: bool,
}

impl Target {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Target::Active => "active's agent",
            Target::Standby => "standby's agent",
            Target::Leader => "leader",
            Target::Follower => "follower",
        }
    }

    fn is_coordinator(self) -> bool {
        matches!(self, Target::Leader | Target::Follower)
    }
}

impl Fault {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Fault::Kill => "kill -9",
            Fault::Stop => "SIGSTOP",
            Fault::LinkDown => "link down",
            Fault::Mute => "loss of all it sends",
            Fault::Deaf => "loss of all sent to it",
            Fault::NoQuorum => "cut from the quorum",
            Fault::NoPeer => "cut from its peer",
            Fault::DiskHangs => "disk hangs",
            Fault::AllDisksHang => "all disks hang",
            Fault::DiskSlow => "disk slow",
        }
    }

    pub(crate) fn needs_disk(self) -> bool {
        matches!(self, Fault::DiskHangs | Fault::AllDisksHang | Fault::DiskSlow)
    }

    /// Whether there is such a cell.
    pub(crate) fn strikes(self, target: Target) -> bool {
        self != Fault::AllDisksHang || target == Target::Leader
    }

    /// A peer that cannot be reached matters to nobody as long as the quorum can be. Nobody needs
    /// a disk to go on as before; but a leader whose disk hangs could not decide anything by itself,
    /// and hands leadership over, if there is somebody who can store that.
    pub(crate) fn expected(self, target: Target) -> Expected {
        let harmless = self == Fault::NoPeer || self.needs_disk();
        Expected {
            moves: target == Target::Active && !harmless,
            new_leader: target == Target::Leader && (!harmless || self == Fault::DiskHangs),
        }
    }

    /// Strikes `host`; for a coordinator, `node` is on it.
    pub(crate) fn strike(self, stage: &mut Stage, target: Target, victim: &Victim) -> Result<()> {
        let host = victim.host.as_str();
        // One that is only cut off from others can still be asked, and so may be what it says.
        if let Some(node) = victim.node {
            stage.spare(node);
        }
        match self {
            Fault::Kill if target.is_coordinator() => stage.cluster.kill_coordinator(victim.node()?),
            Fault::Kill => stage.cluster.kill_agent(host),
            Fault::Stop if target.is_coordinator() => {
                stage.cluster.coordinator(victim.node()?)?.signal(Signal::SIGSTOP)
            }
            Fault::Stop => stage.cluster.agent(host)?.signal(Signal::SIGSTOP),
            Fault::LinkDown => stage.unplug(host),
            Fault::Mute => stage.cluster.network()?.cut(Cut::Mute(host)),
            Fault::Deaf => stage.cluster.network()?.cut(Cut::Deaf(host)),
            Fault::NoQuorum => {
                let others: Vec<&str> = victim.quorum.iter().map(String::as_str).collect();
                stage.cluster.network()?.cut(Cut::Between(host, &others))
            }
            Fault::NoPeer => stage.cluster.network()?.cut(Cut::Between(host, &[&victim.peer])),
            Fault::DiskHangs => stage.disk(host)?.hang(),
            Fault::AllDisksHang => stage.all_disks().try_for_each(LoopDisk::hang),
            Fault::DiskSlow => stage.disk(host)?.slow_down(),
        }
    }
}

/// Who plays the part of a target right now, and who the others are.
#[derive(Debug)]
pub(crate) struct Victim {
    pub(crate) host: String,
    /// The coordinator, if it is one.
    pub(crate) node: Option<NodeId>,
    /// The hosts that make up the quorum for it.
    quorum: Vec<String>,
    /// The host that is its peer.
    peer: String,
}

impl Victim {
    /// The one to strike while `active` is active and `leader` leads.
    pub(crate) fn find(stage: &Stage, target: Target, active: &str, leader: NodeId) -> Result<Victim> {
        let other = if active == "fw-a" { "fw-b" } else { "fw-a" };
        let nodes = stage.cluster.node_ids();
        let hosts = |nodes: &[NodeId]| nodes.iter().map(|node| host_of(*node)).collect();
        let appliance = |host: &str, peer: &str| {
            Ok(Victim { host: host.to_owned(), node: None, quorum: hosts(&nodes), peer: peer.to_owned() })
        };
        let coordinator = |node: NodeId, peer: NodeId| {
            let others: Vec<_> = nodes.iter().copied().filter(|other| *other != node).collect();
            Ok(Victim { host: host_of(node), node: Some(node), quorum: hosts(&others), peer: host_of(peer) })
        };
        let followers: Vec<_> = nodes.iter().copied().filter(|node| *node != leader).collect();
        let [first, second] = followers[..] else { anyhow::bail!("{followers:?} are not two followers") };
        match target {
            Target::Active => appliance(active, other),
            Target::Standby => appliance(other, active),
            Target::Leader => coordinator(leader, first),
            Target::Follower => coordinator(second, first),
        }
    }

    fn node(&self) -> Result<NodeId> {
        self.node.context("this is no coordinator")
    }
}
