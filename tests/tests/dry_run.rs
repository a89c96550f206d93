//! A dry run through whole coordinators over the fake ARM: it changes nothing, and the move that
//! follows writes exactly what it said.

use anyhow::{Context, Result, ensure};
use cloud_adapters::simulated::arm::scene::Shape;
use coordinator_api::v1::{DryRun, HistoryEvent};
use coordinator_core::observe::Verdict;
use tests::azure::{AzureStage, PAIR};
use tests::cluster::Cluster;

const FAILED: i32 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_changes_nothing_and_tells_every_write() -> Result<()> {
    let stage = AzureStage::new(Shape::SMALL).await?;
    let mut cluster = Cluster::on_loopback(&stage.declarations())?;
    let outcome = story(&mut cluster, stage).await;
    cluster.explain(outcome)
}

async fn story(cluster: &mut Cluster, mut stage: AzureStage) -> Result<()> {
    cluster.start_coordinators()?;
    cluster.at_rest(PAIR, "fw-a")?;
    cluster.group(PAIR, "sees both up", |status| status.members.iter().all(|m| m.verdict == Verdict::Up))?;
    let dry = tells_every_write(cluster, &stage).await?;
    moves_as_told(cluster, &stage, &dry)?;
    tells_what_refuses(cluster, &mut stage).await
}

/// Asked of a follower as well as of the leader.
async fn tells_every_write(cluster: &Cluster, stage: &AzureStage) -> Result<DryRun> {
    let (writes, before) = (stage.accepted(), history(cluster).await?);
    let dry: DryRun = cluster.cli_json(&["switchover", PAIR, "--dry-run"])?;
    for node in cluster.node_ids() {
        let asked = serde_json::json!({"reason": "x", "dry_run": true});
        let same: DryRun = cluster.api(node)?.post(&format!("/v1/groups/{PAIR}/switchover"), &asked).await?;
        ensure!(same.parts == dry.parts, "{same:#?}");
    }
    ensure!(stage.accepted() == writes, "a dry run writes nothing");
    stage.check("fw-a")?;
    ensure!(history(cluster).await? == before, "and records nothing");

    ensure!(dry.refused.is_empty() && dry.to.as_ref().is_some_and(|to| to.as_str() == "fw-b"), "{dry:#?}");
    ensure!(dry.parts.iter().all(|part| part.problems.is_empty()), "{dry:#?}");
    ensure!(dry.parts.len() == 4, "the public IP, and each table, by itself: {dry:#?}");
    let web = dry.parts.iter().find(|part| part.bindings[0].as_str() == "web-0").context("no public IP")?;
    let sizes: Vec<usize> = web.waves.iter().map(Vec::len).collect();
    ensure!(sizes == [2, 1, 1], "both NICs are claimed, then detach, then attach: {web:#?}");
    ensure!(web.waves[1][0].what.contains("detach") && web.waves[2][0].what.contains("attach"), "{web:#?}");
    let shared = dry.parts.iter().find(|part| part.bindings.len() == 2).context("no shared table")?;
    let write = &shared.waves[1][0];
    let hops: Vec<_> = write.changes.iter().map(|c| (c.from.as_deref(), c.to.as_deref())).collect();
    ensure!(hops == [(Some("10.0.0.4"), Some("10.0.0.5")); 2], "two routes, one write: {write:#?}");
    ensure!(write.changes[0].path == "properties.routes.default.properties.nextHopIpAddress", "{write:#?}");
    ensure!(dry.estimate.total.is_none(), "nothing has moved yet: {dry:#?}");

    let shown = cluster.cli(&["switchover", PAIR, "--dry-run"])?;
    for part in
        ["step 1, 2 writes at once", "10.0.0.4 → 10.0.0.5", "no recorded timings", "nothing was changed"]
    {
        ensure!(shown.code() == 0 && shown.stdout.contains(part), "{part:?} is not in {}", shown.output());
    }
    Ok(dry)
}

/// Each planned write is made, once, and no other.
fn moves_as_told(cluster: &Cluster, stage: &AzureStage, dry: &DryRun) -> Result<()> {
    let before = stage.accepted().len();
    let moved = cluster.cli(&["switchover", PAIR, "--reason", "test", "--yes"])?;
    ensure!(moved.code() == 0, "{}", moved.output());
    stage.check("fw-b")?;
    let name = |id: &str| id.rsplit('/').next().unwrap_or_default().to_lowercase();
    let mut made: Vec<String> = stage.accepted().split_off(before).iter().map(|id| name(id)).collect();
    let planned = dry.parts.iter().flat_map(|part| part.waves.iter().flatten());
    let mut planned: Vec<String> = planned.map(|write| name(&write.resource)).collect();
    made.sort();
    planned.sort();
    ensure!(made == planned, "planned {planned:?}, made {made:?}");

    let back: DryRun = cluster.cli_json(&["failback", PAIR, "--dry-run"])?;
    let total = back.estimate.total.context("the move just made is recorded")?;
    ensure!(total.samples == 1 && total.median_ms == total.worst_ms && total.worst_ms > 0, "{total:?}");
    Ok(())
}

async fn tells_what_refuses(cluster: &Cluster, stage: &mut AzureStage) -> Result<()> {
    stage.appliance("fw-a")?.stop();
    cluster
        .group(PAIR, "sees fw-a down", |status| status.members.iter().any(|m| m.verdict == Verdict::Down))?;
    for command in ["switchover", "failback"] {
        let refused = cluster.cli(&[command, PAIR, "--dry-run"])?;
        ensure!(
            refused.code() == FAILED && refused.stdout.contains("would be refused"),
            "{}",
            refused.output()
        );
        ensure!(refused.stdout.contains("fw-a is down"), "{}", refused.output());
    }
    let forced: DryRun = cluster.cli_json(&["switchover", PAIR, "--force", "--dry-run"])?;
    ensure!(forced.refused.is_empty() && forced.parts.len() == 4, "{forced:#?}");
    ensure!(forced.because.iter().any(|reason| reason.contains("fw-a is down")), "{:?}", forced.because);
    stage.check("fw-b")
}

async fn history(cluster: &Cluster) -> Result<Vec<HistoryEvent>> {
    cluster.api(cluster.leader()?)?.cluster_history().await
}
