//! `leader transfer`.

use clap::{Args, Subcommand};

use super::context::Context;
use super::error::CliError;
use super::output::Output;

/// Arguments of `leader`.
#[derive(Debug, Args)]
pub(super) struct LeaderArgs {
    #[command(subcommand)]
    command: LeaderCommand,
}

#[derive(Debug, Subcommand)]
enum LeaderCommand {
    /// Hands leadership to the follower that is closest behind, for instance before a reboot.
    Transfer,
}

pub(super) async fn leader(context: Context, args: LeaderArgs, output: &Output) -> Result<(), CliError> {
    let LeaderCommand::Transfer = args.command;
    let transferred = context.client.transfer_leadership().await?;
    output.show(&transferred, |to, paint| format!("coordinator {} leads now", paint.good(to.leader)));
    Ok(())
}
