//! A dead active is switched off before anything moves: by a program, by a cloud, or on an
//! operator's word. Real coordinators, a real program, and a cloud on loopback.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cloud_adapters::simulated::model::{MachinePower, Topology};
use cloud_adapters::simulated::{Options, Running, SimulatedCloud};
use coordinator_api::v1::{GroupStatus, OperationView};
use coordinator_core::command::ReleaseProof;
use coordinator_core::observe::Verdict;
use tests::cluster::Cluster;
use tests::service::Service;
use tests::wait::{self, is};

/// A program that says what it was told, fails until it is allowed, and then says that the machine
/// is off.
const PLUG: &str = r#"
echo "$POINTSMAN_GROUP $POINTSMAN_APPLIANCE $POINTSMAN_TOKEN" >> "$1/asked"
[ -e "$1/allowed" ] && exit 0
echo "the plug is stuck" >&2
exit 7
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_active_is_switched_off_before_anything_moves() -> Result<()> {
    let stage = Stage::new().await?;
    let mut cluster = Cluster::on_loopback(&stage.declarations())?;
    let outcome = story(&mut cluster, stage).await;
    cluster.explain(outcome)
}

async fn story(cluster: &mut Cluster, mut stage: Stage) -> Result<()> {
    cluster.start_coordinators()?;
    for (group, active) in [("web", "fw-a"), ("mail", "lb-a")] {
        cluster.at_rest(group, active)?;
    }

    // By the cloud: the machine is off before the route moves.
    stage.lb_a.stop();
    let mail = cluster.at_rest("mail", "lb-b")?;
    ensure!(stage.power("vm-lb-a")? == MachinePower::Off && stage.power("vm-lb-b")? == MachinePower::On);
    let moved: OperationView = cluster.cli_json(&["operations", &mail.summary.token.to_string()])?;
    ensure!(proof(&moved) == Some(ReleaseProof::Fenced), "{moved:?}");
    let calls: Vec<_> = stage.cloud.calls().into_iter().map(|call| call.call).collect();
    let first = |call: &str| calls.iter().position(|seen| seen.as_str() == call);
    let (off, rerouted) =
        (first("PUT machines/vm-lb-a"), calls.iter().rposition(|c| c == "PUT route-tables/rt"));
    ensure!(off.is_some() && off < rerouted, "{calls:?}");

    // By a program that does not succeed: nothing moves, and the group says why.
    stage.fw_a.stop();
    let why = "hook plug fails: exit 7: the plug is stuck";
    let held = |status: &GroupStatus| status.summary.hold.as_ref().is_some_and(|hold| hold.contains(why));
    let web = cluster.group("web", "is held over the failing hook", held)?;
    ensure!(web.summary.active.as_ref().is_some_and(|active| active.as_str() == "fw-b"), "{web:?}");
    ensure!(stage.public_ip()? == "nic-fw-a/ipconfig1", "the address moved too early");
    let told = format!("web fw-a {}", web.summary.token);
    ensure!(stage.asked()?.iter().all(|line| *line == told), "{:?}", stage.asked()?);

    // Another leader goes on where this one stops.
    let leader = cluster.leader()?;
    cluster.kill_coordinator(leader)?;
    let before = stage.asked()?.len();
    wait::until("the next leader runs the program", || {
        let now = stage.asked()?.len();
        Ok(is(now > before, || format!("it was run {now} times")))
    })?;
    ensure!(stage.public_ip()? == "nic-fw-a/ipconfig1", "the address moved too early");
    std::fs::write(stage.dir.path().join("allowed"), "")?;
    let web = cluster.at_rest("web", "fw-b")?;
    ensure!(stage.public_ip()? == "nic-fw-b/ipconfig1");
    let moved: OperationView = cluster.cli_json(&["operations", &web.summary.token.to_string()])?;
    ensure!(proof(&moved) == Some(ReleaseProof::Fenced), "{moved:?}");
    cluster.start_coordinator(leader)?;

    // On an operator's word: the plug is stuck again, and somebody walks there.
    std::fs::remove_file(stage.dir.path().join("allowed"))?;
    stage.fw_a.start().await?;
    cluster.group("web", "fw-a is up again", |s| s.members[0].verdict == Verdict::Up)?;
    let early = cluster.cli(&["confirm-off", "web", "fw-b", "--reason", "a drill", "--yes"])?;
    ensure!(early.code() == 1 && early.output().contains("it is the active"), "{}", early.output());
    stage.fw_b.stop();
    cluster.group("web", "is held over the failing hook", held)?;
    let reason = "I pulled it out";
    let said = cluster.cli(&["confirm-off", "web", "fw-b", "--reason", reason, "--yes"])?;
    ensure!(said.status.success() && said.output().contains(reason), "{}", said.output());
    let web = cluster.at_rest("web", "fw-a")?;
    ensure!(stage.public_ip()? == "nic-fw-a/ipconfig1");
    let moved: OperationView = cluster.cli_json(&["operations", &web.summary.token.to_string()])?;
    ensure!(proof(&moved) == Some(ReleaseProof::Operator), "{moved:?}");
    stage.cloud.shutdown().await;
    Ok(())
}

