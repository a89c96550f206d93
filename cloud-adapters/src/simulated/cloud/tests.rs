use super::*;

const T0: Duration = Duration::ZERO;
const AT_WORK: Duration = Duration::from_secs(10);

fn cloud() -> Cloud {
    let ip = |last| IpAddr::from([10, 0, 0, last]);
    let forward = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut topology = Topology::default()
        .public_ip("pip", IpAddr::from([203, 0, 113, 1]))
        .nic("nic-a", ip(4), forward(4))
        .nic("nic-b", ip(5), forward(5))
        .route("rt", "default", "0.0.0.0/0", ip(4));
    topology.nics[0].ip_configurations[0].public_ip = Some("pip".to_owned());
    let mut cloud = Cloud::default();
    cloud.add(T0, topology).unwrap();
    cloud
}

fn with_ip(nic: &Nic, public_ip: Option<&str>) -> Nic {
    let mut nic = nic.clone();
    nic.ip_configurations[0].public_ip = public_ip.map(str::to_owned);
    nic
}

fn put(cloud: &mut Cloud, now: Duration, nic: &str, public_ip: Option<&str>) -> Result<Nic, Refusal> {
    let document = with_ip(cloud.nic(nic).unwrap(), public_ip);
    cloud.put_nic(now, nic, Some(&document.etag), document.clone(), AT_WORK)
}

fn pip() -> Carried {
    Carried::PublicIp("pip".to_owned())
}

#[test]
fn a_write_over_a_newer_version_is_refused_and_changes_nothing() {
    let mut cloud = cloud();
    let old = cloud.nic("nic-b").unwrap().clone();
    cloud.put_nic(T0, "nic-b", Some(&old.etag), old.clone(), T0).unwrap();
    let before = cloud.nic("nic-b").unwrap().clone();
    assert_ne!(before.etag, old.etag, "every write moves the ETag, also one that changes nothing");
    let refusal = cloud.put_nic(T0, "nic-b", Some(&old.etag), with_ip(&old, Some("pip")), T0).unwrap_err();
    assert_eq!(refusal.status, 412);
    assert_eq!(*cloud.nic("nic-b").unwrap(), before);
}

#[test]
fn a_public_ip_must_be_detached_before_another_nic_gets_it() {
    let mut cloud = cloud();
    assert_eq!(put(&mut cloud, T0, "nic-b", Some("pip")).unwrap_err().code, "PublicIpInUse");
    put(&mut cloud, T0, "nic-a", None).unwrap();
    assert_eq!(put(&mut cloud, T0, "nic-b", Some("pip")).unwrap_err().code, OPERATION_IN_PROGRESS);
    put(&mut cloud, AT_WORK, "nic-b", Some("pip")).unwrap();
    let associated = cloud.public_ip("pip").unwrap().ip_configuration.clone();
    assert_eq!(associated.as_deref(), Some("nic-b/ipconfig1"));
}

#[test]
fn a_detached_address_stops_at_once_and_an_attached_one_starts_when_the_work_is_done() {
    let mut cloud = cloud();
    assert_eq!(cloud.forward_to(&pip()).unwrap().port(), 4);
    put(&mut cloud, T0, "nic-a", None).unwrap();
    assert_eq!(cloud.forward_to(&pip()), None);
    put(&mut cloud, AT_WORK, "nic-b", Some("pip")).unwrap();
    assert_eq!(cloud.forward_to(&pip()), None);
    assert_eq!(cloud.next_due(), Some(AT_WORK * 2));
    cloud.advance(AT_WORK * 2);
    assert_eq!(cloud.forward_to(&pip()).unwrap().port(), 5);

    let story: Vec<(u64, Vec<String>)> =
        cloud.history().filter(|e| e.what == pip()).map(|e| (e.at.as_secs(), e.carriers.clone())).collect();
    let (a, b) = ("nic-a/ipconfig1".to_owned(), "nic-b/ipconfig1".to_owned());
    assert_eq!(story, [(0, vec![a]), (0, vec![]), (20, vec![b])]);
}

#[test]
fn a_tag_alone_takes_no_work_and_work_refuses_writes() {
    let mut cloud = cloud();
    let mut tagged = cloud.nic("nic-a").unwrap().clone();
    tagged.tags.insert("owner".to_owned(), "me".to_owned());
    let written = cloud.put_nic(T0, "nic-a", None, tagged, AT_WORK).unwrap();
    assert_eq!(written.provisioning, Provisioning::Succeeded);
    put(&mut cloud, T0, "nic-a", None).unwrap();
    assert_eq!(put(&mut cloud, T0, "nic-a", None).unwrap_err().code, OPERATION_IN_PROGRESS);
}

#[test]
fn a_route_leads_to_the_old_hop_until_the_work_is_done() {
    let mut cloud = cloud();
    let default = Carried::Route { table: "rt".to_owned(), route: "default".to_owned() };
    let mut table = cloud.route_table("rt").unwrap().clone();
    table.routes[0].next_hop = IpAddr::from([10, 0, 0, 5]);
    cloud.put_route_table(T0, "rt", Some(&table.etag.clone()), table, AT_WORK).unwrap();
    assert_eq!(cloud.forward_to(&default).unwrap().port(), 4);
    cloud.advance(AT_WORK);
    assert_eq!(cloud.forward_to(&default).unwrap().port(), 5);
}

#[test]
fn a_bad_topology_is_refused_as_a_whole() {
    let mut cloud = cloud();
    let twice = Topology::default().public_ip("pip-2", IpAddr::from([203, 0, 113, 2])).nic(
        "nic-c",
        IpAddr::from([10, 0, 0, 4]),
        SocketAddr::from(([127, 0, 0, 1], 6)),
    );
    assert_eq!(cloud.add(T0, twice).unwrap_err().message, "10.0.0.4 is the address of two NICs");
    assert!(cloud.public_ip("pip-2").is_err());
}
