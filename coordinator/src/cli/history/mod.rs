//! `history`.

mod export;
mod file;

use clap::{Args, Subcommand, ValueEnum};
use coordinator_api::v1::{Consistency, Cursor, HistoryFilter, Timestamp};
use coordinator_core::event::Level;
use coordinator_core::ids::{ApplianceName, GroupName, PoolName};
use coordinator_core::time::WallTime;

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;
pub(super) use file::FileError;

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct HistoryArgs {
    #[command(subcommand)]
    command: Option<HistoryCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// Writes the history to a file, oldest first.
    Export(export::ExportArgs),
    /// Checks that nothing was changed, removed, inserted or reordered.
    Verify(export::VerifyArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only of this group.
    #[arg(long)]
    group: Option<GroupName>,
    /// Only of this pool.
    #[arg(long, conflicts_with = "group")]
    pool: Option<PoolName>,
    /// Only of this appliance.
    #[arg(long)]
    appliance: Option<ApplianceName>,
    /// Only of this operation.
    #[arg(long, value_name = "ID")]
    operation: Option<u64>,
    /// This level or a more serious one.
    #[arg(long, value_enum)]
    level: Option<LevelArg>,
    /// Not earlier: a time such as 2026-03-01T12:00:00Z, or how long ago, such as 15m.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not later.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Older than this record: the place that the page before ends with.
    #[arg(long, value_name = "PLACE")]
    before: Option<Cursor>,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelArg {
    Info,
    Warning,
    Alert,
}

impl HistoryArgs {
    /// Does what needs no cluster, if that was asked for.
    pub(super) fn offline(&self, output: &Output) -> Option<Result<(), CliError>> {
        match &self.command {
            Some(HistoryCommand::Verify(args)) => {
                args.file.as_deref().map(|file| export::verify_file(file, args, output))
            }
            _ => None,
        }
    }
}

pub(super) async fn run(context: Context, args: HistoryArgs, output: &Output) -> Result<(), CliError> {
    match args.command {
        Some(HistoryCommand::Export(args)) => export::export(context, args, output).await,
        Some(HistoryCommand::Verify(args)) => export::verify(context, args, output).await,
        None => list(context, args.list, output).await,
    }
}

async fn list(context: Context, args: ListArgs, output: &Output) -> Result<(), CliError> {
    let now = crate::control_loop::wall_now();
    let time =
        |option: &str, text: Option<String>| text.map(|text| point_in_time(option, &text, now)).transpose();
    let filter = HistoryFilter {
        group: args.group,
        pool: args.pool,
        appliance: args.appliance,
        operation: args.operation,
        level: args.level.map(|level| match level {
            LevelArg::Info => Level::Info,
            LevelArg::Warning => Level::Warning,
            LevelArg::Alert => Level::Alert,
        }),
        since: time("--since", args.since)?,
        until: time("--until", args.until)?,
        before: args.before,
        limit: args.limit,
        consistency: Consistency::Linearizable,
    };
    output.show(&context.client.history(&filter).await?, render::history);
    Ok(())
}

/// A time, or how long before `now`.
pub(super) fn point_in_time(option: &str, text: &str, now: WallTime) -> Result<Timestamp, CliError> {
    if let Some(ago) = config::duration::parse(text) {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(Timestamp(WallTime(now.0.saturating_sub(ago))));
    }
    text.parse()
        .map_err(|error| CliError::Usage(format!("{option}: {error}, or how long ago, for instance 15m")))
}
