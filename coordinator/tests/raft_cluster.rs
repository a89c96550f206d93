//! Replicas of one process over loopback: election, replication, failover, catching up.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use coordinator::raft::network::{FROM_HEADER, tuned};
use coordinator::raft::transport::HttpTransport;
use coordinator::raft::{
    HistoryQuery, NotConfirmed, ProposeError, RaftTimings, Replica, ReplicaOptions, StartError, server,
};
use coordinator_api::tls::PeerIdentity;
use coordinator_core::command::{Actor, Command, CommandBody};
use coordinator_core::ids::{GroupName, NodeId};
use coordinator_core::model::{
    ApplianceSpec, BindingKind, BindingSpec, GroupSpec, LeaseSpec, Policy, ProbeKind, ProbeSpec, Trigger,
};
use coordinator_core::time::WallTime;
use tokio::net::TcpListener;

/// Slower than in production: tests share two cores.
const TIMINGS: RaftTimings = RaftTimings {
    heartbeat: Duration::from_millis(60),
    election_min: Duration::from_millis(300),
    election_max: Duration::from_millis(600),
};
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_elect_replicate_and_fail_over() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.declare(leader, "one").await;
    cluster.all_hold(&["one"]).await;

    let replica = cluster.replica(leader);
    replica.confirm_leadership(PATIENCE).await.unwrap();
    let acked = replica.quorum_acked_at().unwrap();
    let elected = replica.leadership().borrow().elected_at.unwrap();
    assert!(acked <= Instant::now() && elected <= Instant::now());
    let follower = cluster.others(leader)[0];
    assert!(cluster.replica(follower).quorum_acked_at().is_none());
    let refused = cluster.replica(follower).propose(put("two"), PATIENCE).await;
    assert!(
        matches!(refused, Err(ProposeError::NotLeader { leader: Some(to) }) if to == leader),
        "{refused:?}"
    );
    let refused = cluster.replica(follower).confirm_leadership(PATIENCE).await;
    assert!(matches!(refused, Err(NotConfirmed::NotLeader { .. })), "{refused:?}");

    cluster.kill(leader).await;
    let second = cluster.leader().await;
    assert_ne!(second, leader);
    cluster.declare(second, "two").await;
    cluster.revive(leader).await;
    cluster.all_hold(&["one", "two"]).await;
    let status = cluster.replica(second).status();
    assert_eq!(status.followers.len(), 2, "{status:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_from_its_quorum_confirms_and_commits_nothing() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    for other in cluster.others(leader) {
        cluster.kill(other).await;
    }
    let lone = cluster.replica(leader);
    let short = Duration::from_millis(500);
    assert!(lone.confirm_leadership(short).await.is_err());
    let outcome = lone.propose(put("one"), short).await;
    assert!(matches!(outcome, Err(ProposeError::TimedOut | ProposeError::NotLeader { .. })), "{outcome:?}");
    let acked = lone.quorum_acked_at();
    assert!(acked.is_none_or(|at| at.elapsed() >= short), "{acked:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_hands_leadership_over_at_once() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.declare(leader, "one").await;
    cluster.replica(leader).confirm_leadership(PATIENCE).await.unwrap();
    let to = cluster.replica(leader).transfer_leadership().await.unwrap();
    assert_ne!(to, leader);
    let second = cluster.leader().await;
    cluster.declare(second, "two").await;
    cluster.all_hold(&["one", "two"]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_does_not_vote_before_it_has_caught_up() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.declare(leader, "one").await;
    let wiped = cluster.others(leader)[0];
    cluster.kill(wiped).await;
    std::fs::remove_dir_all(cluster.dir(wiped)).unwrap();
    let leader = cluster.leader().await;
    cluster.declare(leader, "two").await;
    // Without a snapshot, from the log alone.
    cluster.revive(wiped).await;
    cluster.all_hold(&["one", "two"]).await;
    until("it votes again", || cluster.replica(wiped).status().not_voting.is_none()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_far_behind_catches_up_from_a_snapshot() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let away = cluster.others(leader)[0];
    cluster.kill(away).await;
    cluster.declare(leader, "one").await;
    // More than the log keeps behind a snapshot.
    let replica = cluster.replica(leader);
    let proposing = (0..6500_u32).map(|i| {
        let replica = replica.clone();
        async move {
            let mode = if i % 2 == 0 { Trigger::Manual } else { Trigger::Automatic };
            let reason = format!("change {i}");
            let body = CommandBody::SetMode { group: group("one"), mode, reason };
            let proposed = replica.propose(command(body), PATIENCE).await;
            proposed.map(|_| ())
        }
    });
    let proposing = futures::StreamExt::buffer_unordered(futures::stream::iter(proposing), 256);
    futures::TryStreamExt::try_collect::<()>(proposing).await.unwrap();
    until("the log is purged", || replica.status().purged.is_some_and(|purged| purged > 1000)).await;
    cluster.revive(away).await;
    let caught_up = cluster.replica(away);
    until("it has everything", || caught_up.status().applied == replica.status().applied).await;
    assert!(caught_up.status().snapshot >= replica.status().snapshot);
    assert!(caught_up.state() == replica.state());
    let page = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    let (theirs, ours) =
        (caught_up.history(page.clone()).await.unwrap(), replica.history(page).await.unwrap());
    assert!(ours.len() == 1000 && theirs == ours);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_alone_keeps_everything_over_restarts_and_a_lost_store() {
    let mut cluster = Cluster::start(1).await;
    let alone = NodeId(1);
    assert_eq!(cluster.leader().await, alone);
    cluster.declare(alone, "one").await;
    let replica = cluster.replica(alone);
    let missing = replica.propose(command(CommandBody::RemoveGroup(group("none"))), PATIENCE).await;
    assert!(matches!(missing, Err(ProposeError::Rejected(_))), "{missing:?}");
    let huge = "x".repeat(2 << 20);
    let body = CommandBody::SetMode { group: group("one"), mode: Trigger::Manual, reason: huge };
    let refused = replica.propose(command(body), PATIENCE).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })), "{refused:?}");
    let (state, history) = (replica.state(), replica.history(HistoryQuery::default()).await.unwrap());
    assert_eq!(history.len(), 1);

    let second = Replica::start(cluster.options(alone)).await;
    assert!(matches!(second.err(), Some(StartError::DataDir { .. })));

    for damage in [false, true] {
        cluster.kill(alone).await;
        if damage {
            std::fs::remove_dir_all(cluster.dir(alone).join("state")).unwrap();
            std::fs::create_dir_all(cluster.dir(alone).join("state")).unwrap();
            std::fs::write(cluster.dir(alone).join("state/conf"), "rubbish").unwrap();
        }
        cluster.revive(alone).await;
        cluster.all_hold(&["one"]).await;
        let replica = cluster.replica(alone);
        assert_eq!(replica.state(), state);
        assert_eq!(replica.history(HistoryQuery::default()).await.unwrap(), history);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_another_cluster_node_or_agent_are_refused() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let client = client();
    let target = cluster.addresses[&leader];
    let ask = |cluster: &'static str, from: u64, to: u64| {
        client
            .post(format!("http://{target}/raft/hello"))
            .header("x-pointsman-cluster", cluster)
            .header(FROM_HEADER, from)
            .header("x-pointsman-to", to)
            .send()
    };
    let other = cluster.others(leader)[0].0;
    assert_eq!(ask("test", other, leader.0).await.unwrap().status(), 200);
    assert_eq!(ask("another", other, leader.0).await.unwrap().status(), 421);
    assert_eq!(ask("test", other, other).await.unwrap().status(), 421);
    assert_eq!(ask("test", 9, leader.0).await.unwrap().status(), 403);
    // Without a certificate.
    let bare = client.post(format!("http://{target}/raft/hello")).send().await.unwrap();
    assert_eq!(bare.status(), 403);
    cluster.stop().await;
}

