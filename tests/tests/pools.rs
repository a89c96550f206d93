//! Whole coordinators with a pool between two load balancers of the fake ARM: sick members leave
//! on both sides, never the last one, and return; also when leaders die on the way.

use std::time::Duration;

use anyhow::{Result, ensure};
use cloud_adapters::simulated::arm::faults::{ArmFault, ArmFaults, Trigger};
use cloud_adapters::simulated::arm::scene::pool::MEMBERS;
use cloud_adapters::simulated::faults::Spread;
use coordinator_api::v1::{HistoryPage, PoolList};
use coordinator_core::pool::Side;
use tests::cluster::Cluster;
use tests::pools::{POOL, PoolStage, await_pool, standings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pools_sick_members_leave_and_return_also_when_a_leader_dies_on_the_way() -> Result<()> {
    let stage = PoolStage::new().await?;
    // Those that die together are seen to be dead together.
    let policy = r#"take_out_wait = "1s", return_after = "1s", flap_moves = 100"#;
    let mut cluster = Cluster::on_loopback(&stage.declarations(policy)?)?;
    let outcome = story(&mut cluster, stage).await;
    cluster.explain(outcome)
}

fn slow() -> ArmFaults {
    ArmFaults {
        latency: Spread::millis(1, 5),
        provisioning: Spread::millis(100, 200),
        tagging: Spread::millis(50, 100),
        ..ArmFaults::default()
    }
}

async fn story(cluster: &mut Cluster, mut stage: PoolStage) -> Result<()> {
    stage.arm().set_faults(slow());
    cluster.start_coordinators()?;
    // Everybody joins, which claims what is there and changes nothing.
    let joined = await_pool(cluster, "is all in", |status| standings(status) == ["in"; 3])?;
    ensure!(stage.accepted().len() == 5, "each NIC is claimed once: {:?}", stage.accepted());
    ensure!(joined.summary.serving == 3, "{joined:?}");

    one_dies_and_returns(cluster, &mut stage).await?;
    half_way_when_the_leader_dies(cluster, &mut stage).await?;
    all_die(cluster, &mut stage).await?;
    by_hand(cluster, &stage)?;
    stage.never_empty()?;

    let list: PoolList = cluster.cli_json(&["pools"])?;
    ensure!(list.pools.len() == 1 && list.pools[0].hold.is_none(), "{list:?}");
    let history: HistoryPage = cluster.cli_json(&["history", "--pool", POOL, "--limit", "500"])?;
    for sentence in
        ["is being taken out: px-a is down by", "the pool is held as it is: no member of the pool"]
    {
        let told = history.events.iter().any(|event| event.sentence.contains(sentence));
        ensure!(told, "{sentence}: {:?}", history.events);
    }
    Ok(())
}

async fn one_dies_and_returns(cluster: &Cluster, stage: &mut PoolStage) -> Result<()> {
    let before = stage.accepted().len();
    stage.member("px-a")?.stop();
    await_pool(cluster, "has px-a out", |status| standings(status) == ["out", "in", "in"])?;
    stage.await_behind(&["px-b", "px-c"])?;
    ensure!(stage.accepted().len() == before + 4, "two NICs, claimed and changed: {:?}", stage.accepted());
    stage.member("px-a")?.start().await?;
    await_pool(cluster, "is all in again", |status| standings(status) == ["in"; 3])?;
    stage.await_behind(&MEMBERS)
}

/// Both sides are written, the cloud is slow with one, and the leader dies: the next one goes on.
async fn half_way_when_the_leader_dies(cluster: &mut Cluster, stage: &mut PoolStage) -> Result<()> {
    let before = stage.accepted();
    let writes = stage.arm().calls().iter().filter(|call| call.call.starts_with("PUT ")).count() as u64;
    // Two claims, then the two sides.
    let slow_side = (Trigger::Write(writes + 4), ArmFault::SlowOperation(Duration::from_secs(8)));
    stage.arm().set_faults(ArmFaults { single: vec![slow_side], ..slow() });
    stage.member("px-b")?.stop();
    stage.await_accepted(before.len() + 4)?;
    let half = await_pool(cluster, "has px-b on its way out", |status| standings(status)[1] == "leaving")?;
    ensure!(standings(&half) == ["in", "leaving", "in"], "{half:?}");
    let leader = cluster.leader()?;
    cluster.kill_coordinator(leader)?;
    let out = await_pool(cluster, "has px-b out", |status| standings(status) == ["in", "out", "in"])?;
    stage.await_behind(&["px-a", "px-c"])?;
    ensure!(out.members[1].token == half.members[1].token, "one change, whoever leads: {out:?}");
    let written = stage.accepted().split_off(before.len());
    ensure!(written.len() == 4, "no leader does over what another one has done: {written:?}");

    stage.arm().set_faults(slow());
    stage.member("px-b")?.start().await?;
    cluster.start_coordinator(leader)?;
    await_pool(cluster, "is all in after the leader's death", |status| standings(status) == ["in"; 3])?;
    stage.await_behind(&MEMBERS)
}

async fn all_die(cluster: &Cluster, stage: &mut PoolStage) -> Result<()> {
    for member in MEMBERS {
        stage.member(member)?.stop();
    }
    let held = await_pool(cluster, "is held", |status| status.summary.hold.is_some())?;
    ensure!(standings(&held) == ["in"; 3], "nobody leaves: {held:?}");
    ensure!(stage.scene().behind(Side::Ingress).len() == 3, "nobody leaves");
    // The first to come back serves alone: the others leave, one after the other.
    stage.member("px-c")?.start().await?;
    await_pool(cluster, "has px-c alone", |status| standings(status) == ["out", "out", "in"])?;
    stage.await_behind(&["px-c"])?;
    for member in ["px-a", "px-b"] {
        stage.member(member)?.start().await?;
    }
    await_pool(cluster, "is all in after the outage", |status| standings(status) == ["in"; 3])?;
    stage.await_behind(&MEMBERS)
}

/// An operator takes out two, and is refused the third.
fn by_hand(cluster: &Cluster, stage: &PoolStage) -> Result<()> {
    let ask = |verb: &str, member: &str| cluster.cli(&["pool", verb, POOL, member, "--reason", "patch day"]);
    for member in ["px-a", "px-b"] {
        ensure!(ask("take-out", member)?.status.success(), "{member} may go");
    }
    await_pool(cluster, "has two out", |status| standings(status) == ["out", "out", "in"])?;
    stage.await_behind(&["px-c"])?;
    let refused = ask("take-out", "px-c")?;
    ensure!(!refused.status.success() && refused.output().contains("at least 1 must be"), "{refused:?}");
    for member in ["px-a", "px-b"] {
        ensure!(ask("put-in", member)?.status.success(), "{member} may return");
    }
    await_pool(cluster, "is all in by hand", |status| standings(status) == ["in"; 3])?;
    stage.await_behind(&MEMBERS)
}
