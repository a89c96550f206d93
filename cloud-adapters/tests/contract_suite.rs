//! What every adapter must keep, for the simulated cloud, and what only it can be asked.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod stage;
mod suite;

use cloud_adapters::contract::{AdapterError, Journal, MoveJob, Pointing};
use cloud_adapters::{inspect, move_binding};
use coordinator_core::model::BindingKind;
use stage::DEADLINE;
use suite::{Open, Scene};

suite::every_case!(
    tokio::test;
    public_ip = crate::stage::public_ip,
    route = crate::stage::route
);

/// One writer per resource: within a process nobody's write meets a newer version.
#[tokio::test]
async fn moves_of_several_routes_in_one_table_do_not_fight() {
    let stage = stage::route().await;
    let adapter = stage.adapter();
    let routes = ["default", "branch"]
        .map(|route| MoveJob { binding: stage::route_binding(route), ..stage.job(10, "fw-b") });
    let journal = Journal::default();
    let moves = routes.iter().map(|job| move_binding(&*adapter, job, &Open, &journal, DEADLINE));
    futures::future::try_join_all(moves).await.unwrap();
    let calls = stage.cloud.calls();
    assert!(calls.iter().all(|call| call.result == "200"), "{calls:?}");
    assert_eq!(stage.writes(), 3, "one claim and two moves");
    let hops: Vec<String> =
        stage.cloud.route_table("rt-hub").unwrap().routes.iter().map(|r| r.next_hop.to_string()).collect();
    assert_eq!(hops, ["10.0.0.5", "10.0.0.5", "10.0.0.99"]);
}

/// Groups that share a table have tokens of their own: the other's higher one deposes nobody.
#[tokio::test]
async fn two_groups_may_share_a_route_table() {
    let stage = stage::route().await;
    stage.move_to(50, "fw-b").await.unwrap();
    let other = MoveJob {
        group: "branches".parse().unwrap(),
        binding: stage::route_binding("branch"),
        ..stage.job(20, "fw-b")
    };
    move_binding(&*stage.adapter(), &other, &Open, &Journal::default(), DEADLINE).await.unwrap();
    stage.move_to(60, "fw-a").await.unwrap();
    stage.assert_active("fw-a");
}

/// The NIC that has the address now is claimed as well, though no appliance is declared for it.
#[tokio::test]
async fn a_public_ip_is_taken_from_a_nic_of_no_appliance() {
    let mut stage = stage::public_ip().await;
    let BindingKind::PublicIp { targets, .. } = &mut stage.binding.kind else { panic!("a public IP") };
    let all = targets.clone();
    targets.insert("fw-a".parse().unwrap(), "nic-x/ipconfig1".to_owned());
    let group = "dmz".parse().unwrap();
    let seen =
        inspect(&*stage.adapter(), &group, &stage.binding, &Journal::default(), DEADLINE).await.unwrap();
    assert_eq!(seen.pointing, Pointing::Elsewhere("nic-a/ipconfig1".to_owned()));
    stage.move_to(10, "fw-b").await.unwrap();
    assert_eq!(stage.cloud.nic("nic-a").unwrap().tags["pointsman-token-dmz"], "10");
    stage.binding.kind =
        BindingKind::PublicIp { adapter: "sim".parse().unwrap(), resource: "pip-web".into(), targets: all };
    stage.assert_active("fw-b");
}

#[tokio::test]
async fn what_cannot_work_says_what_was_attempted_and_why() {
    let mut stage = stage::route().await;
    stage.binding = stage::route_binding("missing");
    let error = stage.move_to(10, "fw-b").await.unwrap_err();
    assert!(matches!(error, AdapterError::Permanent { .. }));
    assert_eq!(
        error.chain(),
        "could not update route `missing` in table `rt-hub`: there is no such route: create it, with any next hop"
    );

    let mut stage = stage::public_ip().await;
    let BindingKind::PublicIp { targets, .. } = &mut stage.binding.kind else { panic!("a public IP") };
    targets.insert("fw-b".parse().unwrap(), "nic-b/mail".to_owned());
    let error = stage.move_to(10, "fw-b").await.unwrap_err();
    assert_eq!(
        error.chain(),
        "could not move public IP `pip-web` to fw-b: nic-b/mail has another public IP, `pip-mail`: remove it first"
    );
    // Refused before the detach: an address that cannot arrive does not leave either.
    stage.assert_active("fw-a");

    let BindingKind::PublicIp { resource, .. } = &mut stage.binding.kind else { panic!("a public IP") };
    *resource = "pip-gone".to_owned();
    let error = stage.move_to(10, "fw-b").await.unwrap_err();
    assert_eq!(
        error.chain(),
        "could not read public IP `pip-gone`: 404 NotFound: there is no public IP pip-gone"
    );
}
