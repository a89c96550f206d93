//! A group on the fake ARM whose machines' metadata service announces what will happen to them: whole
//! coordinators and whole agents.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cloud_adapters::simulated::arm::cloud::Answer;
use cloud_adapters::simulated::arm::documents::scheduled_event;
use cloud_adapters::simulated::arm::faults::ArmFaults;
use cloud_adapters::simulated::arm::scene::Shape;
use cloud_adapters::simulated::faults::Spread;
use coordinator_api::v1::{GroupStatus, HistoryPage, OperationList, OperationView};
use coordinator_core::command::OperationKind;
use coordinator_core::time::WallTime;
use nix::sys::signal::Signal;
use serde_json::json;
use tests::azure::{AzureStage, PAIR};
use tests::cluster::Cluster;
use tests::wait::{self, is};

const AGENTS: [&str; 2] = ["fw-a", "fw-b"];

/// How far ahead events are announced.
const AHEAD: Duration = Duration::from_secs(15 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_leaves_ahead_of_what_its_cloud_announces_and_of_a_graceful_stop() -> Result<()> {
    let stage = AzureStage::new(Shape::SMALL).await?;
    let mut cluster = Cluster::on_loopback_with(&stage.declarations(), &AGENTS)?;
    let outcome = story(&mut cluster, &stage);
    cluster.explain(outcome)
}

fn story(cluster: &mut Cluster, stage: &AzureStage) -> Result<()> {
    stage.arm().set_faults(ArmFaults {
        seed: 7,
        latency: Spread::millis(1, 5),
        provisioning: Spread::millis(300, 400),
        tagging: Spread::millis(50, 100),
        ..ArmFaults::default()
    });
    for name in AGENTS {
        let watch = format!(
            "\n[notices.azure]\nurl = \"{}\"\npoll = \"100ms\"\nresource = \"vm-{name}\"\nacknowledge = true\n",
            stage.url()
        );
        cluster.configure_agent(name, |text| {
            text.replacen("[agent]\n", "[agent]\nshutdown_grace = \"60s\"\n", 1) + &watch
        })?;
    }
    cluster.start_coordinators()?;
    cluster.start_agents()?;
    cluster.at_rest(PAIR, "fw-a")?;
    cluster.group(PAIR, "hears both agents", |group| group.members.iter().all(|m| m.agent.is_some()))?;

    left_and_acknowledged(cluster, stage)?;
    no_target_while_under_notice(cluster, stage)?;
    not_heard_is_said_once(cluster, stage)?;
    a_graceful_stop_waits_for_the_last_route(cluster, stage)
}

/// An event for a machine, `in_secs` from now.
fn event(id: &str, kind: &str, appliance: &str, in_secs: u64, seconds: i64) -> Result<serde_json::Value> {
    let at = jiff::Timestamp::now() + Duration::from_secs(in_secs);
    let at = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at)?;
    Ok(scheduled_event(id, kind, &format!("vm-{appliance}"), &at, seconds))
}

fn newest(cluster: &Cluster) -> Result<OperationView> {
    let all: OperationList = cluster.cli_json(&["operations", "--group", PAIR])?;
    all.operations.into_iter().next().context("no operation")
}

/// How often something of this word happened.
fn happened(cluster: &Cluster, word: &str) -> Result<usize> {
    let page: HistoryPage = cluster.cli_json(&["history", "--group", PAIR, "--limit", "500"])?;
    Ok(page.events.iter().filter(|event| event.body.get(word).is_some()).count())
}

fn under_notice(group: &GroupStatus, appliance: &str) -> bool {
    group.members.iter().any(|m| m.name.as_str() == appliance && !m.notices.is_empty())
}

