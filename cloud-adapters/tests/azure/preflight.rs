//! Preflight: what is wrong is found before a move finds it, without changing anything.

use cloud_adapters::azure::options::{Application, Identity, SecretSource};
use cloud_adapters::azure::resource_id::{Kind, ResourceId};
use cloud_adapters::azure::{AzureAdapter, AzureOptions};
use cloud_adapters::contract::{Adapter, AdapterError, Gate, Journal, Subject, write_unchanged};
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::documents::vm_id;
use cloud_adapters::simulated::arm::faults::{ArmFault, ArmFaults, Trigger};
use cloud_adapters::simulated::arm::scene::{Scene, Shape};
use coordinator_api::v1::{Check, CheckItem, CheckVerdict as Verdict};
use coordinator_core::ids::{GroupName, Token};
use coordinator_core::model::BindingSpec;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::SeqCst;

use crate::stage::{
    GROUP, adapter, assert_never_two, dmz, everything_else, id, nic_id, options, public_ip_binding,
    route_binding, table_id,
};

fn bindings() -> Vec<BindingSpec> {
    vec![
        public_ip_binding("web", "pip-web", "ipconfig1"),
        public_ip_binding("web6", "pip-web6", "v6"),
        route_binding("rt-hub", "default"),
    ]
}

fn group() -> GroupName {
    "dmz".parse().unwrap()
}

async fn preflight(arm: &FakeArm, bindings: &[BindingSpec]) -> Vec<CheckItem> {
    let (group, journal, adapter) = (group(), Journal::default(), adapter(arm));
    let subject = Subject { group: &group, token: Token(7), bindings };
    let checks = adapter.checks().unwrap();
    let mut items = checks.reach(subject, &journal).await;
    items.extend(checks.look(subject, &journal).await);
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
            (item.verdict, format!("{}: {}", item.subject, item.found))
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
        assert!(items.iter().any(|item| item.subject == what), "{what} was checked");
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
        .map(|item| format!("{}: {}", item.subject, item.found))
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
    let (adapter, journal) = (adapter(&arm), Journal::default());
    let outside: std::net::IpAddr = [20, 1, 2, 3].into();
    let hops = || async { adapter.checks().unwrap().hops(nic.as_str(), &[outside], &journal).await.unwrap() };
    let before = hops().await;
    assert_eq!((before[0].kind.as_deref(), before[0].via.len()), (Some("Internet"), 0));
    // The table is put onto the subnet of the NIC.
    let subnet = arm.with(|cloud| {
        let nic = cloud.document(nic.as_str()).unwrap();
        nic.pointer("/properties/ipConfigurations/0/properties/subnet").cloned().unwrap()
    });
    set(&arm, &table_id("rt-hub"), "/properties/subnets", json!([subnet]));
    let routes = adapter.effective_routes(&nic, &journal).await.unwrap();
    let default = routes.iter().find(|route| route.active && route.prefixes == ["0.0.0.0/0"]).unwrap();
    assert_eq!(default.next_hop_type, "VirtualAppliance");
    assert_eq!(default.next_hops, [std::net::IpAddr::from([10, 0, 0, 4])]);
    assert_eq!(hops().await[0].via, default.next_hops);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_together_is_found() {
    // A NIC takes public IPs of one SKU, and a machine in a zone takes no Basic one.
    let basic = json!({ "name": "Basic", "tier": "Regional" });
    let found = wrong(|arm| set(arm, &id("pip-mail"), "/sku", basic.clone())).await;
    let expected =
        "rg-dmz/networkInterfaces/nic-b: it has rg-dmz/publicIPAddresses/pip-mail, and pip-web is Standard";
    assert!(found.contains(&(Verdict::Fail, expected.to_owned())), "{found:#?}");

    let found = wrong(|arm| {
        set(arm, &id("pip-web"), "/sku", basic);
        set(arm, &id("pip-web"), "/zones", json!([]));
    })
    .await;
    let zone = "rg-dmz/publicIPAddresses/pip-web: its SKU is Basic, and rg-dmz/virtualMachines/vm-nic-b of fw-b is in zone 1";
    assert!(found.contains(&(Verdict::Fail, zone.to_owned())), "{found:#?}");
    let retired = "rg-dmz/publicIPAddresses/pip-web: its SKU is Basic".to_owned();
    assert!(found.contains(&(Verdict::Warn, retired)), "{found:#?}");

    let found = wrong(|arm| set(arm, &id("pip-web"), "/zones", json!(["2"]))).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found
            .iter()
            .all(|(verdict, what)| *verdict == Verdict::Warn && what.contains("it is in zone 2 alone"))
    );

    let pointer = "/properties/enableAcceleratedNetworking";
    let found = wrong(|arm| set(arm, &nic_id("nic-b"), pointer, json!(false))).await;
    let expected = "rg-dmz/networkInterfaces/nic-b: accelerated networking is off".to_owned();
    assert_eq!(found, [(Verdict::Warn, expected)]);
}