struct Node {
    replica: Replica,
    server: tokio::task::JoinHandle<()>,
}

struct Cluster {
    root: tempfile::TempDir,
    addresses: BTreeMap<NodeId, SocketAddr>,
    nodes: BTreeMap<NodeId, Node>,
}

impl Cluster {
    async fn start(count: u64) -> Self {
        let mut listeners = Vec::new();
        for id in 1..=count {
            listeners.push((NodeId(id), TcpListener::bind("127.0.0.1:0").await.unwrap()));
        }
        let addresses = listeners.iter().map(|(id, l)| (*id, l.local_addr().unwrap())).collect();
        let mut cluster = Self { root: tempfile::tempdir().unwrap(), addresses, nodes: BTreeMap::new() };
        for (id, listener) in listeners {
            cluster.run(id, listener).await;
        }
        cluster
    }

    fn dir(&self, id: NodeId) -> std::path::PathBuf {
        Path::join(self.root.path(), id.to_string())
    }

    fn options(&self, id: NodeId) -> ReplicaOptions {
        let members = self.addresses.iter().map(|(id, address)| (*id, address.to_string())).collect();
        let transport = HttpTransport::new(client()).with_urls(|_, address| format!("http://{address}"));
        let mut options = ReplicaOptions::new(id, "test", self.dir(id), members, transport);
        options.timings = TIMINGS;
        options
    }

