//! Starts the tasks of the control loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_adapters::Adapters;
use config::coordinator::Hook;
use coordinator_core::ids::{HookName, NodeId};
use coordinator_core::model::GroupSpec;
use coordinator_core::pool::PoolSpec;
use coordinator_core::state::Group;
use tokio::task::JoinSet;

use super::handle::ControlHandle;
use super::hook::Hooks;
use super::probe::{HttpProbes, Prober};
use super::shared::Shared;
use super::{leader, vantage};
use crate::peers::Peers;
use crate::raft::Replica;

/// What the control loop needs.
pub struct Options {
    /// The replicated log and state.
    pub replica: Replica,
    /// The other coordinators.
    pub peers: Peers,
    /// All coordinators, this one included: the denominator of every majority.
    pub vantages: BTreeSet<NodeId>,
    /// The clouds.
    pub adapters: Arc<Adapters>,
    /// The programs that switch appliances off.
    pub hooks: BTreeMap<HookName, Hook>,
    /// The client for HTTP probes that trust the cluster's certificate authority.
    pub probe_cluster: reqwest::Client,
    /// The client for HTTP probes that trust any certificate.
    pub probe_any: reqwest::Client,
    /// What to declare in a log that has never held anything.
    pub seed: Seed,
}

/// What the configuration file declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// The groups.
    pub groups: Vec<GroupSpec>,
    /// The pools.
    pub pools: Vec<PoolSpec>,
}

/// Starts the control loop. It ends when the returned set is dropped or shut down.
pub fn start(options: Options) -> (ControlHandle, JoinSet<()>) {
    let shared = Arc::new(Shared::new(options.replica, options.vantages));
    let mut tasks = JoinSet::new();
    let http = HttpProbes { cluster: options.probe_cluster, any: options.probe_any };
    tasks.spawn(watch_declarations(shared.clone(), Prober::new(shared.clone(), http)));
    tasks.spawn(vantage::run(shared.clone(), options.peers));
    let means = leader::Means { adapters: options.adapters, hooks: Hooks::new(options.hooks) };
    tasks.spawn(leader::run(shared.clone(), means, options.seed));
    (ControlHandle::new(shared), tasks)
}

/// Keeps the local view and the probes in step with what is declared.
async fn watch_declarations(shared: Arc<Shared>, mut prober: Prober) {
    let mut states = shared.replica.watch_state();
    let mut revisions = None;
    loop {
        let state = states.borrow_and_update().clone();
        // A path begins anew after each move, so the grants count as well.
        let at = |g: &Group| (g.spec.name.clone(), g.revision, g.token, g.operation.is_some());
        let groups: Vec<_> = state.groups.values().map(at).collect();
        let pools: Vec<_> = state.pools.values().map(|p| (p.spec.name.clone(), p.revision)).collect();
        let declared = (groups, pools);
        if revisions.as_ref() != Some(&declared) {
            shared.declare(&state);
            prober.reconcile(&state);
            revisions = Some(declared);
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}
