//! What an agent's peer listener answers to requests that are wrong, rude or from somebody else.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::time::{Duration, Instant};

use coordinator_api::peer::{MAX_BODY, PING_PATH, PROMISE_PATH, PingRequest, PromiseReply, PromiseRequest};
use coordinator_api::tls::{TlsMaterial, agent_url, node_dns_name};
use coordinator_core::ids::{ApplianceName, GroupName, NodeId, Token};
use futures::future::join_all;
use support::pair::{ALONE, Member, PATIENT, TTL, active_and_standby};
use support::tls::{Authority, CLUSTER, Raw};

fn ttl_ms() -> u64 {
    u64::try_from(TTL.as_millis()).unwrap()
}

/// Speaks to `to` with the certificate in `tls`.
fn client(tls: &TlsMaterial, to: &Member) -> reqwest::Client {
    tls.agent_client(&to.name, to.listens(), PATIENT).unwrap()
}

fn url(to: &Member, path: &str) -> String {
    format!("{}{path}", agent_url(CLUSTER, &to.name, to.listens().port()))
}

fn ask(appliance: &str, token: u64, for_ms: u64) -> PromiseRequest {
    PromiseRequest {
        appliance: ApplianceName::new(appliance).unwrap(),
        group: GroupName::new("dmz").unwrap(),
        token: Token(token),
        for_ms,
    }
}

async fn status(tls: &TlsMaterial, to: &Member, request: &PromiseRequest) -> u16 {
    client(tls, to).post(url(to, PROMISE_PATH)).json(request).send().await.unwrap().status().as_u16()
}

async fn reply(tls: &TlsMaterial, to: &Member, request: &PromiseRequest) -> PromiseReply {
    let answer = client(tls, to).post(url(to, PROMISE_PATH)).json(request).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_are_given_refused_and_freed() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;

    let given = reply(&a.tls, &b, &ask("fw-a", 5, ttl_ms())).await;
    assert_eq!(given, PromiseReply { promised: true, why: String::new(), token: Token(5) });
    assert!(b.handle.standing().highest == Token(5));

    let holding = reply(&b.tls, &a, &ask("fw-b", 5, ttl_ms())).await;
    assert!(!holding.promised && holding.why.contains("holds the lease"), "{holding:?}");
    let older = reply(&a.tls, &b, &ask("fw-a", 4, ttl_ms())).await;
    assert!(!older.promised && older.token == Token(5) && older.why.contains("newer"), "{older:?}");
    let greedy = reply(&a.tls, &b, &ask("fw-a", 5, ttl_ms() + 1)).await;
    assert!(!greedy.promised && greedy.why.contains("longer than the group's lease"), "{greedy:?}");

    let standing = b.handle.watch();
    support::eventually("it is shown", || standing.borrow().promised_until.is_some()).await;
    reply(&a.tls, &b, &ask("fw-a", 5, 0)).await;
    support::eventually("still promised", || standing.borrow().promised_until.is_some()).await;
    reply(&a.tls, &b, &ask("fw-a", 6, 0)).await;
    support::eventually("freed", || standing.borrow().promised_until.is_none()).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_an_appliance_but_itself_and_only_declared_ones_are_heard() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    let (stranger, node) = (authority.agent("fw-x"), authority.node(1));
    assert_eq!(status(&stranger, &b, &ask("fw-a", 5, 100)).await, 403, "another's name");
    assert_eq!(status(&node, &b, &ask("fw-a", 5, 100)).await, 403, "a coordinator is no appliance");
    assert_eq!(status(&stranger, &b, &ask("fw-x", 5, 100)).await, 403, "not in the group");
    let other_group = PromiseRequest { group: GroupName::new("lan").unwrap(), ..ask("fw-a", 5, 100) };
    assert_eq!(status(&a.tls, &b, &other_group).await, 403);
    let ping = PingRequest { appliance: a.name.clone(), group: GroupName::new("dmz").unwrap() };
    for (tls, expected) in [(&a.tls, 200), (&stranger, 403)] {
        let answer = client(tls, &b).post(url(&b, PING_PATH)).json(&ping).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
    }
    // Of another cluster's authority: not even a handshake.
    let foreign = Authority::new().agent("fw-a");
    let refused = client(&foreign, &b).post(url(&b, PING_PATH)).json(&ping).send().await;
    assert!(refused.is_err());
    assert!(b.handle.standing().promised_until.is_none(), "nothing was promised to anybody");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_and_oversized_and_slow_requests_are_refused() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    let send = |body: Vec<u8>| {
        let request = client(&a.tls, &b).post(url(&b, PROMISE_PATH));
        request.header("content-type", "application/json").body(body).send()
    };
    for rubbish in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"appliance\":\"fw-a\"}"] {
        let status = send(rubbish.to_vec()).await.unwrap().status();
        assert!(status.is_client_error(), "{status} for {rubbish:?}");
    }
    let status = send(vec![b' '; MAX_BODY + 1]).await.unwrap().status();
    assert_eq!(status.as_u16(), 413);

    // A body that never comes: the header promises it.
    let started = Instant::now();
    let head = "POST /peer/v1/ping HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\n\
                content-length: 9\r\n\r\n{";
    let (answer, _) = Raw::ask(&authority, "fw-a", &b, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_coordinators_are_relayed_to_and_only_a_number_of_tunnels_at_once() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    let port = b.coordinator.address.port();
    let coordinator = node_dns_name(CLUSTER, NodeId(2));
    let connect = |target: String| {
        let head = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n");
        let (authority, b) = (&authority, &b);
        async move { Raw::ask(authority, "fw-a", b, head.as_bytes()).await }
    };
    for target in [
        b.coordinator.address.to_string(),
        format!("{coordinator}:{}", port.wrapping_add(1)),
        format!("{}:{port}", node_dns_name(CLUSTER, NodeId(7))),
        "127.0.0.1:22".to_owned(),
    ] {
        let (answer, _) = connect(target.clone()).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{target}: {answer}");
    }
    // All at once: an idle tunnel is closed after some seconds.
    let answers = join_all((0..40).map(|_| connect(format!("{coordinator}:{port}")))).await;
    let how_many = |status: &str| answers.iter().filter(|(answer, _)| answer.contains(status)).count();
    let (open, refused) = (how_many("HTTP/1.1 200"), how_many("HTTP/1.1 503"));
    assert!((1..=32).contains(&open) && refused >= 1 && open + refused == 40, "{open} and {refused}");
    // What ends makes room.
    drop(answers);
    let started = Instant::now();
    while !connect(format!("{coordinator}:{port}")).await.0.starts_with("HTTP/1.1 200") {
        assert!(started.elapsed() < support::PATIENCE, "no room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let head = format!("CONNECT {coordinator}:{port} HTTP/1.1\r\nhost: b\r\n\r\n");
    let (answer, _) = Raw::ask(&authority, "fw-x", &b, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    a.stop().await;
    b.stop().await;
}