    async fn run(&mut self, id: NodeId, listener: TcpListener) {
        let replica = Replica::start(self.options(id)).await.unwrap();
        let app = server::router(replica.clone()).layer(from_fn(identify));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        self.nodes.insert(id, Node { replica, server });
    }

    /// Ends a node as far as the others can see, and frees its directory.
    async fn kill(&mut self, id: NodeId) {
        let node = self.nodes.remove(&id).unwrap();
        node.server.abort();
        let _ = node.server.await;
        node.replica.shutdown().await;
    }

    async fn revive(&mut self, id: NodeId) {
        let address = self.addresses[&id];
        let bound = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Ok(listener) = TcpListener::bind(address).await {
                    break listener;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        self.run(id, bound.await.unwrap()).await;
    }

    async fn stop(self) {
        for node in self.nodes.into_values() {
            node.server.abort();
            node.replica.shutdown().await;
        }
    }

    fn replica(&self, id: NodeId) -> Replica {
        self.nodes[&id].replica.clone()
    }

    fn others(&self, id: NodeId) -> Vec<NodeId> {
        self.nodes.keys().copied().filter(|other| *other != id).collect()
    }

    /// The one node that a quorum confirms as the leader.
    async fn leader(&self) -> NodeId {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (id, node) in &self.nodes {
                if node.replica.leadership().borrow().is_self
                    && node.replica.confirm_leadership(Duration::from_millis(500)).await.is_ok()
                {
                    return *id;
                }
            }
            assert!(Instant::now() < deadline, "no leader");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn declare(&self, leader: NodeId, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut leader = leader;
        loop {
            match self.replica(leader).propose(put(name), Duration::from_secs(5)).await {
                Ok(_) => return,
                // Busy machines lose a leader now and then.
                Err(ProposeError::NotLeader { .. } | ProposeError::TimedOut) if Instant::now() < deadline => {
                    leader = self.leader().await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    async fn all_hold(&self, names: &[&str]) {
        for node in self.nodes.values() {
            until("every group is there", || {
                let state = node.replica.state();
                names.iter().all(|name| state.groups.contains_key(&group(name)))
            })
            .await;
        }
    }
}

/// Stands in for the TLS listener: believes the header.
async fn identify(mut request: Request, next: Next) -> axum::response::Response {
    let from = request.headers().get(FROM_HEADER).and_then(|from| from.to_str().ok()?.parse().ok());
    if let Some(from) = from {
        request.extensions_mut().insert(PeerIdentity::Node(NodeId(from)));
    }
    next.run(request).await
}

fn client() -> reqwest::Client {
    // reqwest wants one even for plain HTTP; a second installation is refused and does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tuned(reqwest::Client::builder()).http2_prior_knowledge().build().unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn command(body: CommandBody) -> Command {
    Command { at: WallTime(1), actor: Actor::Operator("test".to_owned()), body }
}

/// Declares a small group: nothing probes or moves it here.
fn put(name: &str) -> Command {
    let third = name.bytes().fold(0, u8::wrapping_add);
    let appliance = |suffix: &str, last: u8| ApplianceSpec {
        name: format!("{name}-{suffix}").parse().unwrap(),
        address: [10, 0, third, last].into(),
        probes: vec![ProbeSpec {
            name: "agent".parse().unwrap(),
            kind: ProbeKind::AgentHeartbeat,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
            rise: 1,
            fall: 1,
        }],
        peer: Vec::new(),
        fence: None,
    };
    let appliances = vec![appliance("a", 1), appliance("b", 2)];
    let targets = appliances.iter().map(|a| (a.name.clone(), format!("nic-{}", a.name))).collect();
    let kind =
        BindingKind::PublicIp { adapter: "cloud".parse().unwrap(), resource: name.to_owned(), targets };
    command(CommandBody::PutGroup(GroupSpec {
        name: group(name),
        appliances,
        bindings: vec![BindingSpec { name: format!("{name}-ip").parse().unwrap(), kind }],
        policy: Policy::default(),
        lease: LeaseSpec::default(),
        path_probes: Vec::new(),
    }))
}
