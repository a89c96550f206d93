//! Members of a pool, in and out of the backend pools of load balancers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::azure::AzureAdapter;
use cloud_adapters::contract::{Adapter, AdapterError, Journal, Place, PlaceJob};
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::documents::network_id;
use cloud_adapters::simulated::arm::faults::{ArmFault, ArmFaults, Trigger};
use cloud_adapters::simulated::arm::scene::pool::{self, MEMBERS, PoolScene, nic_of, target};
use cloud_adapters::simulated::faults::Spread;
use cloud_adapters::{place, places};
use coordinator_core::ids::Token;
use coordinator_core::pool::{Side, Way};
use serde_json::{Value, json};

use crate::stage::adapter;
use crate::suite::Open;

const LONG: Duration = Duration::from_secs(300);

fn job(member: &str, inside: bool, token: u64, others: &[&str]) -> PlaceJob {
    PlaceJob {
        pool: "proxies".parse().unwrap(),
        token: Token(token),
        member: member.parse().unwrap(),
        inside,
        places: vec![
            Place { side: Side::Ingress, way: way(Side::Ingress) },
            Place { side: Side::Egress, way: way(Side::Egress) },
        ],
        others: others.iter().map(|other| other.parse().unwrap()).collect(),
    }
}

type Told = BTreeMap<Side, Result<(), AdapterError>>;

async fn run(adapter: &Arc<AzureAdapter>, job: &PlaceJob) -> Told {
    let mut told = Told::new();
    let mut report = |side, result| assert!(told.insert(side, result).is_none(), "told twice");
    place(&**adapter, job, &Open, &Journal::default(), LONG, &mut report).await;
    assert_eq!(told.len(), job.places.len(), "every side is told of");
    told
}

async fn done(arm: &FakeArm, job: &PlaceJob) {
    for (side, result) in run(&adapter(arm), job).await {
        assert!(result.is_ok(), "{side}: {}", result.unwrap_err().chain());
    }
}

fn way(side: Side) -> Way {
    PoolScene::default().way(side).unwrap()
}

fn writes(arm: &FakeArm) -> Vec<String> {
    let calls = arm.calls().into_iter().filter(|call| call.call.starts_with("PUT "));
    calls.map(|call| call.call).collect()
}

