//! `pointsman demo`: the product at work on one machine, without root.
//!
//! Real: three coordinators, two agents and two appliances as processes of their own, with mutual
//! TLS and storage on disk; a client that connects through the public IP all the time. Simulated:
//! the cloud, with its delays, its refusals, and a data plane that really forwards.

mod acts;
pub mod appliance;
mod client;
mod cluster;
mod groups;
pub mod process;
mod story;
mod timeline;
mod wait;
mod world;

use std::path::PathBuf;

use anyhow::Context;

use timeline::Timeline;
use world::World;

/// What `pointsman demo` is told.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// End after the last act instead of staying up.
    pub exit: bool,
    /// Keep everything here instead of a temporary directory, which is removed at the end.
    pub directory: Option<PathBuf>,
}

/// Runs the demo until it is done or interrupted. Every process it started has ended when it
/// returns.
///
/// # Errors
/// What went wrong, in words, with the end of the log of the process concerned.
pub async fn run(options: DemoOptions) -> anyhow::Result<()> {
    let mut timeline = Timeline::start();
    let mut world = tokio::select! {
        world = World::build(options.directory, &timeline) => world.context("the demo could not be set up")?,
        () = interrupted() => return Ok(()),
    };
    let played = tokio::select! {
        played = play(&mut world, &mut timeline, options.exit) => played,
        () = interrupted() => Ok(()),
    };
    timeline.say("\nStopping every process …");
    let stopped = world.tear_down().await;
    played.and(stopped)
}

async fn play(world: &mut World, timeline: &mut Timeline, exit: bool) -> anyhow::Result<()> {
    acts::all(world, timeline).await?;
    story::tell(world, timeline).await?;
    if !exit {
        timeline.say(world.what_to_try());
        world.stay().await?;
    }
    Ok(())
}

/// Interrupt or terminate.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the default action ends the process, and its children end with their
        // standard input.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
