//! `switchover` and `failback`.

use clap::Args;
use coordinator_api::client::Client;
use coordinator_api::v1::{Consistency, FailbackRequest, GroupStatus, SwitchoverRequest};
use coordinator_core::ids::{ApplianceName, GroupName, OperationId};

use super::ask::confirm;
use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::progress;

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
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Return as soon as the move has started.
    #[arg(long)]
    no_wait: bool,
}

/// A move that was started did not end well, or not in time.
#[derive(Debug, thiserror::Error)]
pub(super) enum MoveFailed {
    /// A newer operation took over.
    #[error("operation {0} was superseded by operation {1} before it was done")]
    Superseded(OperationId, OperationId),
    /// It still runs.
    #[error("operation {0} still runs; `pointsman operations {0}` shows how far it is")]
    StillRunning(OperationId),
}

pub(super) async fn switchover(
    context: Context,
    args: SwitchoverArgs,
    output: &Output,
) -> Result<(), CliError> {
    let status = context.client.group(&args.group, Consistency::Linearizable).await?;
    let to = args.to.as_ref().map_or_else(|| "the best standby".to_owned(), ToString::to_string);
    let how = if args.force { "FORCED, over failing checks: move" } else { "Move" };
    confirm(&question(how, &status, &to), args.common.yes)?;
    let request = SwitchoverRequest { to: args.to, reason: args.common.reason.clone(), force: args.force };
    let started = context.client.switchover(&args.group, &request).await?;
    follow(&context.client, &status, started.operation, &args.common, output).await
}

pub(super) async fn failback(context: Context, args: FailbackArgs, output: &Output) -> Result<(), CliError> {
    let status = context.client.group(&args.group, Consistency::Linearizable).await?;
    let to = status.spec.appliances.first().map_or_else(String::new, |a| a.name.to_string());
    confirm(&question("Move", &status, &to), args.common.yes)?;
    let request = FailbackRequest { reason: args.common.reason.clone() };
    let started = context.client.failback(&args.group, &request).await?;
    follow(&context.client, &status, started.operation, &args.common, output).await
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
