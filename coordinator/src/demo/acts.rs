//! The four acts: two failures, two operators.

use std::time::Duration;

use anyhow::{Context, bail};
use cloud_adapters::simulated::faults::{FaultPlan, Spread};
use coordinator_api::v1::{Code, SwitchoverRequest};
use coordinator_core::observe::Verdict;
use tokio::time::Instant;

use super::groups::GROUP;
use super::timeline::{Timeline, millis};
use super::wait::until;
use super::world::World;

/// How long anything in an act may take. Generous: a busy machine is no failure.
const LIMIT: Duration = Duration::from_secs(60);

/// All acts, in order.
pub(super) async fn all(world: &mut World, timeline: &mut Timeline) -> anyhow::Result<()> {
    active_is_killed(world, timeline).await?;
    leader_is_killed_mid_failover(world, timeline).await?;
    operator_switches_over(world, timeline).await?;
    operator_forces(world, timeline).await
}

async fn active_is_killed(world: &mut World, timeline: &mut Timeline) -> anyhow::Result<()> {
    timeline.act("Act 1. The active appliance is killed");
    let (dead, standby) = world.roles().await?;
    world.kill_appliance(dead).await?;
    timeline.note(format_args!("kill -9: {dead} (active) and its agent"));
    traffic_at(world, timeline, standby, timeline.began()).await?;
    at_rest(world, timeline).await?;
    heal(world, timeline, dead).await
}

async fn leader_is_killed_mid_failover(world: &mut World, timeline: &mut Timeline) -> anyhow::Result<()> {
    timeline.act("Act 2. The leader is killed in the middle of a failover");
    let (dead, standby) = world.roles().await?;
    // Slow enough that the move is still under way when the leader dies.
    world.cloud().set_faults(FaultPlan { latency: Spread::millis(250, 400), ..FaultPlan::default() });
    timeline.note("the cloud now takes 250 to 400 ms for each call");
    world.kill_appliance(dead).await?;
    timeline.note(format_args!("kill -9: {dead} (active) and its agent"));
    let writes = world.cloud().calls_arrived();
    let world_ref = &*world;
    until("an operation that has begun to write", LIMIT, async || {
        let running = world_ref.group().await.ok()?.summary.operation?;
        let calls = world_ref.cloud().calls();
        let begun = calls.iter().any(|c| c.number > writes && c.call.starts_with("PUT"));
        begun.then_some(running)
    })
    .await?;
    let leader = world.leader().await?;
    world.kill_coordinator(leader).await?;
    timeline.note(format_args!("kill -9: coordinator {leader}, the leader, with its calls under way"));
    traffic_at(world, timeline, standby, timeline.began()).await?;
    at_rest(world, timeline).await?;
    let successor = world.leader().await?;
    timeline.note(format_args!("coordinator {successor} leads and has finished the same operation"));
    world.cloud().set_faults(FaultPlan { latency: Spread::millis(20, 60), ..FaultPlan::default() });
    world.start_coordinator(leader).await?;
    timeline.note(format_args!("coordinator {leader} is back"));
    heal(world, timeline, dead).await
}

async fn operator_switches_over(world: &mut World, timeline: &mut Timeline) -> anyhow::Result<()> {
    timeline.act("Act 3. An operator switches over; both appliances are healthy");
    let (active, standby) = world.roles().await?;
    let request = SwitchoverRequest {
        to: None,
        reason: "planned maintenance".to_owned(),
        force: false,
        dry_run: false,
    };
    let accepted = world.api().switchover(&GROUP.parse()?, &request).await?;
    timeline.note(format_args!("operation {}: {active} to {standby}", accepted.operation));
    traffic_at(world, timeline, standby, timeline.began()).await?;
    at_rest(world, timeline).await
}

async fn operator_forces(world: &mut World, timeline: &mut Timeline) -> anyhow::Result<()> {
    timeline.act("Act 4. An operator forces a switchover to a standby that fails its checks");
    let (active, standby) = world.roles().await?;
    world.kill_agent(standby).await?;
    timeline.note(format_args!("kill -9: the agent of {standby}; its data plane still works"));
    verdict(world, standby, Verdict::Down).await?;
    let mut request = SwitchoverRequest {
        to: Some(standby.parse()?),
        reason: "drill".to_owned(),
        force: false,
        dry_run: false,
    };
    match world.api().switchover(&GROUP.parse()?, &request).await {
        Err(error) if error.code() == Some(&Code::Refused) => {
            let reasons = error.problem().map(|p| p.reasons.join("; ")).unwrap_or_default();
            timeline.note(format_args!("an ordinary switchover is refused: {reasons}"));
        }
        Err(error) => return Err(error).context("an ordinary switchover was not refused but failed"),
        Ok(_) => bail!("a switchover to a standby that is down was accepted"),
    }
    let began = Instant::now();
    request.force = true;
    let accepted = world.api().switchover(&GROUP.parse()?, &request).await?;
    timeline.note(format_args!("forced: operation {}, {active} to {standby}", accepted.operation));
    traffic_at(world, timeline, standby, began).await?;
    at_rest(world, timeline).await?;
    heal(world, timeline, standby).await
}

/// Waits until a connection that began after the act did is answered by `name`, and prints what
/// the act cost the client.
async fn traffic_at(world: &World, timeline: &Timeline, name: &str, began: Instant) -> anyhow::Result<()> {
    let what = format!("traffic at {name}");
    until(&what, LIMIT, async || world.meter().answered_by(began).filter(|by| &**by == name).map(drop))
        .await?;
    timeline.note(format_args!("traffic is restored at {name}"));
    let outage = world.meter().outage_since(began);
    timeline.figure(format_args!("measured outage: {}", millis(outage.longest)));
    world.record(outage.longest);
    Ok(())
}

/// Waits until no operation runs.
async fn at_rest(world: &World, timeline: &Timeline) -> anyhow::Result<()> {
    until("the operation's end", LIMIT, async || {
        let group = world.group().await.ok()?;
        (group.summary.operation.is_none()).then_some(())
    })
    .await?;
    timeline.note("every binding has moved and was read back");
    Ok(())
}

/// Brings a killed appliance back and waits until it is ready.
async fn heal(world: &mut World, timeline: &Timeline, name: &str) -> anyhow::Result<()> {
    world.start_appliance(name)?;
    verdict(world, name, Verdict::Up).await?;
    timeline.note(format_args!("{name} is back, and ready"));
    Ok(())
}

async fn verdict(world: &World, name: &str, wanted: Verdict) -> anyhow::Result<()> {
    let what = format!("{name} to be {wanted}");
    until(&what, LIMIT, async || {
        let group = world.group().await.ok()?;
        let member = group.members.iter().find(|m| m.name.as_str() == name)?;
        (member.verdict == wanted).then_some(())
    })
    .await
}
