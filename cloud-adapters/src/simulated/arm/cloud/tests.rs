//! The rules that adapters fail on: the fake is worth nothing if it forgives.

use super::*;
use crate::simulated::arm::documents::{Configuration, network_id, nic, public_ip, route_table};

const GROUP: &str = "rg";
const WORK: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn manner(style: Style) -> Manner {
    Manner { takes: WORK, tags_take: Duration::ZERO, style, fails: false, retry_after: Some(10) }
}

fn cloud() -> ArmCloud {
    let mut cloud = ArmCloud::default();
    let pip = network_id(GROUP, "publicIPAddresses", "pip");
    let one = |address, public_ip| [Configuration { name: "ipconfig1", address, public_ip }];
    cloud.add(public_ip(GROUP, "pip", "203.0.113.1"));
    cloud.add(nic(GROUP, "nic-a", &one("10.0.0.4", Some(pip.as_str()))));
    cloud.add(nic(GROUP, "nic-b", &one("10.0.0.5", None)));
    cloud.add(route_table(GROUP, "rt", &[("default", "0.0.0.0/0", "10.0.0.4")]));
    cloud
}

fn id(name: &str) -> String {
    network_id(GROUP, "networkInterfaces", name)
}

fn document(cloud: &ArmCloud, name: &str) -> Value {
    cloud.document(&id(name)).unwrap().clone()
}

fn put(cloud: &mut ArmCloud, now: u64, document: &Value, style: Style) -> Answer {
    let etag = text(document, "etag").to_owned();
    let body = document.to_string();
    cloud.handle(at(now), "PUT", text(document, "id"), Some(&etag), body.as_bytes(), manner(style))
}

/// The document of a NIC with the public IP taken off, or put on.
fn with_pip(mut nic: Value, on: bool) -> Value {
    let properties = nic["properties"]["ipConfigurations"][0]["properties"].as_object_mut().unwrap();
    properties.remove("publicIPAddress");
    if on {
        let reference = json!({ "id": network_id(GROUP, "publicIPAddresses", "pip") });
        properties.insert("publicIPAddress".to_owned(), reference);
    }
    nic
}

#[test]
fn what_a_put_does_not_name_is_reset_and_what_is_read_only_stays() {
    let mut cloud = cloud();
    let mut careless = document(&cloud, "nic-b");
    let properties = careless["properties"].as_object_mut().unwrap();
    for field in ["networkSecurityGroup", "enableIPForwarding", "enableAcceleratedNetworking", "macAddress"] {
        properties.remove(field);
    }
    careless.as_object_mut().unwrap().remove("tags");
    assert_eq!(put(&mut cloud, 0, &careless, Style::Ok).status, 200);
    let left = document(&cloud, "nic-b");
    assert_eq!(left["properties"].get("networkSecurityGroup"), None);
    assert_eq!(left["properties"]["enableIPForwarding"], false);
    assert_eq!(left["properties"]["enableAcceleratedNetworking"], false);
    assert_eq!(left.get("tags"), None);
    assert_eq!(left["properties"]["macAddress"], "00-0D-3A-1B-C7-21");
}

#[test]
fn a_nic_without_an_ip_configuration_is_refused() {
    let mut cloud = cloud();
    let mut empty = document(&cloud, "nic-a");
    empty["properties"]["ipConfigurations"] = json!([]);
    assert_eq!(put(&mut cloud, 0, &empty, Style::Ok).code(), "NetworkInterfaceMustHaveIpConfiguration");
}

#[test]
fn a_public_ip_is_on_one_nic_only_and_not_free_before_the_detach_is_done() {
    let mut cloud = cloud();
    let b = with_pip(document(&cloud, "nic-b"), true);
    assert_eq!(put(&mut cloud, 0, &b, Style::Ok).code(), "PublicIPAddressInUse");
    let a = with_pip(document(&cloud, "nic-a"), false);
    assert_eq!(put(&mut cloud, 0, &a, Style::Ok).status, 200);
    let busy = put(&mut cloud, 5, &b, Style::Ok);
    assert_eq!((busy.status, busy.code()), (429, "RetryableError"));
    assert_eq!(busy.body.pointer("/error/details/0/code").unwrap(), "ReferencedResourceNotProvisioned");
    assert_eq!(put(&mut cloud, 10, &b, Style::Ok).status, 200);
    cloud.advance(at(20));
    let carriers: Vec<(u64, usize)> =
        cloud.history().iter().map(|entry| (entry.at.as_secs(), entry.carriers.len())).collect();
    assert_eq!(carriers.last(), Some(&(20, 1)), "{carriers:?}");
    assert!(carriers.contains(&(0, 0)), "a detached address stops at once: {carriers:?}");
}

