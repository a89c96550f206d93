//! `status`: the cluster, or one group.

use std::time::Duration;

use clap::Args;
use coordinator_api::client::{Client, ClientError};
use coordinator_api::v1::{Code, Consistency};
use coordinator_core::ids::GroupName;

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;

/// Between two looks with `--watch`.
const WATCH: Duration = Duration::from_secs(1);

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// One group in detail.
    group: Option<GroupName>,
    /// Look again every second, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Take what the first coordinator that answers has, without asking the leader.
    #[arg(long)]
    stale: bool,
}

pub(super) async fn run(context: Context, args: StatusArgs, output: &Output) -> Result<(), CliError> {
    let consistency = if args.stale { Consistency::Stale } else { Consistency::Linearizable };
    loop {
        let shown = show(&context.client, args.group.as_ref(), consistency, output, args.watch).await;
        if !args.watch {
            return shown;
        }
        // While watching, a cluster without a leader is worth watching.
        if let Err(error) = shown {
            output.error(&error);
        }
        tokio::time::sleep(WATCH).await;
    }
}

async fn show(
    client: &Client,
    group: Option<&GroupName>,
    consistency: Consistency,
    output: &Output,
    clear: bool,
) -> Result<(), CliError> {
    // To the top left, and erase what is below (ECMA-48): no flicker, and the scrollback stays.
    let clear = || {
        if clear && output.paint.is_on() {
            output.say("\u{1b}[H\u{1b}[J")
        }
    };
    match group {
        Some(group) => {
            let status = fresh_or_stale(consistency, |how| client.group(group, how)).await?;
            clear();
            output.show(&status, render::group);
        }
        None => {
            let status = fresh_or_stale(consistency, |how| client.status(how)).await?;
            clear();
            output.show(&status, render::cluster);
        }
    }
    Ok(())
}

/// What the leader says; without a leader, what the first coordinator that answers has.
async fn fresh_or_stale<T, F>(
    consistency: Consistency,
    ask: impl Fn(Consistency) -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    match ask(consistency).await {
        Err(error) if error.code() == Some(&Code::NoLeader) => ask(Consistency::Stale).await,
        answer => answer,
    }
}
