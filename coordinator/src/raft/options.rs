//! What a replica is started with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::ids::NodeId;

use super::ground::Ground;
use super::transport::Transport;

/// How fast the cluster notices that its leader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftTimings {
    /// How often the leader shows that it lives. Default 50 ms.
    pub heartbeat: Duration,
    /// The shortest wait of a follower before it stands for election. Default 150 ms.
    pub election_min: Duration,
    /// The longest. Also the leader's lease: no follower stands earlier than this after a
    /// heartbeat. Default 300 ms.
    pub election_max: Duration,
}

impl Default for RaftTimings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
        }
    }
}

impl RaftTimings {
    /// How long after its start a node refuses to vote: 1.1 × `election_max`. By then every lease
    /// that it may have supported before it stopped is over, a tenth more for drifting clocks.
    pub fn quarantine(&self) -> Duration {
        self.election_max * 11 / 10
    }
}

/// What a replica is started with.
#[derive(Clone)]
pub struct ReplicaOptions {
    /// This node.
    pub node_id: NodeId,
    /// The cluster. A data directory or a peer of another cluster is refused.
    pub cluster_id: String,
    /// Where everything is kept. Created on the first start.
    pub data_dir: PathBuf,
    /// All members, this node included: `host:port` of each cluster listener.
    pub members: BTreeMap<NodeId, String>,
    /// Heartbeat and election times.
    pub timings: RaftTimings,
    /// The way to the peers.
    pub transport: Arc<dyn Transport>,
    /// What it all stands on.
    pub ground: Ground,
}

impl ReplicaOptions {
    /// Options with the default timings, on this machine.
    pub fn new(
        node_id: NodeId,
        cluster_id: impl Into<String>,
        data_dir: impl Into<PathBuf>,
        members: BTreeMap<NodeId, String>,
        transport: impl Transport,
    ) -> Self {
        Self {
            node_id,
            cluster_id: cluster_id.into(),
            data_dir: data_dir.into(),
            members,
            timings: RaftTimings::default(),
            transport: Arc::new(transport),
            ground: Ground::default(),
        }
    }
}