#[test]
fn an_etag_moves_with_every_write_and_an_old_one_is_refused() {
    let mut cloud = cloud();
    let seen = document(&cloud, "nic-b");
    assert_eq!(put(&mut cloud, 0, &seen, Style::Ok).status, 200);
    let late = put(&mut cloud, 30, &seen, Style::Ok);
    assert_eq!((late.status, late.code()), (412, "PreconditionFailed"));
}

#[test]
fn every_style_of_operation_ends_when_the_work_is_done() {
    for style in Style::ALL {
        let mut cloud = cloud();
        let a = with_pip(document(&cloud, "nic-a"), false);
        let accepted = put(&mut cloud, 0, &a, style);
        let header = |name: &str| {
            let found = accepted.headers.iter().find(|(header, _)| *header == name);
            found.map(|(_, url)| url.split('?').next().unwrap().to_owned())
        };
        let expected = match style {
            Style::Ok | Style::Bare => 200,
            Style::Created => 201,
            Style::Accepted => 202,
        };
        assert_eq!(accepted.status, expected);
        assert!(accepted.headers.contains(&("Retry-After", "10".to_owned())));
        let get = |cloud: &mut ArmCloud, now, path: &str| {
            cloud.handle(at(now), "GET", path, None, b"", manner(style))
        };
        if let Some(url) = header("Azure-AsyncOperation") {
            assert_eq!(get(&mut cloud, 9, &url).body["status"], "InProgress");
            assert_eq!(get(&mut cloud, 10, &url).body["status"], "Succeeded");
        }
        if let Some(url) = header("Location") {
            assert_eq!(get(&mut cloud, 10, &url).status, 200);
        }
        assert_eq!(get(&mut cloud, 10, &id("nic-a")).body["properties"]["provisioningState"], "Succeeded");
    }
}

#[test]
fn a_failed_operation_leaves_the_state_failed_and_the_address_nowhere() {
    let mut cloud = cloud();
    let a = with_pip(document(&cloud, "nic-a"), false);
    put(&mut cloud, 0, &a, Style::Ok);
    cloud.advance(at(10));
    let b = with_pip(document(&cloud, "nic-b"), true);
    let fails = Manner { fails: true, ..manner(Style::Ok) };
    let etag = text(&b, "etag").to_owned();
    cloud.handle(at(10), "PUT", &id("nic-b"), Some(&etag), b.to_string().as_bytes(), fails);
    cloud.advance(at(20));
    assert_eq!(document(&cloud, "nic-b")["properties"]["provisioningState"], "Failed");
    let pip = network_id(GROUP, "publicIPAddresses", "pip");
    assert_eq!(cloud.document(&pip).unwrap()["properties"].get("ipConfiguration"), None);
    // The same document once more.
    let same = document(&cloud, "nic-b");
    assert_eq!(put(&mut cloud, 20, &same, Style::Ok).status, 200);
    cloud.advance(at(30));
    let holder = cloud.document(&pip).unwrap().pointer("/properties/ipConfiguration/id").cloned();
    assert_eq!(holder, Some(json!(format!("{}/ipConfigurations/ipconfig1", id("nic-b")))));
}

#[test]
fn what_is_not_there_or_not_permitted_is_told_as_arm_does() {
    let mut cloud = cloud();
    let get =
        |cloud: &mut ArmCloud, path: &str| cloud.handle(at(0), "GET", path, None, b"", manner(Style::Ok));
    assert_eq!(get(&mut cloud, &id("nic-z")).code(), "ResourceNotFound");
    cloud.deny("Microsoft.Network/networkInterfaces/read");
    assert_eq!(get(&mut cloud, &id("nic-a")).code(), "AuthorizationFailed");
}
