//! Would a move work? Asked when nothing is at stake.
//!
//! The leader runs it. Each coordinator looks for itself at what may differ from one to the next
//! ([`part`]): its disk, its ways ([`ways`]), its identity. What any of them would find, the leader
//! finds alone: the groups as the log and the vantages have them ([`groups`]), and the clouds'
//! resources through their adapters.
//!
//! Moves do not run it: what they need of it, verdicts and tokens among it, is kept fresh all the
//! time, and a failover has no time for the rest.

mod clock;
mod clouds;
mod groups;
mod kernel;
mod part;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::Adapters;
use config::coordinator::Hook;
use coordinator_api::v1::{Check, CheckItem, Preflight, PreflightRequest, Timestamp};
use coordinator_core::ids::{AdapterName, GroupName, HookName, NodeId};
use coordinator_core::state::{Group, State};
use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use part::{PREFLIGHT_MAX_BODY, PREFLIGHT_PATH, PartReply, PartRequest};

use crate::control_loop::{ControlHandle, wall_now};
use crate::http::GroupLimits;
use crate::peers::Peers;
use crate::raft::Replica;

/// How long a quorum may take to confirm the leadership.
const CONFIRM: Duration = Duration::from_secs(2);

/// How long a coordinator may take for its part, and the leader for the clouds.
const LOOK: Duration = Duration::from_secs(40);

/// The way there and back, beside what a peer may take for its part.
const PEER: Duration = Duration::from_secs(45);

/// What it needs of the node.
pub struct Options {
    /// All coordinators.
    pub nodes: BTreeMap<NodeId, SocketAddr>,
    /// The log and the state.
    pub replica: Replica,
    /// What the vantages see.
    pub control: ControlHandle,
    /// The other coordinators.
    pub peers: Peers,
    /// The clouds.
    pub adapters: Arc<Adapters>,
    /// The programs of this node's configuration.
    pub hooks: BTreeMap<HookName, Hook>,
    /// What this node's configuration demands of groups.
    pub limits: GroupLimits,
    /// The coordinators' own network interfaces, by the adapter that can say how packets leave
    /// them.
    pub nics: BTreeMap<AdapterName, BTreeMap<NodeId, String>>,
}

/// Why there was no preflight.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreflightRefused {
    /// This node does not lead.
    #[error("this coordinator does not lead")]
    NotLeader,
    /// Another one runs.
    #[error("another preflight is running; wait for it")]
    Busy,
    /// There is no such group.
    #[error("there is no group {0}")]
    UnknownGroup(GroupName),
}

/// Runs preflights. Cheap to clone.
#[derive(Clone)]
pub struct Preflights {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    /// One run at a time: a run asks clouds for more than everything else does together.
    running: Semaphore,
    /// One part at a time, for the same reason.
    looking: Semaphore,
}

impl Preflights {
    /// Looks at nothing yet.
    pub fn new(options: Options) -> Preflights {
        let (running, looking) = (Semaphore::new(1), Semaphore::new(1));
        Preflights { inner: Arc::new(Inner { options, running, looking }) }
    }

