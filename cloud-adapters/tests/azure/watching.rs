//! Groups at rest: what differs is told field by field, and not more is read than allowed.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::azure::AzureAdapter;
use cloud_adapters::azure::options::Pace;
use cloud_adapters::contract::{Adapter, Journal};
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::scene::{Scene, Shape};
use coordinator_core::model::BindingSpec;
use serde_json::{Value, json};

use crate::stage::{active, adapter, dmz, id, nic_id, options, public_ip_binding, route_binding, table_id};

/// What differs from `binding` at fw-a: resource, field, expected, found.
async fn differences(arm: &FakeArm, binding: &BindingSpec) -> Vec<[String; 4]> {
    let adapter = adapter(arm);
    let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
    let actual = adapter.read(&group, binding, &journal).await.unwrap();
    let found = adapter.differences(&actual, binding, &"fw-a".parse().unwrap());
    found.into_iter().map(|d| [d.resource, d.field, d.expected, d.found]).collect()
}

fn set(arm: &FakeArm, id: &str, pointer: &str, value: Value) {
    arm.with(|cloud| cloud.meddle(id, |document| *document.pointer_mut(pointer).unwrap() = value));
}

#[tokio::test(start_paused = true)]
async fn a_public_ip_that_was_taken_elsewhere_is_told_on_both_nics() {
    let (arm, binding) = (dmz(), public_ip_binding("web", "pip-web", "ipconfig1"));
    assert!(differences(&arm, &binding).await.is_empty());
    let reference = json!({ "id": id("pip-web") });
    set(&arm, &nic_id("nic-a"), "/properties/ipConfigurations/0/properties/publicIPAddress", Value::Null);
    let b = "/properties/ipConfigurations/0/properties";
    arm.with(|cloud| {
        cloud.meddle(&nic_id("nic-b"), |nic| nic.pointer_mut(b).unwrap()["publicIPAddress"] = reference);
    });
    let field = "properties.ipConfigurations[ipconfig1].properties.publicIPAddress.id".to_owned();
    let pip = id("pip-web");
    assert_eq!(
        differences(&arm, &binding).await,
        [
            ["rg-dmz/networkInterfaces/nic-a".to_owned(), field.clone(), pip.clone(), "nothing".to_owned()],
            ["rg-dmz/networkInterfaces/nic-b".to_owned(), field, "nothing".to_owned(), pip],
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_is_told_by_its_hop_and_its_type() {
    let (arm, binding) = (dmz(), route_binding("rt-hub", "default"));
    assert!(differences(&arm, &binding).await.is_empty());
    set(&arm, &table_id("rt-hub"), "/properties/routes/0/properties/nextHopType", json!("Internet"));
    set(&arm, &table_id("rt-hub"), "/properties/routes/0/properties/nextHopIpAddress", Value::Null);
    let told = differences(&arm, &binding).await;
    let told: Vec<[&str; 4]> = told.iter().map(|d| d.each_ref().map(String::as_str)).collect();
    let table = "rg-dmz/routeTables/rt-hub";
    assert_eq!(
        told,
        [
            [table, "properties.routes[default].properties.nextHopType", "VirtualAppliance", "Internet"],
            [table, "properties.routes[default].properties.nextHopIpAddress", "10.0.0.4", "nothing"],
        ]
    );
    set(&arm, &table_id("rt-hub"), "/properties/routes/0/name", json!("renamed"));
    let [[_, field, _, found]] = &differences(&arm, &binding).await[..] else { panic!("one difference") };
    assert_eq!((&**field, &**found), ("properties.routes[default]", "nothing"));
}

#[tokio::test(start_paused = true)]
async fn watching_reads_each_document_once_and_stays_within_its_budget() {
    for (shape, documents, rest) in [(Shape::SMALL, 6, 5.0), (Shape::LARGE, 10 + 12 + 20, 42.0 / 2.0)] {
        let scene = Scene::new(shape);
        let adapter = adapter(&scene.arm);
        let bindings: Vec<&BindingSpec> = scene.bindings.iter().collect();
        let group = "dmz".parse().unwrap();
        let asks: Vec<_> = bindings.iter().map(|binding| (&group, *binding)).collect();
        let journal = Journal::default();
        let read = adapter.read_all(&asks, &journal).await;
        assert!(read.iter().all(Result::is_ok) && active(&scene.arm, bindings[0]).is_some());
        assert_eq!(scene.arm.calls_arrived(), documents, "each document once");
        // 7,200 an hour are two a second.
        assert_eq!(adapter.rest_between_readings(&bindings), Duration::from_secs_f64(rest));
    }
}

#[tokio::test(start_paused = true)]
async fn a_smaller_budget_makes_the_rests_longer() {
    let scene = Scene::new(Shape::SMALL);
    let mut told = options("https://arm.test/");
    told.pace = Pace { watch_reads_per_hour: 60, ..Pace::default() };
    let adapter = AzureAdapter::with_transport(told, Arc::new(scene.arm.clone())).unwrap();
    let bindings: Vec<&BindingSpec> = scene.bindings.iter().collect();
    assert_eq!(adapter.rest_between_readings(&bindings), Duration::from_secs(360));
    assert_eq!(adapter.rest_between_readings(&[]), Duration::from_secs(5));
}