fn left_and_acknowledged(cluster: &Cluster, stage: &AzureStage) -> Result<()> {
    let announced = Instant::now();
    stage.arm().announce(event("reboot-a", "Reboot", "fw-a", AHEAD.as_secs(), 540)?);
    cluster.at_rest(PAIR, "fw-b")?;
    ensure!(announced.elapsed() < AHEAD, "the machine is gone by now");
    stage.check("fw-b")?;
    let moved = newest(cluster)?;
    ensure!(moved.kind == OperationKind::Switchover, "{moved:?}");
    let why = "the active fw-a is under notice of a reboot by Azure";
    ensure!(moved.because.iter().any(|because| because == why), "{moved:?}");
    let notice = |group: &GroupStatus| group.members.iter().flat_map(|m| &m.notices).next().cloned();
    let shown = notice(&cluster.group(PAIR, "shows the notice", |group| notice(group).is_some())?);
    let before = shown.and_then(|notice| notice.not_before).map(|at| at.0);
    ensure!(before.is_some_and(|at| at > WallTime(0)), "{before:?}");

    wait::until("the event is acknowledged", || {
        let status = stage.arm().event_status("reboot-a");
        Ok(is(status.as_deref() == Some("Started"), || format!("{status:?}")))
    })?;
    let calls = stage.arm().calls();
    let acknowledged = calls.iter().position(|call| call.call.starts_with("POST /metadata"));
    let last_write = calls.iter().rposition(|call| call.call.starts_with("PUT"));
    ensure!(acknowledged > last_write, "acknowledged before everything had moved: {calls:?}");
    Ok(())
}

fn no_target_while_under_notice(cluster: &Cluster, stage: &AzureStage) -> Result<()> {
    let asked = cluster.cli(&["switchover", PAIR, "--reason", "a drill", "--yes"])?;
    let refused = !asked.status.success() && asked.output().contains("fw-a is under notice of a reboot");
    ensure!(refused, "{}", asked.output());
    // Now the active is announced to go as well, for ever.
    stage.arm().announce(event("terminate-b", "Terminate", "fw-b", AHEAD.as_secs(), -1)?);
    let held = cluster.group(PAIR, "is held", |group| group.summary.hold.is_some())?;
    let why = "fw-b stays active in spite of the termination that is announced";
    ensure!(held.summary.hold.as_deref() == Some(why), "{held:?}");
    ensure!(held.summary.active.as_ref().is_some_and(|name| name.as_str() == "fw-b"), "{held:?}");
    // fw-a is back: there is somewhere to go.
    stage.arm().withdraw("reboot-a");
    cluster.at_rest(PAIR, "fw-a")?;
    stage.check("fw-a")?;
    stage.arm().withdraw("terminate-b");
    cluster
        .group(PAIR, "is under no notice", |group| AGENTS.iter().all(|name| !under_notice(group, name)))?;
    Ok(())
}

fn not_heard_is_said_once(cluster: &Cluster, stage: &AzureStage) -> Result<()> {
    let unheard =
        |group: &GroupStatus| group.members.iter().filter(|m| !m.notices_unknown.is_empty()).count();
    let before = newest(cluster)?.id;
    let rubbish = Answer { status: 200, headers: Vec::new(), body: json!([1, 2, 3]) };
    stage.arm().break_events(Some(rubbish));
    cluster.group(PAIR, "does not hear what is announced", |group| unheard(group) == 2)?;
    stage.arm().break_events(Some(Answer::error(500, "internal", "try again")));
    let asked = stage.arm().events_asked();
    wait::until("the agents have met the other fault, too", || {
        let so = stage.arm().events_asked() >= asked + 4;
        Ok(is(so, || format!("asked {} times since", stage.arm().events_asked() - asked)))
    })?;
    stage.arm().break_events(None);
    cluster.group(PAIR, "hears it again", |group| unheard(group) == 0)?;
    let (unknown, known) = (happened(cluster, "notices_unknown")?, happened(cluster, "notices_known")?);
    ensure!((unknown, known) == (2, 2), "{unknown} times not known, {known} times known again");
    ensure!(newest(cluster)?.id == before, "it moved for a notice that nobody gave");
    Ok(())
}

/// The agent of the active ends only when the public IP and the routes are elsewhere.
fn a_graceful_stop_waits_for_the_last_route(cluster: &mut Cluster, stage: &AzureStage) -> Result<()> {
    let mut agent = cluster.take_agent("fw-a")?;
    agent.signal(Signal::SIGTERM)?;
    let status = agent.ended()?;
    ensure!(status.success(), "it ended with {status}\n{}", agent.log_tail());
    stage.check("fw-b")?;
    let moved = newest(cluster)?;
    ensure!(moved.kind == OperationKind::Switchover && moved.ended.is_some(), "{moved:?}");
    let log = agent.log();
    ensure!(log.contains("the group has left this appliance"), "{}", agent.log_tail());
    // On the standby nothing waits, and the notice stands until the next life.
    cluster.group(PAIR, "knows of the end", |group| under_notice(group, "fw-a"))?;
    cluster.start_agent("fw-a")?;
    cluster.group(PAIR, "knows of the new life", |group| !under_notice(group, "fw-a"))?;
    Ok(())
}
