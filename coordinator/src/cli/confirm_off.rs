//! `confirm-off`.

use clap::Args;
use coordinator_api::v1::{ApplianceRole, ConfirmOffRequest, Consistency, GroupStatus};
use coordinator_core::ids::{ApplianceName, GroupName};

use super::ask::confirm_by_name;
use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;

/// Arguments of `confirm-off`.
#[derive(Debug, Args)]
pub(super) struct ConfirmOffArgs {
    /// The group.
    group: GroupName,
    /// The appliance that is off.
    appliance: ApplianceName,
    /// How you made sure: it is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(context: Context, args: ConfirmOffArgs, output: &Output) -> Result<(), CliError> {
    let status = context.client.group(&args.group, Consistency::Linearizable).await?;
    confirm_by_name(&question(&status, &args.appliance), args.appliance.as_str(), args.yes)?;
    // The token that the question was asked on: a move in between voids the answer.
    let request = ConfirmOffRequest { token: status.summary.token, reason: args.reason };
    let changed = context.client.confirm_off(&args.group, &args.appliance, &request).await?;
    output.show(&changed, render::changed);
    Ok(())
}

/// What rests on the answer.
fn question(status: &GroupStatus, appliance: &ApplianceName) -> String {
    let group = &status.summary.name;
    let waits = match status.members.iter().find(|member| member.name == *appliance) {
        Some(member) if member.role == ApplianceRole::Releasing => {
            format!("The move of group {group} goes on")
        }
        Some(member) if member.relies => format!("The declaration of group {group} may be changed"),
        _ => format!("Nothing in group {group} seems to wait for it; what does goes on"),
    };
    format!(
        "{waits} on your word alone. If {appliance} is not off, two appliances may carry the same address.\n\
         Have you made sure that {appliance} is off and stays off until it is known to be a standby?"
    )
}
