//! A node without storage: the real rules of the core, behind the real routes.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use coordinator::control_loop::{MoveRefused, Overview, Reading, VantageReply, VantageUpdate};
use coordinator::http::{ApiState, Backend, Tokens};
use coordinator::peers::Peers;
use coordinator::preflight::{PartReply, PartRequest, PreflightRefused};
use coordinator::raft::{
    HistoryError, HistoryQuery, Leadership, NotConfirmed, ProposeError, ReplicaStatus, Role, StorageHealth,
    TransferError,
};
use coordinator_api::agent::{AgentReply, AgentReport, Instruction};
use coordinator_api::v1::{Check, CheckItem, DryRun, Preflight, PreflightRequest, Timestamp};
use coordinator_core::apply::apply;
use coordinator_core::command::{Actor, Command, CommandBody};
use coordinator_core::decide::{MoveRequest, admit};
use coordinator_core::event::Event;
use coordinator_core::ids::{GroupName, NodeId, OperationId};
use coordinator_core::model::{BindingKind, BindingSpec, GroupSpec};
use coordinator_core::observe::{Sight, VantageReport, Verdict};
use coordinator_core::pool::PoolSpec;
use coordinator_core::state::State;
use coordinator_core::time::{Mono, Now, WallTime};
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tower::ServiceExt;

/// The token that [`node`] accepts, as `alice`.
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// A group of two with a VIP, as JSON.
pub(crate) fn group_json(name: &str) -> Value {
    let appliance = |name: &str, host: u8| {
        serde_json::json!({
            "name": name,
            "address": format!("10.0.0.{host}"),
            "probes": [{
                "name": "ssh",
                "kind": {"tcp": {"address": format!("10.0.0.{host}:22")}},
                "interval_ms": 1000, "timeout_ms": 500, "rise": 2, "fall": 3
            }],
            "peer": [],
            "fence": null
        })
    };
    let policy = serde_json::to_value(coordinator_core::model::Policy::default()).unwrap();
    serde_json::json!({
        "name": name,
        "appliances": [appliance("fw-a", 4), appliance("fw-b", 5)],
        "bindings": [{
            "name": "inside",
            "kind": {"vip": {
                "address": "10.0.0.10", "prefix_len": 24, "interfaces": {"fw-a": "eth0", "fw-b": "eth0"}
            }}
        }],
        "policy": policy,
        "lease": {"ttl_ms": 3000, "drift_ppm": 10000}
    })
}

/// A pool of two between two load balancers, as JSON.
pub(crate) fn pool_json(name: &str) -> Value {
    let member = |name: &str, host: u8| {
        serde_json::json!({
            "name": name,
            "address": format!("10.1.0.{host}"),
            "probes": [{
                "name": "proxy",
                "kind": {"tcp": {"address": format!("10.1.0.{host}:3128")}},
                "interval_ms": 1000, "timeout_ms": 500, "rise": 2, "fall": 3
            }]
        })
    };
    let side = |what: &str| {
        serde_json::json!({"backend_pool": {
            "adapter": "azure", "backend_pool": what, "targets": {"px-a": "nic-a", "px-b": "nic-b"}
        }})
    };
    serde_json::json!({
        "name": name,
        "members": [member("px-a", 4), member("px-b", 5)],
        "ingress": side("front"),
        "egress": side("back"),
        "policy": serde_json::to_value(coordinator_core::pool::PoolPolicy::default()).unwrap()
    })
}

/// See the module.
pub(crate) struct FakeNode {
    pub(crate) id: NodeId,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) fault: Mutex<Option<ProposeError>>,
    pub(crate) quorum: Mutex<bool>,
    pub(crate) reports: Mutex<Vec<AgentReport>>,
    pub(crate) updates: Mutex<Vec<VantageUpdate>>,
    pub(crate) storage: Mutex<StorageHealth>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    index: u64,
    state: State,
    events: Vec<Event>,
}

impl FakeNode {
    /// A node that takes `leader` for the leader.
    pub(crate) fn new(id: u64, leader: Option<u64>) -> Arc<FakeNode> {
        let node = FakeNode {
            id: NodeId(id),
            leadership: watch::channel(Leadership::default()).0,
            fault: Mutex::new(None),
            quorum: Mutex::new(true),
            reports: Mutex::default(),
            updates: Mutex::default(),
            storage: Mutex::new(StorageHealth::Ok),
            log: Mutex::default(),
        };
        node.led_by(leader);
        Arc::new(node)
    }

    pub(crate) fn led_by(&self, leader: Option<u64>) {
        let leader = leader.map(NodeId);
        self.leadership.send_replace(Leadership {
            leader,
            term: 1,
            is_self: leader == Some(self.id),
            elected_at: None,
        });
    }

