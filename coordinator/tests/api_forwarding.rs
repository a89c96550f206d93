//! Three nodes with real certificates and real listeners: followers pass on to the leader, and
//! each peer may do only what its certificate says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod api_support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api_support::{FakeNode, Handle, TOKEN, group_json, tokens};
use coordinator::http::{self, ApiState};
use coordinator::init::{self, AgentOptions, InitOptions};
use coordinator::peers::Peers;
use coordinator_api::client::{Client, ClientError};
use coordinator_api::tls::{self, ClientOptions, TlsFiles, TlsMaterial};
use coordinator_api::v1::{Code, Consistency, HistoryFilter};
use coordinator_core::command::Actor;
use coordinator_core::ids::NodeId;
use serde_json::json;
use tokio::sync::watch;

/// Three nodes that serve until the value is dropped.
struct Cluster {
    nodes: Vec<Arc<FakeNode>>,
    api: Vec<SocketAddr>,
    cluster: BTreeMap<NodeId, SocketAddr>,
    materials: Vec<TlsMaterial>,
    agent: TlsMaterial,
    ca: Vec<u8>,
    cluster_id: String,
    _stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

async fn cluster(leader: Option<u64>) -> Cluster {
    tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    let localhost: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bind = |what| http::bind(what, localhost).unwrap();
    let cluster_listeners: Vec<_> = (0..3).map(|_| bind("cluster listener")).collect();
    let api_listeners: Vec<_> = (0..3).map(|_| bind("operators' listener")).collect();
    let address = |l: &std::net::TcpListener| l.local_addr().unwrap();
    let api: Vec<_> = api_listeners.iter().map(address).collect();
    let ids = (1..=3).map(NodeId);
    let cluster: BTreeMap<_, _> = ids.clone().zip(cluster_listeners.iter().map(address)).collect();

    let mut options = InitOptions::new(dir.path().join("cluster"));
    options.nodes = ids
        .clone()
        .zip(&api)
        .map(|(id, api)| (id, config::coordinator::Node { cluster: cluster[&id], api: *api }))
        .collect();
    options.agents = vec![AgentOptions::new("fw-a".parse().unwrap())];
    let report = init::run(&options).unwrap();
    let load = |paths: &config::TlsPaths| {
        let files =
            TlsFiles { ca: paths.ca.clone(), certificate: paths.certificate.clone(), key: paths.key.clone() };
        TlsMaterial::load(&files).unwrap()
    };
    let materials: Vec<_> =
        report.nodes.values().map(|file| load(&config::load_coordinator(file).unwrap().tls)).collect();
    let agent = load(&config::load_agent(report.agents.values().next().unwrap()).unwrap().tls);

    let (stop, _) = watch::channel(false);
    let nodes: Vec<_> = (1..=3).map(|id| FakeNode::new(id, leader)).collect();
    let cluster_id = report.cluster_id.to_string();
    let listeners = cluster_listeners.into_iter().zip(api_listeners);
    for ((node, material), (for_cluster, for_operators)) in nodes.iter().zip(&materials).zip(listeners) {
        let client = material.peer_client(&cluster, ClientOptions::default()).unwrap();
        let peers = Peers::new(client, &cluster_id, cluster.clone());
        let state = ApiState::new(Handle(Arc::clone(node)), tokens(), peers);
        let raft = axum::Router::new().route("/raft/ping", axum::routing::get(|| async { "pong" }));
        let stopped = |mut stopping: watch::Receiver<bool>| async move { drop(stopping.changed().await) };
        let tls = material.mutual_server_config();
        let shutdown = stopped(stop.subscribe());
        tokio::spawn(http::serve_cluster(state.clone(), raft, for_cluster, tls, shutdown));
        let shutdown = stopped(stop.subscribe());
        tokio::spawn(http::serve_api(state, for_operators, material.server_config(), shutdown));
    }
    let ca = std::fs::read(&report.ca).unwrap();
    Cluster { nodes, api, cluster, materials, agent, ca, cluster_id, _stop: stop, _dir: dir }
}

impl Cluster {
    /// A client of one node's operators' listener.
    fn client(&self, node: usize, token: &str) -> Client {
        Client::new(vec![format!("https://{}", self.api[node - 1])], &self.ca, token).unwrap()
    }

