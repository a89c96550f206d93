//! Preflight of whole coordinators, through the command line: each failing check is driven to fail
//! for real, and what is in order passes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cloud_adapters::simulated::arm::documents::{network_id, vm_id};
use cloud_adapters::simulated::arm::faults::ArmFaults;
use cloud_adapters::simulated::arm::scene::{GROUP, Shape};
use cloud_adapters::simulated::faults::Spread;
use coordinator_api::v1::{Check, CheckItem, CheckVerdict, Preflight, PreflightRequest};
use coordinator_core::ids::NodeId;
use coordinator_core::observe::Verdict;
use serde_json::{Value, json};
use tests::azure::{AzureStage, PAIR};
use tests::cluster::Cluster;
use tests::command::{Finished, must};
use tests::groups;
use tests::netns::{INTERFACE, Network, PREFIX_LEN};
use tests::privileged::skip_unless_privileged;

const FAILED: i32 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_make_a_move_fail_is_found_before_it_matters() -> Result<()> {
    let mut stage = AzureStage::new(Shape::SMALL).await?;
    let nics = stage.add_coordinator_nics();
    let nics = nics.iter().zip(1..).map(|(nic, node)| format!("{node} = \"{nic}\"")).collect::<Vec<_>>();
    let adapter = format!("{}coordinator_nics = {{ {} }}\n", stage.adapter(), nics.join(", "));
    let mut cluster = Cluster::on_loopback(&(adapter + &stage.group("flap_moves = 100")))?;
    let outcome = story(&mut cluster, stage).await;
    cluster.explain(outcome)
}

async fn story(cluster: &mut Cluster, mut stage: AzureStage) -> Result<()> {
    cluster.start_coordinators()?;
    cluster.at_rest(PAIR, "fw-a")?;
    cluster.group(PAIR, "sees both up", |status| status.members.iter().all(|m| m.verdict == Verdict::Up))?;
    in_order(cluster, &stage)?;
    of_one_group(cluster).await?;
    azure(cluster, &stage)?;
    writes(cluster, &mut stage).await?;
    appliances(cluster, &mut stage).await?;
    coordinators(cluster)
}

/// Nothing fails, every coordinator has looked, nothing was written.
fn in_order(cluster: &Cluster, stage: &AzureStage) -> Result<()> {
    let written = stage.accepted().len();
    let done: Preflight = cluster.cli_json(&["preflight"])?;
    let failed = named(&done, CheckVerdict::Fail);
    ensure!(failed.is_empty() && done.verdict != CheckVerdict::Fail, "{failed:?}");
    ensure!(stage.accepted().len() == written, "a preflight writes nothing");
    for check in
        [Check::AzureToken, Check::AzureReach, Check::AzurePermission, Check::WayToCloud, Check::Storage]
    {
        let by: BTreeSet<_> = items(&done, &check).filter_map(|item| item.coordinator).collect();
        ensure!(by == cluster.node_ids().into_iter().collect(), "{check} was looked at by {by:?} only");
    }
    let hops = items(&done, &Check::WayToCloud).filter(|item| item.found.contains("effective routes"));
    ensure!(hops.count() == 3, "the cloud says how each coordinator reaches it: {done:#?}");
    for check in
        [Check::Quorum, Check::Clock, Check::Standby, Check::AzureMachine, Check::Drift, Check::AzureZone]
    {
        ensure!(items(&done, &check).all(|item| item.verdict == CheckVerdict::Pass), "{check}: {done:#?}");
        ensure!(items(&done, &check).count() > 0, "{check} is missing");
    }
    let shown = cluster.cli(&["preflight", PAIR])?;
    ensure!(shown.code() == 0 && shown.stdout.contains("0 failed"), "{}", shown.output());
    ensure!(!shown.stdout.contains("pass  "), "what passed is a number: {}", shown.stdout);
    let all = cluster.cli(&["preflight", PAIR, "--all"])?;
    ensure!(all.stdout.contains("pass  azure-token"), "{}", all.stdout);
    Ok(())
}

/// Whichever coordinator is asked, the leader runs it.
async fn of_one_group(cluster: &Cluster) -> Result<()> {
    let leader = cluster.leader()?;
    for node in cluster.node_ids() {
        let request = PreflightRequest { group: Some(PAIR.parse()?), write_check: false };
        let done: Preflight = cluster.api(node)?.post("/v1/preflight", &request).await?;
        ensure!(done.leader == leader, "{} ran it, and {leader} leads", done.leader);
    }
    let unknown = cluster.cli(&["preflight", "dmx"])?;
    ensure!(unknown.code() == FAILED && unknown.output().contains("dmx"), "{}", unknown.output());
    Ok(())
}

