//! Requests that must be refused on a healthy cluster, through the command line: clearly, and
//! with nothing half-applied.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Result, ensure};
use cloud_adapters::simulated::model::Topology;
use cloud_adapters::simulated::{Options, Running, SimulatedCloud};
use config::cli::TOKEN_VARIABLE;
use coordinator_api::v1::{ApplianceRole, GroupStatus, OperationList};
use coordinator_core::command::OperationKind;
use coordinator_core::observe::Verdict;
use tests::cluster::{Cluster, free_ports};
use tests::command::{Finished, run};
use tests::process::Process;
use tests::wait::{self, Look, PATIENCE, is};

const FAILED: i32 = 1;
const FAULTY: i32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_refused_is_refused_and_changes_nothing() -> Result<()> {
    let ports = free_ports(3)?;
    let cloud = cloud(ports[0]).await?;
    let declarations = declarations(&cloud.url(), &ports);
    let mut cluster = Cluster::on_loopback(&declarations)?;
    let outcome = refusals(&mut cluster, ports[0]);
    cluster.explain(outcome)
}

fn refusals(cluster: &mut Cluster, port: u16) -> Result<()> {
    let mut server = Command::new(env!("CARGO_BIN_EXE_name-server"));
    let log = cluster.dir().join("name-server.log");
    let _server = Process::start("name-server", server.args(["fw-a", &port.to_string()]), &log)?;
    cluster.start_coordinators()?;
    wait::until("dmz is active on fw-a, its standby is down, and stuck is stuck", || {
        let (Ok(dmz), Ok(stuck)) = (group(cluster, "dmz"), group(cluster, "stuck")) else {
            return Ok(Look::NotYet("no answer".to_owned()));
        };
        let so = dmz.members.first().is_some_and(|a| a.role == ApplianceRole::Active)
            && dmz.members.last().is_some_and(|b| b.verdict == Verdict::Down)
            && stuck.running.is_some();
        Ok(is(so, || format!("{dmz:#?} {stuck:#?}")))
    })?;
    tokens(cluster)?;
    unknown_names(cluster)?;
    sick_standby(cluster)?;
    second_operation(cluster)?;
    exported(cluster)
}

fn tokens(cluster: &Cluster) -> Result<()> {
    let wrong = run(cluster.cli_command().env(TOKEN_VARIABLE, "pointsman_wrong").arg("status"), PATIENCE)?;
    says(&wrong, FAILED, &["token", TOKEN_VARIABLE])?;
    let none = run(cluster.cli_command().env_remove(TOKEN_VARIABLE).arg("status"), PATIENCE)?;
    says(&none, FAULTY, &[TOKEN_VARIABLE, "token_file"])
}

fn unknown_names(cluster: &Cluster) -> Result<()> {
    says(&cluster.cli(&["status", "dmx"])?, FAILED, &["dmx", "pointsman status"])?;
    says(&moved(cluster, "dmx", &[])?, FAILED, &["dmx"])?;
    says(&moved(cluster, "dmz", &["--to", "fw-x"])?, FAILED, &["fw-x"])?;
    says(&cluster.cli(&["maintenance", "dmz", "fw-x", "on", "--reason", "x"])?, FAILED, &["fw-x"])?;
    // Not a name at all.
    says(&cluster.cli(&["status", "D M Z"])?, FAULTY, &["D M Z"])
}

fn sick_standby(cluster: &Cluster) -> Result<()> {
    let before = operations(cluster)?;
    says(&moved(cluster, "dmz", &["--to", "fw-b"])?, FAILED, &["refused", "fw-b", "down", "--force"])?;
    ensure!(operations(cluster)? == before, "something was started");
    says(&moved(cluster, "dmz", &["--to", "fw-a"])?, FAILED, &["fw-a"])?;
    ensure!(operations(cluster)? == before, "something was started");

    let forced = moved(cluster, "dmz", &["--to", "fw-b", "--force"])?;
    ensure!(forced.status.success(), "{}", forced.output());
    let status = group(cluster, "dmz")?;
    ensure!(status.summary.active.as_ref().is_some_and(|name| name.as_str() == "fw-b"), "{status:#?}");
    let all: OperationList = cluster.cli_json(&["operations", "--group", "dmz"])?;
    let newest = all.operations.first().map(|operation| (operation.kind, operation.reason.as_str()));
    ensure!(newest == Some((OperationKind::ForcedSwitchover, "as the tests want it")), "{all:#?}");
    let history = cluster.cli(&["history", "--group", "dmz"])?;
    says(&history, 0, &["forced switchover", "as the tests want it"])
}

