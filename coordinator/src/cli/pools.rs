//! `pools` and `pool`.

use clap::{Args, Subcommand};
use coordinator_api::v1::{Consistency, MemberRequest};
use coordinator_core::ids::{ApplianceName, PoolName};

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;

/// Arguments of `pools`.
#[derive(Debug, Args)]
pub(super) struct PoolsArgs {
    /// One pool in detail.
    pool: Option<PoolName>,
}

/// Arguments of `pool`.
#[derive(Debug, Args)]
pub(super) struct PoolArgs {
    #[command(subcommand)]
    command: PoolCommand,
}

#[derive(Debug, Subcommand)]
enum PoolCommand {
    /// Takes a member out of the load balancers, on all sides, until it is put in again.
    TakeOut(MemberArgs),
    /// Puts a member into the load balancers, on all sides.
    PutIn(MemberArgs),
    /// Removes a pool: its members stay where they are.
    Remove {
        /// The pool.
        pool: PoolName,
    },
}

#[derive(Debug, Args)]
struct MemberArgs {
    /// The pool.
    pool: PoolName,
    /// The member.
    appliance: ApplianceName,
    /// Why: it is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn pools(context: Context, args: PoolsArgs, output: &Output) -> Result<(), CliError> {
    match args.pool {
        Some(pool) => {
            output.show(&context.client.pool(&pool, Consistency::Linearizable).await?, render::pool);
        }
        None => output.show(&context.client.pools(Consistency::Linearizable).await?, render::pools),
    }
    Ok(())
}

pub(super) async fn pool(context: Context, args: PoolArgs, output: &Output) -> Result<(), CliError> {
    let client = &context.client;
    let changed = match args.command {
        PoolCommand::TakeOut(MemberArgs { pool, appliance, reason }) => {
            client.take_out(&pool, &appliance, &MemberRequest { reason }).await?
        }
        PoolCommand::PutIn(MemberArgs { pool, appliance, reason }) => {
            client.put_in(&pool, &appliance, &MemberRequest { reason }).await?
        }
        PoolCommand::Remove { pool } => client.remove_pool(&pool).await?,
    };
    output.show(&changed, render::changed);
    Ok(())
}