#[tokio::test(start_paused = true)]
async fn a_member_leaves_and_returns_on_both_sides_and_nothing_else_changes() {
    let scene = PoolScene::default();
    let arm = &scene.arm;
    let before = rest_of(arm);
    done(arm, &job("px-a", false, 10, &["px-b", "px-c"])).await;
    assert_eq!(scene.behind(Side::Ingress), ["px-b", "px-c"].into());
    assert_eq!(scene.behind(Side::Egress), ["px-b", "px-c"].into());
    let written = writes(arm);
    assert_eq!(written.len(), 4, "each NIC is claimed once and changed once: {written:?}");
    done(arm, &job("px-a", false, 10, &["px-b", "px-c"])).await;
    assert_eq!(writes(arm).len(), 4, "a second run finds it done");
    done(arm, &job("px-a", true, 11, &["px-b", "px-c"])).await;
    assert_eq!(scene.behind(Side::Ingress), MEMBERS.into());
    assert_eq!(rest_of(arm), before);
    assert!(scene.fewest() > 0, "nobody was left in one");
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_one_nic_are_one_write() {
    let scene = PoolScene::default();
    let arm = &scene.arm;
    done(arm, &job("px-c", false, 10, &["px-a"])).await;
    assert_eq!(writes(arm).len(), 2, "{:?}", writes(arm));
    assert_eq!(scene.behind(Side::Ingress), ["px-a", "px-b"].into());
    assert_eq!(scene.behind(Side::Egress), ["px-a", "px-b"].into());
}

#[tokio::test(start_paused = true)]
async fn nobody_leaves_a_backend_pool_that_no_other_member_is_found_in() {
    let scene = PoolScene::default();
    let arm = &scene.arm;
    // The log has px-b as in, and somebody at the portal has taken it out on one side.
    arm.with(|cloud| {
        cloud.meddle(&nic_of("px-b", Side::Egress), |nic| {
            nic["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] =
                json!([]);
        });
    });
    let told = run(&adapter(arm), &job("px-a", false, 10, &["px-b"])).await;
    for (side, result) in told {
        let error = result.unwrap_err().chain();
        let wanted = "no other member that is in and up was found in the backend pool of the egress side \
                      (px-b: it is not in it)";
        assert!(error.contains(wanted), "{side}: {error}");
    }
    // Not even on the side on which it could: both leave together.
    assert!(scene.behind(Side::Ingress).contains("px-a") && scene.behind(Side::Egress).contains("px-a"));
    // px-c is in, but sick by the log: it does not count.
    assert!(scene.behind(Side::Egress).contains("px-c"));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_being_changed_does_not_count_as_somebody_who_stays() {
    let scene = PoolScene::default();
    let arm = &scene.arm;
    arm.with(|cloud| {
        cloud.meddle(&nic_of("px-b", Side::Ingress), |nic| {
            nic["properties"]["provisioningState"] = json!("Updating");
        });
    });
    let told = run(&adapter(arm), &job("px-a", false, 10, &["px-b"])).await;
    let error = told[&Side::Ingress].as_ref().unwrap_err().chain();
    assert!(error.contains("px-b: its NIC is being changed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_newer_change_deposes_an_older_one_and_its_late_write_is_refused() {
    let scene = PoolScene::default();
    let arm = &scene.arm;
    // The removal is accepted late: a newer leader has put the member in again meanwhile.
    let late = ArmFault::ApplyLate(Duration::from_secs(60));
    arm.set_faults(ArmFaults { single: vec![(Trigger::Write(3), late)], ..ArmFaults::default() });
    let old = job("px-a", false, 10, &["px-b"]);
    let cut = tokio::time::timeout(Duration::from_millis(10), run(&adapter(arm), &old)).await;
    assert!(cut.is_err(), "the old leader is gone before the answer");
    done(arm, &job("px-a", true, 11, &["px-b"])).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(scene.behind(Side::Ingress).contains("px-a") && scene.behind(Side::Egress).contains("px-a"));
    let refused = arm.calls().into_iter().filter(|call| call.result.starts_with("412")).count();
    assert_eq!(refused, 1, "{:?}", arm.calls());

    let told = run(&adapter(arm), &old).await;
    assert!(told.values().all(|result| result.as_ref().is_err_and(AdapterError::is_deposed)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_cut_after_any_call_is_completed_by_the_next() {
    let mut last = 1;
    for cut in 1.. {
        let scene = PoolScene::default();
        let arm = &scene.arm;
        arm.set_faults(ArmFaults { silent_from: Some(cut), ..ArmFaults::default() });
        let leaving = job("px-a", false, 10, &["px-b", "px-c"]);
        let first = adapter(arm);
        let ended = tokio::time::timeout(Duration::from_secs(5), run(&first, &leaving)).await;
        arm.set_faults(ArmFaults::default());
        tokio::time::sleep(LONG).await;
        done(arm, &leaving).await;
        assert_eq!(scene.behind(Side::Ingress), ["px-b", "px-c"].into(), "cut after call {cut}");
        assert_eq!(scene.behind(Side::Egress), ["px-b", "px-c"].into(), "cut after call {cut}");
        assert!(scene.fewest() > 0, "nobody was left in one");
        last = cut;
        if ended.is_ok() {
            break;
        }
    }
    assert!(last > 8, "it was cut at calls, and not only after them: {last}");
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_is_ridden_out_or_the_next_attempt_does_it() {
    let faults = [
        ArmFault::Throttle { retry_after: 1 },
        ArmFault::Locked,
        ArmFault::AnotherOperation,
        ArmFault::ServerError,
        ArmFault::LoseReply,
        ArmFault::Drop,
        ArmFault::ExpireToken,
        ArmFault::FailOperation,
        ArmFault::SlowOperation(Duration::from_secs(40)),
    ];
    for (inside, token) in [(false, 10), (true, 11)] {
        for fault in faults {
            for write in 1..=4 {
                let scene = PoolScene::default();
                let arm = &scene.arm;
                if inside {
                    done(arm, &job("px-a", false, 10, &["px-b"])).await;
                }
                let before = writes(arm).len() as u64;
                let single = vec![(Trigger::Write(before + write), fault)];
                let provisioning = Spread::millis(2_000, 2_000);
                arm.set_faults(ArmFaults { single, provisioning, ..ArmFaults::default() });
                let job = job("px-a", inside, token, &["px-b"]);
                let first = adapter(arm);
                for attempt in 1.. {
                    let told = run(&first, &job).await;
                    if told.values().all(Result::is_ok) {
                        break;
                    }
                    assert!(attempt < 3, "{fault:?} at write {write}: {told:?}");
                }
                for side in [Side::Ingress, Side::Egress] {
                    assert_eq!(scene.behind(side).contains("px-a"), inside, "{fault:?} at write {write}");
                }
                assert!(scene.fewest() > 0, "nobody was left in one");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_touched_is_not() {
    let scene = PoolScene::default();
    let arm = &scene.arm;
    let mut job = job("px-a", false, 10, &["px-b"]);
    let elsewhere = network_id("rg-other", "loadBalancers", "lb") + "/backendAddressPools/x";
    let Way::BackendPool { backend_pool, .. } = &mut job.places[0].way;
    *backend_pool = elsewhere;
    let told = run(&adapter(arm), &job).await;
    let error = told[&Side::Egress].as_ref().unwrap_err().chain();
    assert!(error.contains("is not on the adapter's allow-list"), "{error}");
    let Way::BackendPool { targets, .. } = &mut job.places[0].way;
    targets.insert("px-b".parse().unwrap(), target("px-a", Side::Ingress));
    let Way::BackendPool { backend_pool: place, .. } = &mut job.places[0].way;
    *place = pool::backend_pool(Side::Ingress);
    let told = run(&adapter(arm), &job).await;
    let error = told[&Side::Ingress].as_ref().unwrap_err().chain();
    assert!(error.contains("px-a and px-b share") || error.contains("px-b and px-a share"), "{error}");
    assert_eq!(arm.calls_arrived(), 0, "refused before anything is sent");
}

#[tokio::test(start_paused = true)]
async fn where_a_member_is_can_be_read_without_a_change() {
    let scene = PoolScene::default();
    let arm = &scene.arm;
    let adapter = adapter(arm);
    let asked = job("px-a", true, 0, &[]);
    let seen = places(&*adapter, &asked, &Journal::default(), LONG).await.unwrap();
    assert!(seen.settled && seen.sides.iter().all(|side| side.inside));
    assert!(adapter.backend_pools().is_some());
    done(arm, &job("px-a", false, 10, &["px-b"])).await;
    let seen = places(&*adapter, &asked, &Journal::default(), LONG).await.unwrap();
    assert!(seen.sides.iter().all(|side| !side.inside));
}

/// Every document but for versions, states, tokens and the two backend pools.
fn rest_of(arm: &FakeArm) -> Vec<Value> {
    let mut all: Vec<Value> = arm.with(|cloud| cloud.documents().values().cloned().collect());
    all.iter_mut().for_each(strip);
    all
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                name != "etag" && name != "provisioningState" && !name.starts_with("pointsman-token-")
            });
            fields.values_mut().for_each(strip);
        }
        Value::Array(list) => {
            list.retain(|entry| {
                let id = entry.get("id").and_then(Value::as_str).unwrap_or_default();
                id != pool::backend_pool(Side::Ingress) && id != pool::backend_pool(Side::Egress)
            });
            list.iter_mut().for_each(strip);
        }
        _ => {}
    }
}
