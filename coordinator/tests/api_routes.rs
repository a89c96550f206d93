//! Each route: what it does, who may use it, and how it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod api_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use api_support::{FakeNode, Handle, TOKEN, api, ask, group_json, pool_json, request, send};
use axum::Router;
use axum::body::Body;
use coordinator::http::Backend;
use coordinator::raft::{ProposeError, StorageHealth};
use coordinator_api::tls::PeerIdentity;
use coordinator_api::v1::RecordPage;
use coordinator_core::chain::Chain;
use coordinator_core::command::{CommandBody, OperationKind, StartOperation};
use coordinator_core::ids::{ApplianceName, GroupName, NodeId, Token};
use coordinator_core::model::GroupSpec;
use coordinator_core::observe::Verdict;
use coordinator_core::pool::{PoolCommand, RecordPlacement, Side};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

/// Every route under `/v1`, with a body that it takes.
fn routes() -> Vec<(Method, &'static str, Value)> {
    let reason = || json!({"reason": "test"});
    vec![
        (Method::GET, "/v1/status", Value::Null),
        (Method::GET, "/v1/groups", Value::Null),
        (Method::GET, "/v1/groups/dmz", Value::Null),
        (Method::PUT, "/v1/groups/dmz", group_json("dmz")),
        (Method::DELETE, "/v1/groups/dmz", Value::Null),
        (Method::POST, "/v1/groups/dmz/switchover", reason()),
        (Method::POST, "/v1/groups/dmz/failback", reason()),
        (Method::POST, "/v1/groups/dmz/mode", json!({"mode": "manual", "reason": "test"})),
        (Method::POST, "/v1/groups/dmz/unfreeze", reason()),
        (
            Method::POST,
            "/v1/groups/dmz/appliances/fw-b/maintenance",
            json!({"enabled": true, "reason": "test"}),
        ),
        (Method::POST, "/v1/groups/dmz/appliances/fw-b/confirm-off", json!({"token": 4, "reason": "test"})),
        (Method::GET, "/v1/pools", Value::Null),
        (Method::GET, "/v1/pools/proxies", Value::Null),
        (Method::PUT, "/v1/pools/proxies", pool_json("proxies")),
        (Method::DELETE, "/v1/pools/proxies", Value::Null),
        (Method::POST, "/v1/pools/proxies/members/px-a/take-out", reason()),
        (Method::POST, "/v1/pools/proxies/members/px-a/put-in", reason()),
        (Method::GET, "/v1/operations", Value::Null),
        (Method::GET, "/v1/operations/4", Value::Null),
        (Method::GET, "/v1/history", Value::Null),
        (Method::POST, "/v1/preflight", json!({"group": "dmz"})),
        (Method::GET, "/v1/history/records", Value::Null),
        (Method::POST, "/v1/cluster/transfer-leadership", Value::Null),
    ]
}

fn leader() -> (Arc<FakeNode>, Router) {
    let node = FakeNode::new(1, Some(1));
    let router = api(&node).operator_router();
    (node, router)
}

fn name(text: &str) -> ApplianceName {
    text.parse().unwrap()
}

/// A node with group `dmz`, both appliances up, `fw-a` active and at rest.
async fn settled() -> (Arc<FakeNode>, Router) {
    let (node, router) = leader();
    let declared = ask(&router, Method::PUT, "/v1/groups/dmz", group_json("dmz")).await;
    assert_eq!(declared.status, StatusCode::OK, "{}", declared.json);
    let group: GroupName = "dmz".parse().unwrap();
    for appliance in ["fw-a", "fw-b"] {
        node.command(CommandBody::RecordVerdict {
            group: group.clone(),
            appliance: name(appliance),
            verdict: Verdict::Up,
            evidence: Vec::new(),
        });
    }
    let start = StartOperation {
        group: group.clone(),
        kind: OperationKind::Activation,
        to: name("fw-a"),
        expected: Token::NONE,
        supersedes: None,
        reason: String::new(),
        because: Vec::new(),
        evidence: Vec::new(),
    };
    let operation = node.command(CommandBody::StartOperation(start))[0].operation.unwrap();
    node.command(CommandBody::RecordStep(coordinator_core::command::RecordStep {
        group,
        operation,
        binding: "inside".parse().unwrap(),
        outcome: coordinator_core::command::StepOutcome::Done,
        calls: vec![coordinator_core::command::CallRecord {
            call: "report of fw-a".to_owned(),
            result: "holds".to_owned(),
            took: Duration::from_millis(3),
        }],
        took: Duration::from_millis(12),
    }));
    in_service(&node, &router).await;
    (node, router)
}

