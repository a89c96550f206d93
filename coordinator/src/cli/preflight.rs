//! `preflight`.

use clap::Args;
use coordinator_api::v1::{CheckVerdict, PreflightRequest};
use coordinator_core::ids::GroupName;

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;

/// Arguments of `preflight`.
#[derive(Debug, Args)]
pub(super) struct PreflightArgs {
    /// One group. Default: all of them.
    group: Option<GroupName>,
    /// Show what passed as well.
    #[arg(long)]
    all: bool,
    /// Also write to the clouds: each resource as it is, so that nothing changes but its version.
    #[arg(long)]
    write_check: bool,
}

/// What was found would make a move fail.
#[derive(Debug, thiserror::Error)]
#[error("{0} of {1} checks failed")]
pub(super) struct PreflightFailed(usize, usize);

pub(super) async fn run(context: Context, args: PreflightArgs, output: &Output) -> Result<(), CliError> {
    let request = PreflightRequest { group: args.group, write_check: args.write_check };
    let done = context.client.preflight(&request).await?;
    output.show(&done, |done, paint| render::preflight(done, args.all, paint));
    let failed = done.items.iter().filter(|item| item.verdict == CheckVerdict::Fail).count();
    if failed > 0 { Err(PreflightFailed(failed, done.items.len()).into()) } else { Ok(()) }
}
