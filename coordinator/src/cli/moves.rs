//! `switchover` and `failback`.

use clap::Args;
use coordinator_api::client::Client;
use coordinator_api::v1::{Consistency, DryRun, FailbackRequest, GroupStatus, SwitchoverRequest};
use coordinator_core::ids::{ApplianceName, GroupName, OperationId};

use super::ask::confirm;
use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::{progress, render};

/// Arguments of `switchover`.
#[derive(Debug, Args)]
pub(super) struct SwitchoverArgs {
    /// The group.
    group: GroupName,
    /// The appliance to move to. Default: the best standby.
    #[arg(long, value_name = "APPLIANCE")]
    to: Option<ApplianceName>,
    /// Move even over failing checks. It is recorded as forced.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: MoveArgs,
}

/// Arguments of `failback`.
#[derive(Debug, Args)]
pub(super) struct FailbackArgs {
    /// The group.
    group: GroupName,
    #[command(flatten)]
    common: MoveArgs,
}

#[derive(Debug, Args)]
struct MoveArgs {
    /// Why: it is recorded.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", default_value = DRY_RUN)]
    reason: String,
    /// Only show what would be done, and what would refuse it. Nothing is changed.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Return as soon as the move has started.
    #[arg(long)]
    no_wait: bool,
}

/// The reason of a move that is not made.
const DRY_RUN: &str = "dry run";

/// A move that was started did not end well, or not in time; or would not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum MoveFailed {
    /// A newer operation took over.
    #[error("operation {0} was superseded by operation {1} before it was done")]
    Superseded(OperationId, OperationId),
    /// The checks say no.
    #[error("the move would be refused")]
    WouldBeRefused,
    /// It still runs.
    #[error("operation {0} still runs; `pointsman operations {0}` shows how far it is")]
    StillRunning(OperationId),
}

pub(super) async fn switchover(
    context: Context,
    args: SwitchoverArgs,
    output: &Output,
) -> Result<(), CliError> {
    if args.common.dry_run {
        let (to, reason) = (args.to, args.common.reason);
        let request = SwitchoverRequest { to, reason, force: args.force, dry_run: true };
        return tried(&context.client.try_switchover(&args.group, request).await?, output);
    }
    let status = context.client.group(&args.group, Consistency::Linearizable).await?;
    let to = args.to.as_ref().map_or_else(|| "the best standby".to_owned(), ToString::to_string);
    let how = if args.force { "FORCED, over failing checks: move" } else { "Move" };
    confirm(&question(how, &status, &to), args.common.yes)?;
    let request = SwitchoverRequest {
        to: args.to,
        reason: args.common.reason.clone(),
        force: args.force,
        dry_run: false,
    };
    let started = context.client.switchover(&args.group, &request).await?;
    follow(&context.client, &status, started.operation, &args.common, output).await
}

pub(super) async fn failback(context: Context, args: FailbackArgs, output: &Output) -> Result<(), CliError> {
    if args.common.dry_run {
        let request = FailbackRequest { reason: args.common.reason, dry_run: true };
        return tried(&context.client.try_failback(&args.group, request).await?, output);
    }
    let status = context.client.group(&args.group, Consistency::Linearizable).await?;
    let to = status.spec.appliances.first().map_or_else(String::new, |a| a.name.to_string());
    confirm(&question("Move", &status, &to), args.common.yes)?;
    let request = FailbackRequest { reason: args.common.reason.clone(), dry_run: false };
    let started = context.client.failback(&args.group, &request).await?;
    follow(&context.client, &status, started.operation, &args.common, output).await
}

/// Shows a dry run. One that would be refused is a failure, for scripts.
fn tried(dry: &DryRun, output: &Output) -> Result<(), CliError> {
    output.show(dry, render::dry_run);
    if dry.refused.is_empty() { Ok(()) } else { Err(MoveFailed::WouldBeRefused.into()) }
}

fn question(how: &str, status: &GroupStatus, to: &str) -> String {
    let bindings: Vec<_> = status.bindings.iter().map(|b| format!("{} {}", b.kind, b.name)).collect();
    let from = status.summary.active.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
    format!("{how} {} from {from} to {to} ({})?", status.summary.name, bindings.join(", "))
}

async fn follow(
    client: &Client,
    status: &GroupStatus,
    operation: OperationId,
    args: &MoveArgs,
    output: &Output,
) -> Result<(), CliError> {
    if args.no_wait {
        let accepted = coordinator_api::v1::Accepted { operation };
        output.show(&accepted, |accepted, _| format!("operation {} started", accepted.operation));
        return Ok(());
    }
    output.say(&format!("operation {operation} started; it goes on even if this command is interrupted"));
    progress::follow(client, operation, status.spec.policy.operation_timeout, output).await
}
