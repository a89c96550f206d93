//! Whole coordinators over the fake ARM: a failover as an operator would see it, and leaders that
//! are killed in the middle of one.

use anyhow::{Context, Result, ensure};
use cloud_adapters::simulated::arm::cloud::Style;
use cloud_adapters::simulated::arm::faults::ArmFaults;
use cloud_adapters::simulated::arm::scene::Shape;
use cloud_adapters::simulated::faults::Spread;
use coordinator_api::v1::{OperationList, OperationView};
use coordinator_core::command::OperationKind;
use coordinator_core::observe::Verdict;
use tests::azure::{AzureStage, PAIR};
use tests::cluster::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_on_azure_fails_over_also_when_leaders_die_on_the_way() -> Result<()> {
    let stage = AzureStage::new(Shape::SMALL).await?;
    let mut cluster = Cluster::on_loopback(&stage.declarations())?;
    let outcome = story(&mut cluster, stage).await;
    cluster.explain(outcome)
}

async fn story(cluster: &mut Cluster, mut stage: AzureStage) -> Result<()> {
    stage.arm().set_faults(ArmFaults {
        seed: 7,
        latency: Spread::millis(1, 5),
        provisioning: Spread::millis(4_000, 4_000),
        style: Some(Style::Created),
        tagging: Spread::millis(200, 300),
        ..ArmFaults::default()
    });
    cluster.start_coordinators()?;
    // The first activation finds everything where it is to be, and only claims it.
    cluster.at_rest(PAIR, "fw-a")?;
    stage.check("fw-a")?;
    ensure!(stage.accepted().len() == Shape::SMALL.resources(), "{:?}", stage.accepted());

    // Nobody but the active dies.
    fail_over(cluster, &mut stage, ["fw-a", "fw-b"], None).await?;
    // Then the leader as well: while it claims, with the public IP on neither NIC, and after the
    // last write.
    let claims = Shape::SMALL.resources();
    fail_over(cluster, &mut stage, ["fw-b", "fw-a"], Some(1)).await?;
    fail_over(cluster, &mut stage, ["fw-a", "fw-b"], Some(claims + 4)).await?;
    fail_over(cluster, &mut stage, ["fw-b", "fw-a"], Some(claims + 5)).await?;
    Ok(())
}

/// The active dies, and with it the leader, if so wanted, once so many writes of the move are
/// accepted. Everything is then moved, once.
async fn fail_over(
    cluster: &mut Cluster,
    stage: &mut AzureStage,
    [from, to]: [&str; 2],
    kill_after: Option<usize>,
) -> Result<()> {
    let before = stage.accepted().len();
    let earlier: OperationList = cluster.cli_json(&["operations", "--group", PAIR])?;
    let leader = cluster.leader()?;
    stage.appliance(from)?.stop();
    let mut dead = None;
    if let Some(writes) = kill_after {
        stage.await_accepted(before + writes)?;
        cluster.kill_coordinator(leader)?;
        dead = Some(leader);
    }
    let killed_at = stage.arm().calls_arrived();
    let group = cluster.at_rest(PAIR, to)?;
    if kill_after.is_some_and(|writes| writes > Shape::SMALL.resources()) {
        // Azure was at work: the next leader goes on asking about that very operation.
        let calls = stage.arm().calls().into_iter().filter(|call| call.number > killed_at);
        let mut before_writing = calls.take_while(|call| !call.call.starts_with("PUT"));
        ensure!(before_writing.any(|call| call.call.starts_with("GET operations/")), "it did not ask");
    }
    stage.check(to)?;
    let writes = stage.accepted().split_off(before);
    for resource in &writes {
        // A claim and a change: no leader does over what another one has done.
        let times = writes.iter().filter(|other| *other == resource).count();
        ensure!(times == 2, "{resource} was written {times} times: {writes:?}");
    }
    ensure!(writes.len() == 2 * Shape::SMALL.resources(), "{writes:?}");

    let all: OperationList = cluster.cli_json(&["operations", "--group", PAIR])?;
    ensure!(all.operations.len() == earlier.operations.len() + 1, "one move, whoever leads: {all:?}");
    let id = group.summary.token.to_string();
    let moved: OperationView = cluster.cli_json(&["operations", &id])?;
    ensure!(
        moved.kind == OperationKind::Failover && moved.steps.iter().all(|s| s.done.is_some()),
        "{moved:?}"
    );

    stage.appliance(from)?.start().await?;
    cluster.group(PAIR, &format!("sees {from} alive"), |status| {
        status.members.iter().all(|m| m.verdict == Verdict::Up)
    })?;
    if let Some(dead) = dead {
        cluster.start_coordinator(dead).context("could not start the dead leader again")?;
    }
    Ok(())
}