    /// A URL on a node's cluster listener.
    fn url(&self, node: u64, path: &str) -> String {
        format!("{}{path}", tls::node_url(&self.cluster_id, NodeId(node), self.cluster[&NodeId(node)].port()))
    }

    fn node_client(&self, node: usize) -> reqwest::Client {
        self.materials[node - 1].peer_client(&self.cluster, ClientOptions::default()).unwrap()
    }

    fn agent_client(&self) -> reqwest::Client {
        self.agent.peer_client(&self.cluster, ClientOptions::default()).unwrap()
    }
}

#[tokio::test]
async fn a_follower_passes_changes_and_reads_on_to_the_leader_in_the_operators_name() {
    let cluster = cluster(Some(1)).await;
    let follower = cluster.client(2, TOKEN);
    let spec = serde_json::from_value(group_json("dmz")).unwrap();
    let changed = follower.put_group(&spec).await.unwrap();
    assert_eq!(changed.events[0].actor, Actor::Operator("alice".to_owned()));

    let status = follower.status(Consistency::Linearizable).await.unwrap();
    assert_eq!((status.node, status.groups.len()), (NodeId(1), 1));
    let stale = follower.status(Consistency::Stale).await.unwrap();
    assert_eq!((stale.node, stale.groups.len()), (NodeId(2), 0));
    let page = follower.history(&HistoryFilter { limit: 1, ..HistoryFilter::default() }).await.unwrap();
    assert_eq!(page.events, changed.events);

    let unknown = follower.remove_group(&"none".parse().unwrap()).await.unwrap_err();
    assert_eq!(unknown.code(), Some(&Code::UnknownGroup));
}

#[tokio::test]
async fn a_wrong_token_is_stopped_at_the_follower() {
    let cluster = cluster(Some(1)).await;
    let error = cluster.client(2, "wrong").status(Consistency::Linearizable).await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::Unauthorised));
}

#[tokio::test]
async fn nodes_that_take_each_other_for_the_leader_do_not_send_a_request_in_circles() {
    let cluster = cluster(Some(1)).await;
    cluster.nodes[0].led_by(Some(2));
    let client = cluster.client(2, TOKEN);
    cluster.nodes[1].led_by(Some(1));
    let error = client.groups(Consistency::Linearizable).await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::NoLeader));
}

#[tokio::test]
async fn a_request_follows_the_leadership_while_it_waits() {
    let cluster = cluster(None).await;
    let client = cluster.client(3, TOKEN);
    let elect = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.nodes.iter().for_each(|node| node.led_by(Some(2)));
    };
    let (status, ()) = tokio::join!(client.status(Consistency::Linearizable), elect);
    assert_eq!(status.unwrap().node, NodeId(2));
}

#[tokio::test]
async fn the_client_asks_the_next_coordinator_when_one_is_gone() {
    let cluster = cluster(Some(1)).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoints = [gone, cluster.api[2]].map(|address| format!("https://{address}"));
    let client = Client::new(endpoints.to_vec(), &cluster.ca, TOKEN).unwrap();
    assert_eq!(client.status(Consistency::Linearizable).await.unwrap().node, NodeId(1));
    let client = Client::new(vec![format!("https://{gone}")], &cluster.ca, TOKEN).unwrap();
    assert!(matches!(client.groups(Consistency::Stale).await, Err(ClientError::Unreachable { .. })));
}

