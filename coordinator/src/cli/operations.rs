//! `operations`.

use clap::{Args, ValueEnum};
use coordinator_api::v1::{Consistency, OperationFilter, OperationState};
use coordinator_core::ids::{GroupName, OperationId};

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;

/// Arguments of `operations`.
#[derive(Debug, Args)]
pub(super) struct OperationsArgs {
    /// One operation in detail, with every call that it made.
    id: Option<u64>,
    /// Only of this group.
    #[arg(long, conflicts_with = "id")]
    group: Option<GroupName>,
    /// Only running or only ended ones.
    #[arg(long, value_enum, conflicts_with = "id")]
    state: Option<StateArg>,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateArg {
    Running,
    Ended,
}

pub(super) async fn run(context: Context, args: OperationsArgs, output: &Output) -> Result<(), CliError> {
    if let Some(id) = args.id {
        let view = context.client.operation(OperationId(id), Consistency::Linearizable).await?;
        output.show(&view, render::operation);
        return Ok(());
    }
    let state = args.state.map(|state| match state {
        StateArg::Running => OperationState::Running,
        StateArg::Ended => OperationState::Ended,
    });
    let filter = OperationFilter {
        group: args.group,
        state,
        limit: args.limit,
        consistency: Consistency::Linearizable,
    };
    output.show(&context.client.operations(&filter).await?, render::operations);
    Ok(())
}
