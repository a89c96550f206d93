//! Preflight: what is wrong is found before a move finds it, without changing anything.

use cloud_adapters::azure::preflight::{Item, Verdict};
use cloud_adapters::azure::resource_id::{Kind, ResourceId};
use cloud_adapters::contract::Journal;
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::documents::vm_id;
use coordinator_core::model::BindingSpec;
use serde_json::{Value, json};

use crate::stage::{GROUP, adapter, dmz, id, nic_id, public_ip_binding, route_binding, table_id};

fn bindings() -> Vec<BindingSpec> {
    vec![
        public_ip_binding("web", "pip-web", "ipconfig1"),
        public_ip_binding("web6", "pip-web6", "v6"),
        route_binding("rt-hub", "default"),
    ]
}

async fn preflight(arm: &FakeArm, bindings: &[BindingSpec]) -> Vec<Item> {
    let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
    let items = adapter(arm).preflight(&group, bindings, &journal).await;
    assert!(arm.calls().iter().all(|call| call.call.starts_with("GET")), "a preflight only reads");
    items
}

/// What is wrong, as `what: found`, after the cloud was changed.
async fn wrong(change: impl FnOnce(&FakeArm)) -> Vec<(Verdict, String)> {
    let arm = dmz();
    change(&arm);
    let items = preflight(&arm, &bindings()).await;
    let wrong = items.into_iter().filter(|item| item.verdict != Verdict::Pass);
    wrong
        .map(|item| {
            assert!(!item.advice.is_empty(), "{item:?} says what to do");
            (item.verdict, format!("{}: {}", item.what, item.found))
        })
        .collect()
}

fn set(arm: &FakeArm, id: &str, pointer: &str, value: Value) {
    arm.with(|cloud| cloud.meddle(id, |document| *document.pointer_mut(pointer).unwrap() = value));
}

#[tokio::test(start_paused = true)]
async fn a_group_in_good_order_passes_every_check() {
    let arm = dmz();
    let items = preflight(&arm, &bindings()).await;
    let bad: Vec<_> = items.iter().filter(|item| item.verdict != Verdict::Pass).collect();
    assert!(bad.is_empty(), "{bad:?}");
    for what in ["token", "rg-dmz/virtualMachines/vm-nic-b", "rg-dmz/routeTables/rt-hub/default"] {
        assert!(items.iter().any(|item| item.what == what), "{what} was checked");
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_make_a_move_fail_is_found() {
    let missing = |arm: &FakeArm| arm.with(|cloud| cloud.deny("Microsoft.Network/networkInterfaces/write"));
    let found = wrong(missing).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[0],
        (
            Verdict::Fail,
            "rg-dmz/networkInterfaces/nic-a: not permitted: Microsoft.Network/networkInterfaces/write"
                .to_owned()
        )
    );

    let found = wrong(|arm| set(arm, &nic_id("nic-b"), "/properties/enableIPForwarding", json!(false))).await;
    assert_eq!(found, [(Verdict::Fail, "rg-dmz/networkInterfaces/nic-b: IP forwarding is off".to_owned())]);

    let stopped = json!([{ "code": "PowerState/deallocated" }]);
    let found = wrong(|arm| {
        set(arm, &vm_id(GROUP, "vm-nic-b"), "/properties/instanceView/statuses", stopped);
    })
    .await;
    assert_eq!(
        found,
        [(
            Verdict::Fail,
            "rg-dmz/virtualMachines/vm-nic-b: the state of fw-b is PowerState/deallocated".to_owned()
        )]
    );

    let many: serde_json::Map<String, Value> = (0..50).map(|n| (format!("tag-{n}"), json!("x"))).collect();
    let found = wrong(|arm| set(arm, &table_id("rt-hub"), "/tags", Value::Object(many))).await;
    assert_eq!(found, [(Verdict::Fail, "rg-dmz/routeTables/rt-hub: it has all of 50 tags".to_owned())]);

    let found =
        wrong(|arm| set(arm, &id("pip-web"), "/properties/publicIPAllocationMethod", json!("Dynamic"))).await;
    assert_eq!(
        found,
        [(Verdict::Fail, "rg-dmz/publicIPAddresses/pip-web: its allocation is dynamic".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_odd_is_a_warning() {
    let found =
        wrong(|arm| set(arm, &nic_id("nic-b"), "/properties/provisioningState", json!("Failed"))).await;
    assert_eq!(found, [(Verdict::Warn, "rg-dmz/networkInterfaces/nic-b: its last change failed".to_owned())]);
    let internet = json!({ "addressPrefix": "0.0.0.0/0", "nextHopType": "Internet" });
    let found = wrong(|arm| set(arm, &table_id("rt-hub"), "/properties/routes/0/properties", internet)).await;
    assert_eq!(
        found,
        [(Verdict::Warn, "rg-dmz/routeTables/rt-hub/default: it leads to Internet".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn a_declaration_that_fits_nothing_is_told_binding_by_binding() {
    let arm = dmz();
    let wrong = [
        public_ip_binding("gone", "pip-gone", "ipconfig1"),
        public_ip_binding("no-config", "pip-web", "nowhere"),
        public_ip_binding("versions", "pip-web6", "ipconfig1"),
        route_binding("rt-hub", "missing"),
    ];
    let items = preflight(&arm, &wrong).await;
    let failed: Vec<String> = items
        .iter()
        .filter(|item| item.verdict == Verdict::Fail)
        .map(|item| format!("{}: {}", item.what, item.found))
        .collect();
    for part in [
        "pip-gone: could not read rg-dmz/publicIPAddresses/pip-gone: 404 ResourceNotFound",
        "nic-a/ipConfigurations/nowhere: there is no such IP configuration",
        "public IP `pip-web6` is IPv6 and rg-dmz/networkInterfaces/nic-a/ipConfigurations/ipconfig1 is IPv4",
        "rt-hub/missing: there is no such route",
    ] {
        assert!(failed.iter().any(|found| found.contains(part)), "{part} in {failed:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn effective_routes_tell_where_traffic_really_goes() {
    let arm = dmz();
    let nic = ResourceId::of_kind(&nic_id("nic-a"), Kind::Nic).unwrap();
    let routes = adapter(&arm).effective_routes(&nic, &Journal::default()).await.unwrap();
    let default = routes.iter().find(|route| route.prefixes == ["0.0.0.0/0"]).unwrap();
    assert!(default.active);
    assert_eq!(default.next_hop_type, "VirtualAppliance");
    assert_eq!(default.next_hops, [std::net::IpAddr::from([10, 0, 0, 4])]);
}