fn proof(operation: &OperationView) -> Option<ReleaseProof> {
    operation.released.as_ref().map(|released| released.proof)
}

/// Two pairs, a cloud with their machines, and a program's directory.
struct Stage {
    cloud: Running,
    dir: tempfile::TempDir,
    fw_a: Service,
    fw_b: Service,
    lb_a: Service,
    lb_b: Service,
}

impl Stage {
    async fn new() -> Result<Stage> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("plug"), PLUG)?;
        let (fw_a, fw_b) = (Service::new(1).await?, Service::new(2).await?);
        let (lb_a, lb_b) = (Service::new(3).await?, Service::new(4).await?);
        let mut topology = Topology::default()
            .public_ip("pip", [203, 0, 113, 1].into())
            .nic("nic-fw-a", fw_a.address().ip(), fw_a.address())
            .nic("nic-fw-b", fw_b.address().ip(), fw_b.address())
            .nic("nic-lb-a", lb_a.address().ip(), lb_a.address())
            .nic("nic-lb-b", lb_b.address().ip(), lb_b.address())
            .machine("vm-lb-a", "nic-lb-a")
            .machine("vm-lb-b", "nic-lb-b")
            .route("rt", "default", "0.0.0.0/0", lb_a.address().ip());
        topology.nics[0].ip_configurations[0].public_ip = Some("pip".to_owned());
        let cloud = SimulatedCloud::start(Options { topology, ..Options::default() }).await?;
        Ok(Stage { cloud, dir, fw_a, fw_b, lb_a, lb_b })
    }

    fn declarations(&self) -> String {
        let (url, dir) = (self.cloud.url(), self.dir.path().display());
        let plug: PathBuf = Path::new("/bin/sh").into();
        let mut text = format!(
            r#"
[[adapter]]
name = "cloud"
kind = "simulated"
url = "{url}"

[[hook]]
name = "plug"
command = ["{}", "{dir}/plug", "{dir}"]
timeout = "5s"
"#,
            plug.display()
        );
        let route = format!(
            r#"kind = "route", table = "rt", route = "default", targets = {{ lb-a = "{}", lb-b = "{}" }}"#,
            self.lb_a.address().ip(),
            self.lb_b.address().ip()
        );
        let public_ip = r#"kind = "public-ip", resource = "pip", targets = { fw-a = "nic-fw-a/ipconfig1", fw-b = "nic-fw-b/ipconfig1" }"#;
        for (group, binding, members) in [
            ("web", public_ip.to_owned(), [("fw-a", &self.fw_a), ("fw-b", &self.fw_b)]),
            ("mail", route, [("lb-a", &self.lb_a), ("lb-b", &self.lb_b)]),
        ] {
            text += &format!(
                r#"
[[group]]
name = "{group}"
policy = {{ fencing = "require", flap_moves = 100 }}
binding = [{{ name = "way", adapter = "cloud", {binding} }}]
"#
            );
            for (name, service) in members {
                let fence = match group {
                    "web" => r#"hook = "plug""#.to_owned(),
                    _ => format!(r#"adapter = "cloud", resource = "vm-{name}""#),
                };
                text += &format!(
                    r#"
[[group.appliance]]
name = "{name}"
address = "{}"
fence = {{ {fence} }}
probe = [{{ kind = "tcp", port = {}, interval = "200ms", timeout = "150ms", rise = 2, fall = 2 }}]
"#,
                    service.address().ip(),
                    service.address().port()
                );
            }
        }
        text
    }

    fn public_ip(&self) -> Result<String> {
        let found = self.cloud.public_ip("pip").context("the cloud has no pip")?;
        Ok(found.ip_configuration.unwrap_or_default())
    }

    fn power(&self, machine: &str) -> Result<MachinePower> {
        Ok(self.cloud.machine(machine).with_context(|| format!("the cloud has no {machine}"))?.power)
    }

    /// What the program was told, once per run.
    fn asked(&self) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(self.dir.path().join("asked"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}
