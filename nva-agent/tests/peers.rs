//! Two and three agents in this process, over loopback with real TLS: pings, promises, and what
//! comes of them when nobody renews a lease.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::time::{Duration, Instant};

use coordinator_api::agent::Instruction;
use coordinator_core::ids::Token;
use support::eventually;
use support::pair::{ALONE, Member, TTL, active_and_standby};
use support::tls::Authority;

/// More than a busy machine adds.
const SLACK: Duration = Duration::from_millis(300);

fn state_of(member: &Member) -> String {
    std::fs::read_to_string(member.directory.path().join("agent.state")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_find_each_other_and_notice_when_one_is_gone() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, false).await;
    let up = |report: &coordinator_api::agent::AgentReport| {
        report.peers.iter().any(|path| path.up && path.path == 0 && path.rtt_us.is_some_and(|us| us > 0))
    };
    let report = a.coordinator.hears("the peer is up", up).await;
    assert_eq!(report.peers[0].appliance, b.name);
    assert_eq!((report.revision, report.via), (1, None));
    b.coordinator.hears("and the other way round", up).await;
    b.stop().await;
    a.coordinator.hears("the peer is down", |report| report.peers.iter().all(|path| !path.up)).await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_the_lease_goes_on_while_the_peer_promises_and_ends_with_it() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    a.loses_the_quorum();
    b.loses_the_quorum();
    let lost = Instant::now();
    while lost.elapsed() < 3 * TTL {
        assert_eq!(a.holding(), Some(Token(5)), "after {:?}", lost.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(a.handle.standing().relying);
    assert!(b.handle.standing().promised_until.is_some());
    assert!(state_of(&b).contains("\"promised_ms\": 2021"), "{}", state_of(&b));

    b.stop().await;
    let gone = Instant::now();
    eventually("the lease ends", || a.holding().is_none()).await;
    assert!(gone.elapsed() < TTL + SLACK, "{:?}", gone.elapsed());
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_failsafe_the_lease_ends_although_the_peer_is_there() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, false).await;
    a.loses_the_quorum();
    let lost = Instant::now();
    eventually("the lease ends", || a.holding().is_none()).await;
    assert!(lost.elapsed() < TTL + SLACK, "{:?}", lost.elapsed());
    assert!(b.handle.standing().promised_until.is_none());
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_silent_peer_of_two_is_enough_to_end_the_lease() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    let c = Member::start(&authority, "fw-c", 3);
    c.declare(true, 2, vec![a.peer(), b.peer()]);
    c.standby(5);
    b.declare(true, 2, vec![a.peer(), c.peer()]);
    a.declare(true, 2, vec![b.peer(), c.peer()]);
    for member in [&a, &b, &c] {
        member.coordinator.hears("the declaration", |report| report.revision == 2).await;
    }
    a.loses_the_quorum();
    let lost = Instant::now();
    while lost.elapsed() < 2 * TTL {
        assert_eq!(a.holding(), Some(Token(5)), "both promise, after {:?}", lost.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    c.stop().await;
    let gone = Instant::now();
    eventually("the lease ends", || a.holding().is_none()).await;
    assert!(gone.elapsed() < TTL + SLACK, "{:?}", gone.elapsed());
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_quorum_takes_the_role_from_an_appliance_that_is_cut_off_from_it() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    // Only `a` has lost it.
    a.loses_the_quorum();
    eventually("it goes on by promises", || a.handle.standing().relying).await;
    b.coordinator.grants(9, TTL);
    let granted = Instant::now();
    eventually("the other one holds", || {
        let (ours, theirs) = (b.holding(), a.holding());
        assert!(ours.is_none() || theirs.is_none(), "both hold: {ours:?} and {theirs:?}");
        ours == Some(Token(9))
    })
    .await;
    // It is freed, and need not wait for its promise to be over.
    println!("moved {} ms after the first grant", granted.elapsed().as_millis());
    assert!(granted.elapsed() < TTL + SLACK, "{:?}", granted.elapsed());
    assert_eq!(a.handle.standing().highest, Token(9));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_outlives_the_agent_that_gave_it() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    a.loses_the_quorum();
    eventually("it goes on by promises", || a.handle.standing().relying).await;
    // A leader that knows nothing of promises grants the role to whoever starts next.
    b.coordinator.grants(5, TTL);
    a.stop().await;
    let started = Instant::now();
    let b = b.crash_and_start().await;
    eventually("the new life holds", || b.holding() == Some(Token(5))).await;
    assert!(started.elapsed() >= TTL, "it held after {:?}", started.elapsed());
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_without_failsafe_is_acknowledged_only_once_no_promise_counts() {
    let _alone = ALONE.lock().await;
    let authority = Authority::new();
    let (a, b) = active_and_standby(&authority, true).await;
    a.loses_the_quorum();
    eventually("it goes on by promises", || a.handle.standing().relying).await;
    // The declaration arrives before a leader renews.
    a.declare(false, 2, vec![b.peer()]);
    a.coordinator.says(Instruction::Wait { token: Token(5) });
    eventually("it is known", || {
        a.handle.standing().group.is_some_and(|group| group.revision == 2 && !group.failsafe)
    })
    .await;
    let known = a.handle.standing();
    assert!(!known.relying || known.acknowledged == 1, "{known:?}");
    let report = a.coordinator.hears("the end of it", |report| report.revision == 2).await;
    assert_eq!(report.holding, None, "nothing renewed it any more");
    a.stop().await;
    b.stop().await;
}