fn second_operation(cluster: &Cluster) -> Result<()> {
    let before = operations(cluster)?;
    says(&moved(cluster, "stuck", &["--to", "rt-b"])?, FAILED, &["operation", "pointsman operations"])?;
    // Not over a healthy operation either, however strongly it is meant.
    says(&moved(cluster, "stuck", &["--to", "rt-b", "--force"])?, FAILED, &["operation"])?;
    ensure!(operations(cluster)? == before, "something was started");
    Ok(())
}

/// The history is verified, as the cluster has it and as a file, and a changed file is refused.
fn exported(cluster: &Cluster) -> Result<()> {
    says(&cluster.cli(&["history", "verify"])?, 0, &["nothing was changed"])?;
    let file = cluster.dir().join("history.jsonl");
    let path = file.display().to_string();
    says(&cluster.cli(&["history", "export", "--out", &path])?, 0, &["history.jsonl", "digest"])?;
    says(&cluster.cli(&["history", "export", "--out", &path])?, FAILED, &["could not create", "exists"])?;
    // With no cluster and no context at hand.
    let verify = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman-under-test"));
        run(command.args(["history", "verify", &path]).args(more), PATIENCE)
    };
    says(&verify(&[])?, 0, &["nothing was changed"])?;
    says(&verify(&["--head", &"00".repeat(32)])?, FAILED, &["not the whole history"])?;
    says(&verify(&["--head", "short"])?, FAULTY, &["64 hexadecimal digits"])?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains("as the tests want it"), "the reason is not in the file");
    std::fs::write(&file, text.replacen("as the tests want it", "as nobody ever said", 1))?;
    says(&verify(&[])?, FAILED, &["line", "not what was recorded"])?;
    let table = cluster.cli(&["history", "export", "--format", "csv"])?;
    says(&table, 0, &["number,time,level", "forced switchover"])
}

fn moved(cluster: &Cluster, group: &str, args: &[&str]) -> Result<Finished> {
    let common = ["switchover", group, "--yes", "--reason", "as the tests want it"];
    cluster.cli(&[&common, args].concat())
}

fn group(cluster: &Cluster, name: &str) -> Result<GroupStatus> {
    cluster.cli_json(&["status", name])
}

/// The ids of all operations.
fn operations(cluster: &Cluster) -> Result<Vec<u64>> {
    let all: OperationList = cluster.cli_json(&["operations"])?;
    Ok(all.operations.iter().map(|operation| operation.id.0).collect())
}

fn says(done: &Finished, code: i32, words: &[&str]) -> Result<()> {
    let said = done.output();
    ensure!(done.code() == code, "exit code {} and {said}", done.code());
    for word in words {
        ensure!(said.contains(word), "{word:?} is not in {said}");
    }
    Ok(())
}

async fn cloud(port: u16) -> Result<Running> {
    let service = (Ipv4Addr::LOCALHOST, port).into();
    let topology = Topology::default()
        .nic("nic-a", Ipv4Addr::new(10, 0, 0, 4).into(), service)
        .nic("nic-b", Ipv4Addr::new(10, 0, 0, 5).into(), service)
        .route("rt-hub", "default", "0.0.0.0/0", Ipv4Addr::new(10, 0, 0, 9).into());
    Ok(SimulatedCloud::start(Options { topology, ..Options::default() }).await?)
}

/// A group whose standby is down, and one whose cloud is not there. `ports`: the service, where
/// nobody listens, and the missing cloud.
fn declarations(cloud: &str, ports: &[u16]) -> String {
    let (service, nobody, no_cloud) = (ports[0], ports[1], ports[2]);
    let probe = |port: u16| {
        format!(
            r#"[{{ kind = "tcp", address = "127.0.0.1:{port}", interval = "200ms", timeout = "150ms" }}]"#
        )
    };
    let (up, down) = (probe(service), probe(nobody));
    format!(
        r#"
[[adapter]]
name = "sim"
kind = "simulated"
url = "{cloud}"

[[adapter]]
name = "gone"
kind = "simulated"
url = "http://127.0.0.1:{no_cloud}"

[[group]]
name = "dmz"
# What an operator forced stays where it was forced to.
policy = {{ failover = "manual" }}
binding = [{{ name = "out", kind = "route", adapter = "sim", table = "rt-hub", route = "default", targets = {{ fw-a = "10.0.0.4", fw-b = "10.0.0.5" }} }}]
appliance = [
    {{ name = "fw-a", address = "10.0.0.4", probe = {up} }},
    {{ name = "fw-b", address = "10.0.0.5", probe = {down} }},
]

[[group]]
name = "stuck"
binding = [{{ name = "out", kind = "route", adapter = "gone", table = "rt", route = "default", targets = {{ rt-a = "10.0.1.4", rt-b = "10.0.1.5" }} }}]
appliance = [
    {{ name = "rt-a", address = "10.0.1.4", probe = {up} }},
    {{ name = "rt-b", address = "10.0.1.5", probe = {up} }},
]
"#
    )
}