/// Declares pool `proxies`, both members up and in.
async fn in_service(node: &Arc<FakeNode>, router: &Router) {
    let declared = ask(router, Method::PUT, "/v1/pools/proxies", pool_json("proxies")).await;
    assert_eq!(declared.status, StatusCode::OK, "{}", declared.json);
    for member in ["px-a", "px-b"] {
        node.command(CommandBody::Pool(PoolCommand::RecordVerdict {
            pool: "proxies".parse().unwrap(),
            member: name(member),
            verdict: Verdict::Up,
            evidence: Vec::new(),
        }));
        let path = format!("/v1/pools/proxies/members/{member}/put-in");
        let put = ask(router, Method::POST, &path, json!({"reason": "new"})).await;
        assert_eq!(put.status, StatusCode::OK, "{}", put.json);
        placed(node, member, [Side::Ingress, Side::Egress]);
    }
}

/// The cloud has done as it was told on these sides of a member.
fn placed<const N: usize>(node: &Arc<FakeNode>, member: &str, sides: [Side; N]) {
    for side in sides {
        let state = Handle(Arc::clone(node)).state();
        let token = state.pools.values().next().unwrap().token;
        node.command(CommandBody::Pool(PoolCommand::RecordPlacement(RecordPlacement {
            pool: "proxies".parse().unwrap(),
            member: name(member),
            token,
            side,
            outcome: coordinator_core::command::StepOutcome::Done,
            calls: Vec::new(),
            took: Duration::from_millis(12),
        })));
    }
}

#[tokio::test]
async fn every_route_wants_a_token_and_gives_no_hint_about_it() {
    let (_node, router) = leader();
    let wrong = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic YTpi",
        "bearer correct",
        &format!("Bearer {TOKEN}x"),
    ];
    for (method, path, body) in routes().into_iter().chain([(Method::GET, "/v1/nothing", Value::Null)]) {
        let mut answers = Vec::new();
        for header in wrong.iter().copied().map(Some).chain([None]) {
            let mut request = request(method.clone(), path, &body);
            request.headers_mut().remove("authorization");
            if let Some(header) = header {
                request.headers_mut().insert("authorization", header.parse().unwrap());
            }
            request.headers_mut().insert("x-request-id", "same".parse().unwrap());
            let answer = send(&router, request).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} {header:?}");
            assert_eq!(answer.problem(), "unauthorised");
            assert!(answer.header("www-authenticate").is_some_and(|v| v.starts_with("Bearer")));
            answers.push(answer.json);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "the answers differ: {answers:?}");
    }
}

#[tokio::test]
async fn every_route_lets_the_right_token_in() {
    for (method, path, body) in routes() {
        let (_node, router) = settled().await;
        let answer = ask(&router, method.clone(), path, body).await;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_ne!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.json);
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(answer.header("x-request-id").is_some(), "{method} {path}");
    }
}

