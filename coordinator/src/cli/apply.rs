//! `apply`: declares groups and pools from a file.

use std::path::PathBuf;

use clap::Args;
use coordinator_api::client::{Client, ClientError};
use coordinator_api::difference::{Difference, differences};
use coordinator_api::v1::{Changed, Code, Consistency};
use coordinator_core::model::GroupSpec;
use coordinator_core::pool::PoolSpec;
use serde::Serialize;
use serde_json::Value;

use super::ask::confirm;
use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::render;

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    // Not a doc comment: its brackets would be taken for links.
    #[arg(
        help = "A file with one [[group]] or [[pool]] or more. What is not in it stays as it is",
        short,
        long,
        value_name = "FILE"
    )]
    file: PathBuf,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(context: Context, args: ApplyArgs, output: &Output) -> Result<(), CliError> {
    let (mut groups, mut pools) = (Vec::new(), Vec::new());
    let declared = config::load_declarations(&args.file)?;
    for spec in declared.groups {
        let current = current(&context.client, &spec).await?;
        let changes = changes(current.as_ref(), &spec);
        output.say(&render::plan("group", &spec.name, current.is_some(), &changes, output.paint));
        if !changes.is_empty() {
            groups.push(spec);
        }
    }
    for spec in declared.pools {
        let current = current_pool(&context.client, &spec).await?;
        let changes = changes(current.as_ref(), &spec);
        output.say(&render::plan("pool", &spec.name, current.is_some(), &changes, output.paint));
        if !changes.is_empty() {
            pools.push(spec);
        }
    }
    if groups.is_empty() && pools.is_empty() || args.dry_run {
        return Ok(());
    }
    confirm("Apply?", args.yes)?;
    let mut all = Changed { events: Vec::new() };
    for spec in &groups {
        all.events.extend(context.client.put_group(spec).await?.events);
    }
    for spec in &pools {
        all.events.extend(context.client.put_pool(spec).await?.events);
    }
    output.show(&all, render::changed);
    Ok(())
}

async fn current(client: &Client, spec: &GroupSpec) -> Result<Option<GroupSpec>, ClientError> {
    match client.group(&spec.name, Consistency::Linearizable).await {
        Ok(status) => Ok(Some(status.spec)),
        Err(error) if error.code() == Some(&Code::UnknownGroup) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn current_pool(client: &Client, spec: &PoolSpec) -> Result<Option<PoolSpec>, ClientError> {
    match client.pool(&spec.name, Consistency::Linearizable).await {
        Ok(status) => Ok(Some(status.spec)),
        Err(error) if error.code() == Some(&Code::UnknownPool) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every value that differs, by its path. What does not exist yet differs in all.
pub(super) fn changes<T: Serialize>(current: Option<&T>, wanted: &T) -> Vec<Difference> {
    // Declarations are plain data with string keys: they always have a JSON form.
    let json = |spec: &T| serde_json::to_value(spec).unwrap_or_default();
    differences(&current.map_or(Value::Object(serde_json::Map::new()), json), &json(wanted))
}
