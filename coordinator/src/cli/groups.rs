//! `mode`, `maintenance`, `unfreeze`.

use clap::{Args, ValueEnum};
use coordinator_api::v1::{MaintenanceRequest, ModeRequest, UnfreezeRequest};
use coordinator_core::ids::{ApplianceName, GroupName};
use coordinator_core::model::Trigger;

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;

/// Arguments of `mode`.
#[derive(Debug, Args)]
pub(super) struct ModeArgs {
    /// The group.
    group: GroupName,
    /// Who may move it.
    #[arg(value_enum)]
    mode: Mode,
    /// Why: it is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// It moves by itself, as its policy says.
    Automatic,
    /// Only an operator moves it.
    Manual,
}

/// Arguments of `maintenance`.
#[derive(Debug, Args)]
pub(super) struct MaintenanceArgs {
    /// The group.
    group: GroupName,
    /// The appliance.
    appliance: ApplianceName,
    /// Into maintenance, or out of it.
    #[arg(value_enum)]
    switch: Switch,
    /// Why: it is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Arguments of `unfreeze`.
#[derive(Debug, Args)]
pub(super) struct UnfreezeArgs {
    /// The group.
    group: GroupName,
    /// Why: it is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn mode(context: Context, args: ModeArgs, output: &Output) -> Result<(), CliError> {
    let mode = match args.mode {
        Mode::Automatic => Trigger::Automatic,
        Mode::Manual => Trigger::Manual,
    };
    let changed = context.client.set_mode(&args.group, &ModeRequest { mode, reason: args.reason }).await?;
    output.show(&changed, render::changed);
    Ok(())
}

pub(super) async fn maintenance(
    context: Context,
    args: MaintenanceArgs,
    output: &Output,
) -> Result<(), CliError> {
    let request = MaintenanceRequest { enabled: args.switch == Switch::On, reason: args.reason };
    let changed = context.client.set_maintenance(&args.group, &args.appliance, &request).await?;
    output.show(&changed, render::changed);
    Ok(())
}

pub(super) async fn unfreeze(context: Context, args: UnfreezeArgs, output: &Output) -> Result<(), CliError> {
    let request = UnfreezeRequest { reason: args.reason };
    let changed = context.client.unfreeze(&args.group, &request).await?;
    output.show(&changed, render::changed);
    Ok(())
}