/// What is wrong in the cloud.
fn azure(cluster: &Cluster, stage: &AzureStage) -> Result<()> {
    let nic = network_id(GROUP, "networkInterfaces", "nic-b-0");
    let pip = network_id(GROUP, "publicIPAddresses", "pip-0");
    let (vm, coordinator) = (vm_id(GROUP, "vm-nic-b-0"), network_id(GROUP, "networkInterfaces", "nic-c1"));
    let table = network_id(GROUP, "routeTables", "rt-1");
    let subnets = "/properties/subnets";
    let of_c1 = stage.arm().with(|cloud| {
        let nic = cloud.document(&coordinator).cloned().unwrap_or_default();
        nic["properties"]["ipConfigurations"][0]["properties"]["subnet"].clone()
    });
    let forwarding = "/properties/enableIPForwarding";
    let off = json!([{ "code": "PowerState/deallocated" }]);
    let basic = json!({ "name": "Basic", "tier": "Regional" });
    let many: serde_json::Map<String, Value> = (0..50).map(|n| (format!("tag-{n}"), json!("x"))).collect();
    for (check, id, pointer, value) in [
        (Check::AzureForwarding, &nic, forwarding, json!(false)),
        (Check::AzureMachine, &vm, "/properties/instanceView/statuses", off),
        (Check::AzurePublicIp, &pip, "/properties/publicIPAllocationMethod", json!("Dynamic")),
        (Check::AzureZone, &pip, "/sku", basic),
        (Check::AzureTags, &table, "/tags", Value::Object(many)),
        // The coordinators' subnet gets the table whose routes lead through the active appliance.
        (Check::WayToCloud, &table, subnets, json!([of_c1])),
    ] {
        let before = swap(stage, id, pointer, value).with_context(|| format!("{check}"))?;
        let (code, failed) = run(cluster, &[PAIR])?;
        swap(stage, id, pointer, before)?;
        ensure!(code == FAILED && failed.contains(&check), "{check} is not among {failed:?}");
    }
    let (code, failed) = run(cluster, &[])?;
    ensure!(code == 0, "all is well again: {failed:?}");
    Ok(())
}

/// Only when asked for, as it was, and never of a group that is moving.
async fn writes(cluster: &mut Cluster, stage: &mut AzureStage) -> Result<()> {
    let before = stage.accepted().len();
    let done: Preflight = cluster.cli_json(&["preflight", PAIR, "--write-check"])?;
    let written = items(&done, &Check::Write).filter(|item| item.verdict == CheckVerdict::Pass).count();
    ensure!(written == Shape::SMALL.resources(), "{done:#?}");
    ensure!(stage.accepted().len() - before == written, "{:?}", stage.accepted());
    stage.check("fw-a")?;

    // A move that takes its time.
    let slow = Spread::millis(3_000, 3_000);
    stage.arm().set_faults(ArmFaults { provisioning: slow, ..ArmFaults::default() });
    let moving = cluster.cli(&["switchover", PAIR, "--reason", "test", "--yes", "--no-wait"])?;
    ensure!(moving.code() == 0, "{}", moving.output());
    let done: Preflight = cluster.cli_json(&["preflight", PAIR, "--write-check"])?;
    let tried: Vec<_> = items(&done, &Check::Write).collect();
    ensure!(tried.iter().all(|item| item.verdict == CheckVerdict::Warn), "{tried:?}");
    ensure!(named(&done, CheckVerdict::Warn).contains(&Check::GroupState), "{done:#?}");
    stage.arm().set_faults(ArmFaults::default());
    cluster.at_rest(PAIR, "fw-b")?;
    stage.check("fw-b")?;

    stage.arm().with(|cloud| cloud.deny("Microsoft.Network/routeTables/write"));
    let (code, failed) = run(cluster, &[PAIR, "--write-check"])?;
    ensure!(code == FAILED && failed.contains(&Check::AzurePermission), "{failed:?}");
    ensure!(failed.contains(&Check::Write), "{failed:?}");
    Ok(())
}

async fn appliances(cluster: &Cluster, stage: &mut AzureStage) -> Result<()> {
    stage.appliance("fw-a")?.stop();
    cluster
        .group(PAIR, "sees fw-a down", |status| status.members.iter().any(|m| m.verdict == Verdict::Down))?;
    let (code, failed) = run(cluster, &[PAIR])?;
    ensure!(code == FAILED, "{failed:?}");
    ensure!(failed.contains(&Check::Appliance) && failed.contains(&Check::Standby), "{failed:?}");
    stage.appliance("fw-a")?.start().await
}