#[tokio::test(start_paused = true)]
async fn a_token_higher_than_the_groups_is_another_clusters() {
    let higher = json!({ "pointsman-token-dmz": "8" });
    let found = wrong(|arm| set(arm, &table_id("rt-hub"), "/tags", higher)).await;
    let expected = "rg-dmz/routeTables/rt-hub: it carries token 8, and the group's is 7".to_owned();
    assert_eq!(found, [(Verdict::Fail, expected)]);
    let own = json!({ "pointsman-token-dmz": "7" });
    assert!(wrong(|arm| set(arm, &table_id("rt-hub"), "/tags", own)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_else_is_tried() {
    let arm = dmz();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "wrong").unwrap();
    let refused = adapter_with_secret(&arm, secret.path());
    arm.set_identity(std::time::Duration::from_secs(3600), Some("right"));
    let (group, journal, bindings) = (group(), Journal::default(), bindings());
    let subject = Subject { group: &group, token: Token(7), bindings: &bindings };
    let items = refused.checks().unwrap().reach(subject, &journal).await;
    assert_eq!(items.len(), 1, "{items:#?}");
    assert_eq!((&items[0].check, items[0].verdict), (&Check::AzureToken, Verdict::Fail));
    assert!(items[0].found.contains("invalid_client"), "{}", items[0].found);
    assert!(refused.checks().unwrap().look(subject, &journal).await.is_empty());
    assert_eq!(arm.calls_arrived(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_arm_that_does_not_answer_is_told_from_one_that_refuses() {
    let arm = dmz();
    let dead = ArmFaults { single: vec![(Trigger::Every, ArmFault::Dead)], ..ArmFaults::default() };
    arm.set_faults(dead);
    let (group, journal, bindings, adapter) = (group(), Journal::default(), bindings(), adapter(&arm));
    let subject = Subject { group: &group, token: Token(7), bindings: &bindings };
    let items = adapter.checks().unwrap().reach(subject, &journal).await;
    let told: Vec<_> = items.iter().map(|item| (&item.check, item.verdict)).collect();
    assert_eq!(
        told,
        [(&Check::AzureToken, Verdict::Pass), (&Check::AzureReach, Verdict::Fail)],
        "{items:#?}"
    );
}

fn adapter_with_secret(arm: &FakeArm, secret: &std::path::Path) -> AzureAdapter {
    let application = Application { tenant: "t".to_owned(), client_id: "c".to_owned() };
    let identity = Identity::ClientSecret { application, secret: SecretSource::File(secret.to_owned()) };
    let options = AzureOptions { identity, ..options("https://arm.test/") };
    AzureAdapter::with_transport(options, std::sync::Arc::new(arm.clone())).unwrap()
}

/// Refuses from the given question on.
struct Quiet(std::sync::atomic::AtomicU32);

impl Gate for Quiet {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        let left = self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        async move { left.map(drop).map_err(|_| AdapterError::deposed("the group is moving")) }.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_check_writes_everything_as_it_is() {
    let arm = dmz();
    arm.with(|cloud| cloud.meddle(&nic_id("nic-b"), |nic| nic["properties"]["newer"] = json!([1, null])));
    let before = everything_else(&arm, &[]);
    let (group, journal, bindings, adapter) = (group(), Journal::default(), bindings(), adapter(&arm));
    let subject = Subject { group: &group, token: Token(7), bindings: &bindings };
    let items = write_unchanged(&*adapter, subject, &Quiet(9.into()), &journal).await;
    let passed = |item: &&CheckItem| item.verdict == Verdict::Pass && item.check == Check::Write;
    assert_eq!((items.len(), items.iter().filter(passed).count()), (3, 3), "{items:#?}");
    assert_eq!(everything_else(&arm, &[]), before);
    let writes = arm.calls().iter().filter(|call| call.call.starts_with("PUT")).count();
    assert_eq!(writes, 3, "two NICs and a table, once each");
    assert_never_two(&arm);
}

#[tokio::test(start_paused = true)]
async fn a_write_check_finds_what_only_a_write_can() {
    let arm = dmz();
    arm.with(|cloud| cloud.deny("Microsoft.Network/routeTables/write"));
    let (group, journal, bindings, adapter) = (group(), Journal::default(), bindings(), adapter(&arm));
    let subject = Subject { group: &group, token: Token(7), bindings: &bindings };
    let items = write_unchanged(&*adapter, subject, &Quiet(9.into()), &journal).await;
    let failed: Vec<_> = items.iter().filter(|item| item.verdict == Verdict::Fail).collect();
    assert!(failed.len() == 1 && failed[0].found.contains("routeTables/write"), "{items:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_check_ends_when_its_group_begins_to_move() {
    let arm = dmz();
    let (group, journal, bindings, adapter) = (group(), Journal::default(), bindings(), adapter(&arm));
    let subject = Subject { group: &group, token: Token(7), bindings: &bindings };
    let items = write_unchanged(&*adapter, subject, &Quiet(3.into()), &journal).await;
    let verdicts: Vec<_> = items.iter().map(|item| item.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Warn], "{items:#?}");
    assert_eq!(arm.calls().iter().filter(|call| call.call.starts_with("PUT")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_preflight_of_a_large_group_asks_no_more_than_it_says() {
    let scene = Scene::new(Shape::LARGE);
    let (group, journal, adapter) = (group(), Journal::default(), adapter(&scene.arm));
    let subject = Subject { group: &group, token: Token(7), bindings: &scene.bindings };
    let checks = adapter.checks().unwrap();
    checks.reach(subject, &journal).await;
    // 10 public IPs, 12 NICs, 20 tables: the permissions on each, for each coordinator.
    assert_eq!(scene.arm.calls_arrived(), 42);
    checks.look(subject, &journal).await;
    // Each once, and each of 12 machines twice.
    assert_eq!(scene.arm.calls_arrived() - 42, 42 + 24);
}