#[tokio::test]
async fn health_wants_no_token_and_readiness_says_what_is_missing() {
    let (node, router) = leader();
    let get = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
    assert_eq!(send(&router, get("/healthz")).await.status, StatusCode::OK);
    assert_eq!(send(&router, get("/readyz")).await.json["ready"], true);
    node.led_by(None);
    let answer = send(&router, get("/readyz")).await;
    assert_eq!((answer.status, &answer.json["leader"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
    assert_eq!(send(&router, get("/healthz")).await.status, StatusCode::OK);
    node.led_by(Some(1));
    *node.storage.lock().unwrap() = StorageHealth::Full { detail: "no room".to_owned() };
    assert_eq!(send(&router, get("/readyz")).await.json["storage"], false);
}

#[tokio::test]
async fn errors_of_the_edge_are_problems_with_stable_codes() {
    let (_node, router) = leader();
    let raw = |method: Method, path: &str, content_type: Option<&str>, body: Vec<u8>| {
        let mut request = request(method, path, &Value::Null);
        if let Some(value) = content_type {
            request.headers_mut().insert("content-type", value.parse().unwrap());
        }
        *request.body_mut() = Body::from(body);
        request
    };
    let json_type = Some("application/json");
    let mode = "/v1/groups/dmz/mode";
    let cases = [
        (404, "not-found", raw(Method::GET, "/v1/nothing", None, vec![])),
        (404, "not-found", raw(Method::GET, "/", None, vec![])),
        (405, "method-not-allowed", raw(Method::DELETE, "/v1/status", None, vec![])),
        (405, "method-not-allowed", raw(Method::GET, mode, None, vec![])),
        (413, "body-too-large", raw(Method::POST, mode, json_type, vec![b' '; 256 * 1024 + 1])),
        (415, "unsupported-media-type", raw(Method::POST, mode, Some("text/plain"), b"{}".to_vec())),
        (415, "unsupported-media-type", raw(Method::POST, mode, None, b"{}".to_vec())),
        (400, "bad-request", raw(Method::POST, mode, json_type, b"{".to_vec())),
        (400, "bad-request", raw(Method::POST, mode, json_type, br#"{"mode":"odd","reason":"x"}"#.to_vec())),
        (
            400,
            "bad-request",
            raw(Method::POST, mode, json_type, br#"{"mode":"manual","reason":"x","a":1}"#.to_vec()),
        ),
        (
            422,
            "unprocessable",
            raw(Method::POST, mode, json_type, br#"{"mode":"manual","reason":" "}"#.to_vec()),
        ),
        (
            422,
            "unprocessable",
            raw(Method::POST, mode, json_type, br#"{"mode":"manual","reason":"a\nb"}"#.to_vec()),
        ),
        (400, "bad-request", raw(Method::GET, "/v1/groups/NO", None, vec![])),
        (400, "bad-request", raw(Method::GET, "/v1/history?limit=0", None, vec![])),
        (400, "bad-request", raw(Method::GET, "/v1/history?levle=alert", None, vec![])),
        (400, "bad-request", raw(Method::GET, "/v1/history?since=yesterday", None, vec![])),
        (400, "bad-request", raw(Method::GET, "/v1/operations/x", None, vec![])),
        (404, "unknown-operation", raw(Method::GET, "/v1/operations/99", None, vec![])),
        (404, "unknown-group", raw(Method::GET, "/v1/groups/none", None, vec![])),
        (404, "unknown-group", raw(Method::DELETE, "/v1/groups/none", None, vec![])),
    ];
    for (status, code, request) in cases {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = send(&router, request).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, code), "{what}: {}", answer.json);
    }
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let (_node, router) = leader();
    let with = async |id: &str| {
        let mut request = request(Method::GET, "/v1/status", &Value::Null);
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        send(&router, request).await.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(with("abc-1.2_3").await, "abc-1.2_3");
    for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
        let id = with(bad).await;
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{bad:?} gave {id:?}");
    }
}

#[tokio::test]
async fn a_declaration_is_stored_in_the_operators_name() {
    let (_node, router) = leader();
    let answer = ask(&router, Method::PUT, "/v1/groups/dmz", group_json("dmz")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!(answer.json["events"][0]["actor"], json!({"operator": "alice"}));
    let shown = ask(&router, Method::GET, "/v1/groups/dmz", Value::Null).await.json;
    // The answer spells the defaults out.
    let spec = |json: &Value| serde_json::from_value::<GroupSpec>(json.clone()).unwrap();
    assert_eq!(spec(&shown["spec"]), spec(&group_json("dmz")));
    assert_eq!(shown["members"][0]["role"], "standby");
    assert_eq!(shown["members"][0]["vantages"].as_array().unwrap().len(), 3);
    assert_eq!(shown["members"][0]["vantages"][0]["age_ms"], 100);
    let again = ask(&router, Method::PUT, "/v1/groups/dmz", group_json("dmz")).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn a_faulty_declaration_is_refused_with_all_faults() {
    let (_node, router) = leader();
    let mut spec = group_json("dmz");
    spec["polcy"] = json!({});
    let answer = ask(&router, Method::PUT, "/v1/groups/dmz", spec).await;
    assert_eq!(answer.problem(), "bad-request");
    assert!(answer.json["detail"].as_str().unwrap().contains("polcy"), "{}", answer.json);

    let mut spec = group_json("dmz");
    spec["appliances"][1]["probes"][0]["interval"] = json!(5);
    let answer = ask(&router, Method::PUT, "/v1/groups/dmz", spec).await;
    assert!(answer.json["detail"].as_str().unwrap().contains("appliances[1].probes[0].interval"));

    let mut spec = group_json("dmz");
    spec["bindings"][0]["kind"]["vip"]["address"] = json!("10.0.0.4");
    spec["appliances"][0]["probes"][0]["rise"] = json!(0);
    let answer = ask(&router, Method::PUT, "/v1/groups/dmz", spec).await;
    assert_eq!(answer.problem(), "unprocessable");
    assert!(answer.json["reasons"].as_array().unwrap().len() >= 2, "{}", answer.json);

    let answer = ask(&router, Method::PUT, "/v1/groups/other", group_json("dmz")).await;
    assert_eq!(answer.problem(), "unprocessable");
    assert!(
        ask(&router, Method::GET, "/v1/groups", Value::Null).await.json["groups"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_switchover_starts_an_operation_and_a_second_one_is_refused_while_it_runs() {
    let (_node, router) = settled().await;
    let answer =
        ask(&router, Method::POST, "/v1/groups/dmz/switchover", json!({"reason": "patch day"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.json);
    let id = answer.json["operation"].as_u64().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/v1/operations/{id}").as_str()));

    let operation = ask(&router, Method::GET, &format!("/v1/operations/{id}"), Value::Null).await.json;
    assert_eq!(operation["kind"], "switchover");
    assert_eq!((&operation["from"], &operation["to"]), (&json!("fw-a"), &json!("fw-b")));
    assert_eq!((&operation["state"], &operation["reason"]), (&json!("running"), &json!("patch day")));

    let group = ask(&router, Method::GET, "/v1/groups/dmz", Value::Null).await.json;
    assert_eq!(group["members"][0]["role"], "releasing");
    assert_eq!(group["members"][1]["role"], "activating");
    assert_eq!(group["bindings"][0]["points_at"], "fw-a");

    let second = ask(&router, Method::POST, "/v1/groups/dmz/switchover", json!({"reason": "again"})).await;
    assert_eq!((second.status, second.problem()), (StatusCode::CONFLICT, "operation-running"));
}

#[tokio::test]
async fn a_switchover_to_a_standby_in_maintenance_is_refused_with_the_reason_and_can_be_forced() {
    let (_node, router) = settled().await;
    let maintenance = "/v1/groups/dmz/appliances/fw-b/maintenance";
    let answer =
        ask(&router, Method::POST, maintenance, json!({"enabled": true, "reason": "new firmware"})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);

    let wanted = json!({"to": "fw-b", "reason": "drill"});
    let answer = ask(&router, Method::POST, "/v1/groups/dmz/switchover", wanted).await;
    assert_eq!((answer.status, answer.problem()), (StatusCode::CONFLICT, "refused"));
    let reasons = answer.json["reasons"].to_string();
    assert!(reasons.contains("fw-b is in maintenance"), "{reasons}");

    let forced = json!({"to": "fw-b", "reason": "drill", "force": true});
    let answer = ask(&router, Method::POST, "/v1/groups/dmz/switchover", forced).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.json);
    let id = &answer.json["operation"];
    let operation = ask(&router, Method::GET, &format!("/v1/operations/{id}"), Value::Null).await.json;
    assert_eq!(operation["kind"], "forced_switchover");
}

#[tokio::test]
async fn an_operators_word_that_an_appliance_is_off_lets_the_move_go_on() {
    let (node, router) = settled().await;
    let confirm = async |appliance: &str, token: u64| {
        let path = format!("/v1/groups/dmz/appliances/{appliance}/confirm-off");
        ask(&router, Method::POST, &path, json!({"token": token, "reason": "I pulled the plug"})).await
    };
    let group = async || ask(&router, Method::GET, "/v1/groups/dmz", Value::Null).await.json;
    let token = group().await["token"].as_u64().unwrap();
    let answer = confirm("fw-a", token).await;
    assert_eq!((answer.status, answer.problem()), (StatusCode::CONFLICT, "refused"));
    assert!(answer.json["reasons"].to_string().contains("it is the active appliance"), "{}", answer.json);

    let wanted = json!({"to": "fw-b", "reason": "drill"});
    let moved = ask(&router, Method::POST, "/v1/groups/dmz/switchover", wanted).await.json;
    let answer = confirm("fw-a", token).await;
    assert_eq!(answer.problem(), "refused", "a word about an earlier grant: {}", answer.json);
    let answer = confirm("fw-a", moved["operation"].as_u64().unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    let [word, released] = answer.json["events"].as_array().unwrap().as_slice() else {
        panic!("{}", answer.json);
    };
    let said = "an operator has made sure that fw-a is off (reason given: I pulled the plug)";
    assert!(word["sentence"].as_str().unwrap().ends_with(said), "{word}");
    assert_eq!(word["actor"], json!({"operator": "alice"}));
    assert!(released["sentence"].as_str().unwrap().contains("an operator made sure"), "{released}");
    assert!(Handle(node.clone()).state().groups[&"dmz".parse().unwrap()].unreleased.is_empty());
    let path = format!("/v1/operations/{}", moved["operation"]);
    let operation = ask(&router, Method::GET, &path, Value::Null).await;
    assert_eq!(operation.json["released"]["proof"], "operator");
}

#[tokio::test]
async fn a_group_shows_who_is_to_be_switched_off_and_how_that_goes() {
    let (node, router) = settled().await;
    let mut declared = group_json("dmz");
    declared["policy"]["fencing"] = json!("require");
    for appliance in declared["appliances"].as_array_mut().unwrap() {
        appliance["fence"] = json!({"hook": {"name": "power-off"}});
    }
    let answer = ask(&router, Method::PUT, "/v1/groups/dmz", declared).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    let group: GroupName = "dmz".parse().unwrap();
    let (fw_a, verdict) = (name("fw-a"), Verdict::Down);
    node.command(CommandBody::RecordVerdict {
        group: group.clone(),
        appliance: fw_a.clone(),
        verdict,
        evidence: vec![],
    });
    let start = StartOperation {
        group: group.clone(),
        kind: OperationKind::Failover,
        to: name("fw-b"),
        expected: Handle(node.clone()).state().groups[&group].token,
        supersedes: None,
        reason: String::new(),
        because: Vec::new(),
        evidence: Vec::new(),
    };
    node.command(CommandBody::StartOperation(start));
    let asked = Handle(node.clone()).state().groups[&group].fencing[&fw_a].asked;
    let error = "exit 1: no route".to_owned();
    node.command(CommandBody::RecordFence(coordinator_core::command::RecordFence {
        group,
        appliance: fw_a,
        asked,
        outcome: coordinator_core::command::StepOutcome::Failed { error },
        took: Duration::from_millis(3),
    }));
    let status = ask(&router, Method::GET, "/v1/groups/dmz", Value::Null).await.json;
    let member = &status["members"][0];
    assert_eq!((&member["name"], &member["role"]), (&json!("fw-a"), &json!("releasing")));
    let fencing = &member["fencing"];
    assert_eq!((&fencing["how"], &fencing["attempts"]), (&json!("hook power-off"), &json!(1)));
    assert_eq!((&fencing["error"], &fencing["holds"]), (&json!("exit 1: no route"), &json!(true)));
    assert_eq!(status["members"][1]["fencing"], Value::Null);
}

#[tokio::test]
async fn an_operation_shows_the_calls_that_the_history_recorded() {
    let (_node, router) = settled().await;
    let list = ask(&router, Method::GET, "/v1/operations?state=ended&group=dmz", Value::Null).await.json;
    let id = &list["operations"][0]["id"];
    assert!(list["operations"][0]["steps"][0].get("calls").is_none());
    let operation = ask(&router, Method::GET, &format!("/v1/operations/{id}"), Value::Null).await.json;
    assert_eq!(
        operation["steps"][0]["calls"][0],
        json!({"call": "report of fw-a", "result": "holds", "took_ms": 3})
    );
    let running = ask(&router, Method::GET, "/v1/operations?state=running", Value::Null).await.json;
    assert_eq!(running["operations"], json!([]));
}

#[tokio::test]
async fn the_history_is_read_page_by_page_without_gap_or_overlap() {
    let (_node, router) = settled().await;
    let all = ask(&router, Method::GET, "/v1/history", Value::Null).await.json;
    let all = all["events"].as_array().unwrap();
    assert!(all.len() >= 4, "{all:?}");
    let mut paged = Vec::new();
    let mut path = "/v1/history?limit=2".to_owned();
    loop {
        let page = ask(&router, Method::GET, &path, Value::Null).await.json;
        paged.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/history?limit=2&before={next}");
    }
    assert_eq!(&paged, all);
    let filtered =
        ask(&router, Method::GET, "/v1/history?appliance=fw-b&group=dmz&level=info", Value::Null).await.json;
    let filtered = filtered["events"].as_array().unwrap();
    assert!(
        !filtered.is_empty() && filtered.iter().all(|event| event["appliance"] == "fw-b"),
        "{filtered:?}"
    );
}

#[tokio::test]
async fn the_records_continue_each_other_from_page_to_page() {
    let (_node, router) = settled().await;
    let mut chain = Chain::default();
    let mut path = "/v1/history/records?limit=2".to_owned();
    let page = loop {
        let answer = ask(&router, Method::GET, &path, Value::Null).await.json;
        let page: RecordPage = serde_json::from_value(answer).unwrap();
        page.records.iter().for_each(|event| chain.check(event).unwrap());
        let last = page.records.last().unwrap();
        path = format!("/v1/history/records?limit=2&after={}.{}", last.index, last.seq);
        if !page.more {
            break page;
        }
    };
    assert!(chain.count >= 4, "{chain:?}");
    assert_eq!(page.chain, chain);
    let none = ask(&router, Method::GET, "/v1/history/records?limit=0", Value::Null).await;
    assert_eq!(none.problem(), "bad-request");
}

#[tokio::test]
async fn what_the_log_cannot_do_has_its_own_code() {
    let (node, router) = settled().await;
    let detail = || "5 MiB left".to_owned();
    let faults = [
        (507, "storage-full", ProposeError::StorageFull { detail: detail() }),
        (504, "outcome-unknown", ProposeError::TimedOut),
        (503, "shutting-down", ProposeError::Stopped),
        (413, "body-too-large", ProposeError::TooLarge { bytes: 2, limit: 1 }),
    ];
    for (status, code, fault) in faults {
        *node.fault.lock().unwrap() = Some(fault);
        let answer = ask(&router, Method::POST, "/v1/groups/dmz/unfreeze", json!({"reason": "x"})).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, code), "{}", answer.json);
    }
}

#[tokio::test]
async fn without_a_leader_changes_and_reads_wait_two_seconds_and_stale_reads_do_not_wait() {
    let (node, router) = settled().await;
    node.led_by(None);
    let asked = Instant::now();
    let (read, change) = tokio::join!(
        ask(&router, Method::GET, "/v1/groups", Value::Null),
        ask(&router, Method::DELETE, "/v1/groups/dmz", Value::Null),
    );
    for answer in [read, change] {
        assert_eq!((answer.status, answer.problem()), (StatusCode::SERVICE_UNAVAILABLE, "no-leader"));
        assert!(answer.header("retry-after").is_some());
    }
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
    let asked = Instant::now();
    let answer = ask(&router, Method::GET, "/v1/groups?consistency=stale", Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(answer.json["groups"][0]["name"], "dmz");
}

#[tokio::test]
async fn a_leader_elected_meanwhile_does_what_was_asked() {
    let (node, router) = settled().await;
    node.led_by(None);
    let elect = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        node.led_by(Some(1));
    };
    let (answer, ()) = tokio::join!(ask(&router, Method::DELETE, "/v1/groups/dmz", Value::Null), elect);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
}

#[tokio::test]
async fn a_leader_that_no_quorum_confirms_answers_no_linearizable_read() {
    let (node, router) = settled().await;
    *node.quorum.lock().unwrap() = false;
    let answer = ask(&router, Method::GET, "/v1/status", Value::Null).await;
    assert_eq!(answer.problem(), "no-leader");
    let answer = ask(&router, Method::GET, "/v1/status?consistency=stale", Value::Null).await;
    assert_eq!((answer.status, answer.header("x-pointsman-age-ms")), (StatusCode::OK, Some("7")));
}

#[tokio::test]
async fn a_group_that_does_not_fit_the_configuration_is_refused_with_every_fault() {
    let (_node, router) = leader();
    let mut group = group_json("dmz");
    let route = |name: &str| {
        json!({"name": name, "kind": {"route": {
            "adapter": "nowhere", "table": "rt", "route": name,
            "targets": {"fw-a": "10.0.0.4", "fw-b": "10.0.0.5"}
        }}})
    };
    group["bindings"] = json!([route("north"), route("south")]);
    let answer = ask(&router, Method::PUT, "/v1/groups/dmz", group).await;
    assert_eq!(answer.problem(), "unprocessable");
    let reasons = &answer.json["reasons"];
    assert_eq!(reasons.as_array().map(Vec::len), Some(2), "{reasons}");
}

#[tokio::test]
async fn a_preflight_is_a_list_of_items_with_stable_names() {
    let (_node, router) = settled().await;
    let done = ask(&router, Method::POST, "/v1/preflight", json!({})).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.json);
    assert_eq!((&done.json["verdict"], &done.json["leader"]), (&json!("warn"), &json!(1)));
    let expected = json!({
        "check": "clock", "verdict": "warn", "subject": "coordinator 2", "found": "it is slow", "advice": "set it"
    });
    assert_eq!(done.json["items"], json!([expected]));
    let unknown = ask(&router, Method::POST, "/v1/preflight", json!({"group": "none"})).await;
    assert_eq!((unknown.status, unknown.problem()), (StatusCode::NOT_FOUND, "unknown-group"));
    let odd = ask(&router, Method::POST, "/v1/preflight", json!({"write": true})).await;
    assert_eq!((odd.status, odd.problem()), (StatusCode::BAD_REQUEST, "bad-request"));
}

#[tokio::test]
async fn only_coordinators_ask_each_other_for_their_part_of_a_preflight() {
    let (node, _) = settled().await;
    let cluster = api(&node).cluster_router();
    let asked = |peer: PeerIdentity| {
        let mut request = request(Method::POST, "/peer/v1/preflight", &json!({"groups": ["dmz"]}));
        request.extensions_mut().insert(peer);
        request
    };
    let answer = send(&cluster, asked(PeerIdentity::Node(NodeId(2)))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!(answer.json["items"][0]["check"], "declaration");
    let refused = send(&cluster, asked(PeerIdentity::Agent(name("fw-a")))).await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::FORBIDDEN, "forbidden"));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (node, router) = settled().await;
    let before =
        (Handle(node.clone()).state(), ask(&router, Method::GET, "/v1/history", Value::Null).await.json);
    let path = "/v1/groups/dmz/switchover";
    let dry = ask(&router, Method::POST, path, json!({"reason": "x", "dry_run": true})).await;
    assert_eq!(dry.status, StatusCode::OK, "{}", dry.json);
    assert_eq!((&dry.json["from"], &dry.json["to"]), (&json!("fw-a"), &json!("fw-b")));
    assert_eq!(dry.json["refused"], json!([]));
    assert_eq!(dry.json["parts"][0]["what"], "fw-b takes inside under its lease");
    let first = dry.json["first"][0].as_str().unwrap();
    assert!(first.starts_with("fw-a lets go of its lease") && first.contains("3031 ms"), "{first}");
    // The activation is no move from one appliance to another, so nothing is recorded yet.
    let steps = json!([{"binding": "inside", "kind": "vip"}]);
    assert_eq!(dry.json["estimate"], json!({"steps": steps}));

    let refused =
        ask(&router, Method::POST, path, json!({"reason": "x", "to": "fw-a", "dry_run": true})).await;
    assert_eq!(refused.status, StatusCode::OK, "{}", refused.json);
    assert_eq!(refused.json["refused"].as_array().map(Vec::len), Some(1), "{}", refused.json);
    assert_eq!((&refused.json["to"], &refused.json["parts"]), (&Value::Null, &json!([])));
    let failback = "/v1/groups/dmz/failback";
    let refused = ask(&router, Method::POST, failback, json!({"reason": "x", "dry_run": true})).await;
    assert!(!refused.json["refused"].as_array().unwrap().is_empty(), "{}", refused.json);

    for (path, body, code) in [
        ("/v1/groups/none/switchover", json!({"reason": "x", "dry_run": true}), "unknown-group"),
        (path, json!({"reason": "x", "to": "fw-x", "dry_run": true}), "unknown-appliance"),
        (path, json!({"reason": " ", "dry_run": true}), "unprocessable"),
    ] {
        assert_eq!(ask(&router, Method::POST, path, body).await.problem(), code);
    }
    let after =
        (Handle(node.clone()).state(), ask(&router, Method::GET, "/v1/history", Value::Null).await.json);
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_dry_run_estimates_by_earlier_moves() {
    let (node, router) = settled().await;
    let path = "/v1/groups/dmz/switchover";
    let moved = ask(&router, Method::POST, path, json!({"reason": "x"})).await;
    let operation = serde_json::from_value(moved.json["operation"].clone()).unwrap();
    let started = Handle(node.clone()).state().time;
    let at = |ms: u64| coordinator_core::time::WallTime(started.0 + ms);
    let group: GroupName = "dmz".parse().unwrap();
    let commands = [
        CommandBody::RecordRelease {
            group: group.clone(),
            appliance: name("fw-a"),
            token: coordinator_core::ids::OperationId::token(operation),
            proof: coordinator_core::command::ReleaseProof::Confirmed,
        },
        CommandBody::RecordStep(coordinator_core::command::RecordStep {
            group,
            operation,
            binding: "inside".parse().unwrap(),
            outcome: coordinator_core::command::StepOutcome::Done,
            calls: Vec::new(),
            took: Duration::from_millis(200),
        }),
    ];
    for body in commands {
        let actor = coordinator_core::command::Actor::Coordinator(NodeId(1));
        node.apply(&coordinator_core::command::Command { at: at(250), actor, body }).unwrap();
    }
    let dry = ask(&router, Method::POST, path, json!({"reason": "x", "dry_run": true})).await;
    let total = json!({"samples": 1, "median_ms": 250, "worst_ms": 250});
    assert_eq!(dry.json["estimate"]["total"], total, "{}", dry.json);
    assert_eq!(dry.json["estimate"]["steps"][0]["timings"], total);
}

#[tokio::test]
async fn a_member_is_taken_out_and_put_in_and_a_half_done_change_is_seen() {
    let (node, router) = settled().await;
    let show = async || ask(&router, Method::GET, "/v1/pools/proxies", Value::Null).await.json;
    let pool = show().await;
    assert_eq!((&pool["serving"], &pool["size"], &pool["changing"]), (&json!(2), &json!(2), &json!(0)));
    let out = "/v1/pools/proxies/members/px-a/take-out";
    let taken = ask(&router, Method::POST, out, json!({"reason": "patch day"})).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.json);
    let sentence = taken.json["events"][0]["sentence"].as_str().unwrap();
    assert_eq!(sentence, "proxies: px-a is being taken out: an operator asked for it: patch day");
    assert_eq!(taken.json["events"][0]["pool"], "proxies");

    placed(&node, "px-a", [Side::Ingress]);
    let member = show().await["members"][0].clone();
    assert_eq!((&member["standing"], &member["half_applied"]), (&json!("leaving"), &json!(true)));
    assert_eq!(member["sides"][0]["inside"], false);
    assert_eq!(member["sides"][1]["inside"], Value::Null);
    assert_eq!(member["actor"], json!({"operator": "alice"}));
    placed(&node, "px-a", [Side::Egress]);
    assert_eq!(show().await["members"][0]["standing"], "out");

    let last = "/v1/pools/proxies/members/px-b/take-out";
    let refused = ask(&router, Method::POST, last, json!({"reason": "patch day"})).await;
    assert_eq!(refused.problem(), "refused");
    let why = refused.json["reasons"][0].as_str().unwrap();
    assert!(why.contains("without it 0 would be in and up, and at least 1 must be"), "{why}");

    let history = ask(&router, Method::GET, "/v1/history?pool=proxies&limit=3", Value::Null).await.json;
    let words: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|e| e["sentence"].as_str().unwrap()).collect();
    assert_eq!(words[1], "proxies: px-a is out on the egress side after 12ms");
    assert!(words[0].starts_with("proxies: px-a is out on every side"), "{words:?}");
}

#[tokio::test]
async fn a_faulty_pool_is_refused_with_all_faults() {
    let (_node, router) = leader();
    let put = async |spec: Value| ask(&router, Method::PUT, "/v1/pools/proxies", spec).await;
    let mut spec = pool_json("proxies");
    spec["policy"]["min_in"] = json!(2);
    spec["egress"]["backend_pool"]["targets"] = json!({"px-a": "nic-a"});
    let answer = put(spec).await;
    assert_eq!(answer.problem(), "unprocessable");
    assert_eq!(answer.json["reasons"].as_array().unwrap().len(), 2, "{}", answer.json);
    let mut spec = pool_json("proxies");
    spec["policy"]["min_inn"] = json!(1);
    let answer = put(spec).await;
    assert_eq!(answer.problem(), "bad-request");
    assert!(answer.json["detail"].as_str().unwrap().contains("policy.min_inn is not a field of a pool"));
    let mut spec = pool_json("proxies");
    spec["ingress"]["backend_pool"]["adapter"] = json!("nowhere");
    spec["egress"]["backend_pool"]["adapter"] = json!("nowhere");
    assert_eq!(put(spec).await.problem(), "unprocessable");
    let answer = ask(&router, Method::GET, "/v1/pools/proxies", Value::Null).await;
    assert_eq!(answer.problem(), "unknown-pool");
}