    /// Applies a command as the log would.
    pub(crate) fn apply(&self, command: &Command) -> Result<Vec<Event>, ProposeError> {
        let mut log = self.log.lock().unwrap();
        log.index += 1;
        let (index, mut state) = (log.index, log.state.clone());
        let result = apply(&mut state, index, command);
        log.state = state;
        let events = result.map_err(ProposeError::Rejected)?;
        log.events.extend(events.clone());
        Ok(events)
    }

    /// A coordinator's own command.
    pub(crate) fn command(&self, body: CommandBody) -> Vec<Event> {
        let at = WallTime(1_772_366_400_000);
        self.apply(&Command { at, actor: Actor::Coordinator(self.id), body }).unwrap()
    }

    /// Every vantage sees every appliance up.
    fn observed(&self) -> Overview {
        let mut overview = Overview { now: Mono::from_millis(1000), ..Overview::default() };
        let state = &self.log.lock().unwrap().state;
        for vantage in (1..=3).map(NodeId) {
            let appliances = state.groups.values().flat_map(|group| &group.spec.appliances);
            let sights = appliances.map(|a| Sight {
                appliance: a.name.clone(),
                verdict: Verdict::Up,
                detail: "tcp: connected".to_owned(),
            });
            let report = VantageReport::new(Mono::from_millis(900), sights);
            overview.observations.vantages.insert(vantage);
            overview.observations.reports.insert(vantage, report);
        }
        overview
    }
}

/// The trait is not ours, nor is `Arc`.
pub(crate) struct Handle(pub(crate) Arc<FakeNode>);

impl Backend for Handle {
    fn status(&self) -> ReplicaStatus {
        let leadership = *self.0.leadership.borrow();
        ReplicaStatus {
            node_id: self.0.id,
            cluster_id: "0123456789abcdef0123456789abcdef".to_owned(),
            role: if leadership.is_self { Role::Leader } else { Role::Follower },
            term: leadership.term,
            leader: leadership.leader,
            last_log: Some(1),
            committed: Some(1),
            applied: Some(1),
            snapshot: None,
            purged: None,
            members: (1..=3).map(|id| (NodeId(id), format!("127.0.0.1:740{id}"))).collect(),
            followers: BTreeMap::new(),
            quorum_acked_ms_ago: leadership.is_self.then_some(7),
            storage: self.0.storage.lock().unwrap().clone(),
            not_voting: None,
        }
    }

    fn state(&self) -> Arc<State> {
        Arc::new(self.0.log.lock().unwrap().state.clone())
    }

    fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        watch::channel(self.state()).1
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.subscribe()
    }

    fn overview(&self) -> Overview {
        self.0.observed()
    }

    fn confirm_leadership(&self, _: Duration) -> BoxFuture<'_, Result<(), NotConfirmed>> {
        let confirmed = *self.0.quorum.lock().unwrap();
        Box::pin(async move { if confirmed { Ok(()) } else { Err(NotConfirmed::NoQuorum) } })
    }

    fn propose(&self, command: Command, _: Duration) -> BoxFuture<'_, Result<Vec<Event>, ProposeError>> {
        let fault = self.0.fault.lock().unwrap().take();
        let result = match fault {
            Some(fault) => Err(fault),
            None => self.0.apply(&command),
        };
        Box::pin(async move { result })
    }

    fn request_move<'a>(
        &'a self,
        request: MoveRequest,
        operator: &'a str,
    ) -> BoxFuture<'a, Result<OperationId, MoveRefused>> {
        Box::pin(async move {
            let now = Now { mono: Mono::from_millis(1000), wall: WallTime(1_772_366_400_000) };
            let observations = self.0.observed().observations;
            let start = admit(&self.state(), &observations, now, &request).map_err(MoveRefused::Refused)?;
            let actor = Actor::Operator(operator.to_owned());
            let command = Command { at: now.wall, actor, body: CommandBody::StartOperation(start) };
            let events = self.0.apply(&command).map_err(|error| match error {
                ProposeError::Rejected(rejection) => MoveRefused::Rejected(rejection),
                _ => MoveRefused::Unknown,
            })?;
            Ok(events.iter().find_map(|event| event.operation).unwrap())
        })
    }

    fn dry_run<'a>(
        &'a self,
        request: &'a MoveRequest,
        operator: &'a str,
    ) -> BoxFuture<'a, Result<DryRun, MoveRefused>> {
        let now = Now { mono: Mono::from_millis(1000), wall: WallTime(1_772_366_400_000) };
        let (state, observations) = (self.state(), self.0.observed().observations);
        let admitted = admit(&state, &observations, now, request);
        let next = self.0.log.lock().unwrap().index + 1;
        let sketch = coordinator::dry_run::sketch(&state, request, admitted, next, operator, now.wall);
        Box::pin(async move { Ok(sketch.dry) })
    }

    fn history(&self, query: HistoryQuery) -> BoxFuture<'_, Result<Vec<Event>, HistoryError>> {
        let log = self.0.log.lock().unwrap();
        let older = |e: &&Event| query.before.is_none_or(|before| (e.index, e.seq) < before);
        let newer = |e: &&Event| query.after.is_none_or(|after| (e.index, e.seq) > after);
        let mut found: Vec<Event> =
            log.events.iter().filter(|e| query.matches(e)).filter(older).filter(newer).cloned().collect();
        if query.after.is_none() {
            found.reverse();
        }
        found.truncate(query.effective_limit());
        Box::pin(async move { Ok(found) })
    }

    fn transfer_leadership(&self) -> BoxFuture<'_, Result<NodeId, TransferError>> {
        Box::pin(async { Ok(NodeId(2)) })
    }

    fn agent_report(&self, report: AgentReport) -> AgentReply {
        self.0.reports.lock().unwrap().push(report);
        AgentReply {
            node: self.0.id,
            leader: None,
            instruction: Instruction::NotLeader,
            group: None,
            handover: None,
        }
    }

    fn vantage_update(&self, update: VantageUpdate) -> VantageReply {
        self.0.updates.lock().unwrap().push(update);
        VantageReply { now: Reading { life: 1, at_us: 2 } }
    }

    fn preflight<'a>(
        &'a self,
        request: &'a PreflightRequest,
    ) -> BoxFuture<'a, Result<Preflight, PreflightRefused>> {
        let known = |name: &GroupName| self.state().groups.contains_key(name);
        let unknown = request.group.clone().filter(|name| !known(name));
        let item = CheckItem::warn(Check::Clock, "coordinator 2", "it is slow", "set it");
        let done = Preflight::new(self.0.id, Timestamp(WallTime(0)), 12, vec![item]);
        Box::pin(async move { unknown.map_or(Ok(done), |name| Err(PreflightRefused::UnknownGroup(name))) })
    }

    fn preflight_part<'a>(&'a self, ask: &'a PartRequest) -> BoxFuture<'a, PartReply> {
        let groups =
            ask.groups.iter().map(|group| CheckItem::pass(Check::Declaration, group.as_str(), "fits"));
        let items = groups.collect();
        Box::pin(async { PartReply { received_ms: 1, answered_ms: 2, items } })
    }

    fn pool_faults(&self, spec: &PoolSpec) -> Vec<String> {
        let nowhere = spec.sides().filter(|(_, way)| way.adapter().as_str() == "nowhere");
        nowhere.map(|(side, _)| format!("the {side} side uses the adapter nowhere")).collect()
    }

    fn group_faults(&self, spec: &GroupSpec) -> Vec<String> {
        let nowhere = |b: &BindingSpec| matches!(&b.kind, BindingKind::Route { adapter, .. } if adapter.as_str() == "nowhere");
        let faults = spec.bindings.iter().filter(|b| nowhere(b));
        faults.map(|b| format!("binding {} uses the adapter nowhere", b.name)).collect()
    }
}

/// The accepted token.
pub(crate) fn tokens() -> Tokens {
    Tokens::new([("bob".to_owned(), [0; 32]), ("alice".to_owned(), Sha256::digest(TOKEN.as_bytes()).into())])
}

/// The API of a node that reaches no other.
pub(crate) fn api(node: &Arc<FakeNode>) -> ApiState {
    coordinator_api::tls::install_provider();
    let nowhere: BTreeMap<NodeId, SocketAddr> = BTreeMap::new();
    ApiState::new(Handle(Arc::clone(node)), tokens(), Peers::new(reqwest::Client::new(), "x", nowhere))
}

/// A request with the right token; `body` as JSON unless it is null.
pub(crate) fn request(method: Method, path: &str, body: &Value) -> Request<Body> {
    let request =
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"));
    if body.is_null() {
        return request.body(Body::empty()).unwrap();
    }
    request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of the problem, after checking that it is a whole one.
    #[track_caller]
    pub(crate) fn problem(&self) -> &str {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.json);
        let code = self.json["code"].as_str().unwrap();
        assert_eq!(self.json["status"], self.status.as_u16());
        assert_eq!(self.json["type"], format!("urn:pointsman:problem:{code}"));
        assert_eq!(self.header("x-pointsman-problem"), Some(code));
        assert_eq!(self.header("x-request-id"), self.json["request_id"].as_str());
        assert!(!self.json["request_id"].as_str().unwrap().is_empty());
        assert!(!self.json["detail"].as_str().unwrap().is_empty());
        code
    }
}

/// Sends a request through the routes, without a connection.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response: Response<Body> = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let json = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status: parts.status, headers: parts.headers, json }
}

/// With the right token.
pub(crate) async fn ask(router: &Router, method: Method, path: &str, body: Value) -> Answer {
    send(router, request(method, path, &body)).await
}