#[tokio::test]
async fn only_a_coordinator_may_forward_and_speak_raft() {
    let cluster = cluster(Some(1)).await;
    let forward = |client: reqwest::Client| {
        client.get(cluster.url(1, "/forward/v1/groups")).header("x-pointsman-operator", "mallory").send()
    };
    assert_eq!(forward(cluster.node_client(2)).await.unwrap().status(), 200);
    let refused = forward(cluster.agent_client()).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["x-pointsman-problem"], "forbidden");

    let ping = |client: reqwest::Client| client.get(cluster.url(1, "/raft/ping")).send();
    assert_eq!(ping(cluster.node_client(3)).await.unwrap().status(), 200);
    assert_eq!(ping(cluster.agent_client()).await.unwrap().status(), 403);

    // The operators' token is worth nothing here, and neither is a connection without certificate.
    let nobody = tls::operator_client(&cluster.ca).unwrap();
    let url = format!("https://{}/forward/v1/groups", cluster.cluster[&NodeId(1)]);
    assert!(nobody.get(url).bearer_auth(TOKEN).send().await.is_err());
}

#[tokio::test]
async fn an_agent_reports_for_itself_alone_and_a_vantage_speaks_for_itself_alone() {
    let cluster = cluster(Some(1)).await;
    let report = |name: &str| {
        json!({
            "appliance": name, "boot": 1, "seq": 1, "version": "0", "highest": 0, "holding": null,
            "vips_up": false, "faults": [], "revision": 0, "via": null, "peers": []
        })
    };
    let url = cluster.url(1, coordinator_api::agent::REPORT_PATH);
    let own = cluster.agent_client().post(&url).json(&report("fw-a")).send().await.unwrap();
    assert_eq!(own.status(), 200);
    let other = cluster.agent_client().post(&url).json(&report("fw-b")).send().await.unwrap();
    assert_eq!(other.status(), 403);
    let node = cluster.node_client(2).post(&url).json(&report("fw-a")).send().await.unwrap();
    assert_eq!(node.status(), 403);
    assert_eq!(cluster.nodes[0].reports.lock().unwrap().len(), 1);

    let update =
        |vantage: u64| json!({"vantage": vantage, "seq": 1, "since": null, "sights": [], "paths": []});
    let url = cluster.url(1, coordinator::control_loop::VANTAGE_PATH);
    let post = |client: reqwest::Client, vantage| client.post(&url).json(&update(vantage)).send();
    let told = post(cluster.node_client(2), 2).await.unwrap();
    assert_eq!(told.status(), 200);
    assert_eq!(told.json::<serde_json::Value>().await.unwrap(), json!({"now": {"life": 1, "at_us": 2}}));
    assert_eq!(post(cluster.node_client(2), 3).await.unwrap().status(), 403);
    assert_eq!(post(cluster.agent_client(), 2).await.unwrap().status(), 403);
    assert_eq!(cluster.nodes[0].updates.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_agent_waits_for_news_of_its_own_group_alone() {
    let cluster = cluster(Some(1)).await;
    let url = cluster.url(1, coordinator_api::agent::CHANGES_PATH);
    let ask = |client: reqwest::Client, name: &str| {
        client.post(&url).json(&json!({"appliance": name, "seen": null})).send()
    };
    let own = ask(cluster.agent_client(), "fw-a").await.unwrap();
    assert_eq!(own.status(), 200);
    let stamp: serde_json::Value = own.json().await.unwrap();
    assert_eq!(stamp, json!({"token": 0, "unreleased": 0, "revision": 0}));
    assert_eq!(ask(cluster.agent_client(), "fw-b").await.unwrap().status(), 403);
    assert_eq!(ask(cluster.node_client(2), "fw-a").await.unwrap().status(), 403);
}

#[tokio::test]
async fn an_occupied_port_is_named_in_the_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = http::bind("operators' listener", address).unwrap_err().to_string();
    assert!(error.contains("operators' listener") && error.contains(&address.to_string()), "{error}");
}