/// A coordinator that is not there is told, and is no failure yet.
fn coordinators(cluster: &mut Cluster) -> Result<()> {
    let leader = cluster.leader()?;
    let other = cluster.node_ids().into_iter().find(|node| *node != leader).context("one leads alone")?;
    cluster.kill_coordinator(other)?;
    // Other checks have failed by now, so what was printed is read as it is.
    let done = preflight(&cluster.cli(&["preflight", "--output", "json"])?)?;
    let gone = items(&done, &Check::Coordinator).find(|item| item.subject == format!("coordinator {other}"));
    ensure!(gone.is_some_and(|item| item.verdict == CheckVerdict::Warn), "{gone:?}");
    Ok(())
}

#[test]
fn a_way_through_an_appliance_is_found_in_the_routes_of_a_coordinator() -> Result<()> {
    if skip_unless_privileged("a_way_through_an_appliance_is_found_in_the_routes_of_a_coordinator")? {
        return Ok(());
    }
    let host = |last: u8| Ipv4Addr::new(10, 88, 0, last);
    let hosts =
        [("c1", host(11)), ("c2", host(12)), ("c3", host(13)), ("fw-a", host(21)), ("fw-b", host(22))];
    let network = Network::create(&[&hosts[..], &[("client", host(50))]].concat())?;
    let pair = [("fw-a", host(21)), ("fw-b", host(22))];
    let vip = host(100);
    let mut cluster = Cluster::on_network(network, &groups::pair(pair, vip, PREFIX_LEN, INTERFACE))?;
    let outcome = through_an_appliance(&mut cluster, host(12), host(21));
    cluster.explain(outcome)
}

fn through_an_appliance(cluster: &mut Cluster, c2: Ipv4Addr, fw_a: Ipv4Addr) -> Result<()> {
    cluster.start_coordinators()?;
    cluster.start_agents()?;
    let leads = cluster.leader()?;
    let direct = preflight(&cluster.cli(&["preflight", "--output", "json"])?)?;
    ensure!(
        items(&direct, &Check::WayToCoordinator).all(|item| item.verdict == CheckVerdict::Pass),
        "{direct:#?}"
    );
    ensure!(items(&direct, &Check::WayToCoordinator).count() == 6, "each looks at two: {direct:#?}");

    // Everything still works: the appliance forwards. It is when it dies that it matters.
    on(cluster, "fw-a", "sysctl", &["-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0"])?;
    on(cluster, "fw-a", "sysctl", &["-qw", &format!("net.ipv4.conf.{INTERFACE}.send_redirects=0")])?;
    on(cluster, "c1", "ip", &["route", "add", &format!("{c2}/32"), "via", &fw_a.to_string()])?;
    let done = preflight(&cluster.cli(&["preflight", "--output", "json"])?)?;
    let through: Vec<_> =
        items(&done, &Check::WayToCoordinator).filter(|item| item.verdict == CheckVerdict::Fail).collect();
    ensure!(through.len() == 1, "{leads} leads: {done:#?}");
    ensure!(
        through[0].coordinator == Some(NodeId(1)) && through[0].subject == "coordinator 2",
        "{through:?}"
    );
    ensure!(through[0].found.contains("fw-a of group dmz"), "{through:?}");
    Ok(())
}

fn on(cluster: &Cluster, host: &str, program: &str, args: &[&str]) -> Result<()> {
    let command = cluster.network()?.command(host, Path::new(program));
    let whole: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let whole: Vec<&str> = whole.iter().map(String::as_str).chain(args.iter().copied()).collect();
    must(&command.get_program().to_string_lossy(), &whole).map(drop)
}

/// The exit code, and what failed.
fn run(cluster: &Cluster, args: &[&str]) -> Result<(i32, BTreeSet<Check>)> {
    let done = cluster.cli(&[&["preflight", "--output", "json"], args].concat())?;
    Ok((done.code(), named(&preflight(&done)?, CheckVerdict::Fail)))
}

/// What was printed, whatever the exit code.
fn preflight(done: &Finished) -> Result<Preflight> {
    serde_json::from_str(&done.stdout).with_context(|| format!("not a preflight: {}", done.output()))
}

fn items<'a>(done: &'a Preflight, check: &'a Check) -> impl Iterator<Item = &'a CheckItem> {
    done.items.iter().filter(move |item| item.check == *check)
}

fn named(done: &Preflight, verdict: CheckVerdict) -> BTreeSet<Check> {
    done.items.iter().filter(|item| item.verdict == verdict).map(|item| item.check.clone()).collect()
}

/// Puts a value into a resource, and gives back what was there.
fn swap(stage: &AzureStage, id: &str, pointer: &str, value: Value) -> Result<Value> {
    let mut before = None;
    stage.arm().with(|cloud| {
        cloud.meddle(id, |document| {
            before = document.pointer_mut(pointer).map(|found| std::mem::replace(found, value));
        });
    });
    before.with_context(|| format!("{id} has no {pointer}"))
}