    /// Runs one, on the leader.
    ///
    /// # Errors
    /// [`PreflightRefused`].
    pub async fn run(&self, request: &PreflightRequest) -> Result<Preflight, PreflightRefused> {
        let inner = &*self.inner;
        let Options { replica, .. } = &inner.options;
        let _slot = inner.running.try_acquire().map_err(|_| PreflightRefused::Busy)?;
        let (at, started) = (wall_now(), Instant::now());
        replica.leading().ok_or(PreflightRefused::NotLeader)?;
        replica.confirm_leadership(CONFIRM).await.map_err(|_| PreflightRefused::NotLeader)?;
        let state = replica.state();
        let groups = chosen(&state, request.group.as_ref())?;
        let mut items = vec![CheckItem::pass(Check::Quorum, "cluster", "a majority follows the leader")];
        let ask = PartRequest { groups: groups.iter().map(|group| group.spec.name.clone()).collect() };
        let (own, others, clouds) = tokio::join!(
            self.part(&ask),
            join_all(inner.others().map(|node| self.ask(node, &ask))),
            inner.look_at_clouds(&state, &groups),
        );
        items.extend(own.items);
        items.extend(others.into_iter().flatten());
        let overview = inner.options.control.overview();
        for group in &groups {
            items.extend(groups::look(group, &overview, &inner.options.limits));
        }
        items.extend(clouds);
        if request.write_check {
            items.extend(inner.write_to_clouds(&groups).await);
        }
        // The cluster first, then group by group; within them as they came.
        items.sort_by(|a, b| a.group.cmp(&b.group));
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Preflight::new(replica.node_id(), Timestamp(at), took_ms, items))
    }

    /// What this coordinator has to find out for itself.
    pub async fn part(&self, ask: &PartRequest) -> PartReply {
        let received_ms = wall_now().0;
        let node = self.inner.options.replica.node_id();
        let looking = async {
            let _slot = self.inner.looking.acquire().await;
            self.inner.look_around(ask).await
        };
        let items = tokio::time::timeout(LOOK, looking).await.unwrap_or_else(|_| {
            let found = format!("its checks took longer than {} s", LOOK.as_secs());
            let advice = "see its log, and run this again";
            vec![CheckItem::warn(Check::Coordinator, coordinator(node), found, advice)]
        });
        let items = items.into_iter().map(|item| item.seen_by(node)).collect();
        PartReply { received_ms, answered_ms: wall_now().0, items }
    }

    /// What another coordinator finds out for itself.
    async fn ask(&self, node: NodeId, ask: &PartRequest) -> Vec<CheckItem> {
        let sent_ms = wall_now().0;
        let peers = &self.inner.options.peers;
        let asked = peers.post_for::<_, PartReply>(node, PREFLIGHT_PATH, ask, PEER, PREFLIGHT_MAX_BODY).await;
        match asked {
            Ok(reply) => {
                let took = clock::Exchange {
                    sent_ms,
                    received_ms: reply.received_ms,
                    answered_ms: reply.answered_ms,
                    back_ms: wall_now().0,
                };
                let mut items =
                    vec![CheckItem::pass(Check::Coordinator, coordinator(node), "it answers the leader")];
                items.push(clock::judge(node, took));
                items.extend(reply.items.into_iter().map(|item| item.seen_by(node)));
                items
            }
            Err(error) => {
                let found = format!("it does not answer the leader: {}", crate::http::chain(&error));
                let advice = "start it, or open the way: the next failure of a coordinator may cost the quorum, \
                              and what it would find itself is not known";
                vec![CheckItem::warn(Check::Coordinator, coordinator(node), found, advice)]
            }
        }
    }
}

impl Inner {
    fn others(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        let own = self.options.replica.node_id();
        self.options.nodes.keys().copied().filter(move |node| *node != own)
    }
}

fn chosen<'a>(state: &'a State, wanted: Option<&GroupName>) -> Result<Vec<&'a Group>, PreflightRefused> {
    match wanted {
        None => Ok(state.groups.values().collect()),
        Some(name) => match state.groups.get(name) {
            Some(group) => Ok(vec![group]),
            None => Err(PreflightRefused::UnknownGroup(name.clone())),
        },
    }
}

/// The bindings of a group that each adapter moves.
fn by_adapter(group: &Group) -> BTreeMap<AdapterName, Vec<coordinator_core::model::BindingSpec>> {
    let mut all: BTreeMap<AdapterName, Vec<_>> = BTreeMap::new();
    for binding in &group.spec.bindings {
        if let Some(adapter) = cloud_adapters::registry::adapter_of(&binding.kind) {
            all.entry(adapter.clone()).or_default().push(binding.clone());
        }
    }
    all
}

/// The adapters that any of the groups uses.
fn used<'a>(groups: impl IntoIterator<Item = &'a Group>) -> BTreeSet<AdapterName> {
    groups.into_iter().flat_map(|group| by_adapter(group).into_keys()).collect()
}

fn coordinator(node: NodeId) -> String {
    format!("coordinator {node}")
}
