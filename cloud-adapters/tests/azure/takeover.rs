//! A leader takes a move over while Azure is at work on what the last one asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud_adapters::contract::{Journal, MoveJob, UnderWay};
use cloud_adapters::move_binding;
use cloud_adapters::simulated::arm::cloud::Style;
use cloud_adapters::simulated::arm::faults::ArmFaults;
use cloud_adapters::simulated::arm::scene::{Scene, Shape};
use cloud_adapters::simulated::faults::Spread;
use coordinator_core::ids::Token;
use tokio::sync::mpsc;

use crate::stage::adapter;
use crate::suite::Open;

const LONG: Duration = Duration::from_secs(600);
/// How long Azure is at work on a change of a NIC.
const CHANGE_MS: u64 = 40_000;

/// A public IP whose detach was accepted a moment ago by a leader that is gone, and what that
/// leader had told.
async fn left_behind(style: Style) -> (Scene, MoveJob, BTreeMap<String, String>) {
    let scene = Scene::new(Shape { ips: 1, pairs: 1, tables: 0 });
    scene.arm.set_faults(ArmFaults {
        latency: Spread::millis(10, 10),
        provisioning: Spread::millis(CHANGE_MS, CHANGE_MS),
        style: Some(style),
        ..ArmFaults::default()
    });
    let job = MoveJob {
        group: "dmz".parse().unwrap(),
        token: Token(10),
        binding: scene.bindings[0].clone(),
        to: "fw-b".parse().unwrap(),
    };
    let (tell, mut told) = mpsc::channel(16);
    let journal = Journal::continuing(BTreeMap::new(), tell);
    let adapter = adapter(&scene.arm);
    let accepted = async {
        while scene.writes() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        _ = move_binding(&*adapter, &job, &Open, &journal, LONG) => panic!("it cannot be done yet"),
        () = accepted => {}
    }
    let mut places = BTreeMap::new();
    while let Ok(UnderWay { resource, place }) = told.try_recv() {
        places.insert(resource, place);
    }
    (scene, job, places)
}

/// The next leader finishes it. Returns the calls that it made while Azure was at work.
async fn finish(scene: &Scene, job: &MoveJob, places: BTreeMap<String, String>) -> Vec<String> {
    let (tell, _told) = mpsc::channel(16);
    let journal = Journal::continuing(places, tell);
    let before = scene.arm.calls().len();
    let due = scene.arm.elapsed() + Duration::from_millis(CHANGE_MS - 200);
    move_binding(&*adapter(&scene.arm), job, &Open, &journal, LONG).await.unwrap();
    assert_eq!(scene.wrong("fw-b"), Vec::<String>::new());
    assert_eq!(scene.writes(), 4, "two claims, the detach and the attach: nothing twice");
    let calls = scene.arm.calls().split_off(before);
    calls.into_iter().take_while(|call| call.at < due).map(|call| call.call).collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_goes_on_asking_where_the_last_one_was_told_to() {
    for (style, kind) in
        [(Style::Ok, "operation:"), (Style::Created, "operation:"), (Style::Accepted, "result:")]
    {
        let (scene, job, places) = left_behind(style).await;
        // Of nic-b-0 the claim may be told, which is long done.
        assert!(places.keys().any(|id| id.ends_with("/nic-a-0")), "{places:?}");
        assert!(
            places.values().all(|place| place.starts_with(kind) && !place.contains("signed")),
            "{places:?}"
        );
        let calls = finish(&scene, &job, places).await;
        let (looks, reads): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.contains("peration"));
        assert_eq!(reads.len(), 3, "the public IP and both NICs, once: {reads:?}");
        assert!(looks.len() > 10, "{looks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_leads_nowhere_is_made_up_for_by_reading_the_resource() {
    for (style, places) in [
        // Bare announces none at all.
        (Style::Bare, None),
        (Style::Created, Some("operation:/subscriptions/x/operations/y?api-version=1".to_owned())),
        (Style::Created, Some("no place".to_owned())),
    ] {
        let (scene, job, told) = left_behind(style).await;
        assert_eq!(told.is_empty(), style == Style::Bare);
        let instead = places.map(|place| told.into_keys().map(|nic| (nic, place.clone())).collect());
        let calls = finish(&scene, &job, instead.unwrap_or_default()).await;
        assert!(calls.iter().filter(|call| call.contains("nic-a-0")).count() > 5);
    }
    let (scene, job, places) = left_behind(Style::Created).await;
    scene.arm.with(|cloud| cloud.forget_operations());
    let calls = finish(&scene, &job, places).await;
    let looks = calls.iter().filter(|call| call.contains("peration")).count();
    assert_eq!(looks, 2, "one for each place, and 404 is believed");
}
