//! `apply`: declares groups from a file.

use std::path::PathBuf;

use clap::Args;
use coordinator_api::client::{Client, ClientError};
use coordinator_api::v1::{Changed, Code, Consistency};
use coordinator_core::model::GroupSpec;
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
        help = "A file with one [[group]] or more. Groups that are not in it stay as they are",
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
    let mut changing = Vec::new();
    for spec in config::load_groups(&args.file)? {
        let current = current(&context.client, &spec).await?;
        let changes = differences(current.as_ref(), &spec);
        output.say(&render::plan(&spec.name, current.is_some(), &changes, output.paint));
        if !changes.is_empty() {
            changing.push(spec);
        }
    }
    if changing.is_empty() || args.dry_run {
        return Ok(());
    }
    confirm("Apply?", args.yes)?;
    let mut all = Changed { events: Vec::new() };
    for spec in &changing {
        all.events.extend(context.client.put_group(spec).await?.events);
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

/// One difference: where, before, after. `None` means that it is not there.
pub(super) type Difference = (String, Option<String>, Option<String>);

/// Every value that differs, by its path. A group that does not exist yet differs in all.
pub(super) fn differences(current: Option<&GroupSpec>, wanted: &GroupSpec) -> Vec<Difference> {
    // Declarations are plain data with string keys: they always have a JSON form.
    let json = |spec: &GroupSpec| serde_json::to_value(spec).unwrap_or_default();
    let mut found = Vec::new();
    compare(&current.map_or(Value::Object(serde_json::Map::new()), json), &json(wanted), "", &mut found);
    found
}

fn compare(before: &Value, after: &Value, path: &str, found: &mut Vec<Difference>) {
    match (children(before), children(after)) {
        _ if before == after => {}
        (Some(before), Some(after)) => {
            order(&before, &after, path, found);
            let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, value) in &before {
                let other = after.iter().find(|(k, _)| k == key).map_or(&Value::Null, |(_, v)| v);
                compare(value, other, &join(key), found);
            }
            for (key, value) in after.iter().filter(|(key, _)| !before.iter().any(|(k, _)| k == key)) {
                compare(&Value::Null, value, &join(key), found);
            }
        }
        // All of a new or removed value, leaf by leaf.
        (Some(_), None) => compare(before, &Value::Object(serde_json::Map::new()), path, found),
        (None, Some(_)) => compare(&Value::Object(serde_json::Map::new()), after, path, found),
        (None, None) => found.push((path.to_owned(), shown(before), shown(after))),
    }
}

/// Reports the same keys in another order: the first appliance of a list is the preferred one.
fn order(before: &[(String, &Value)], after: &[(String, &Value)], path: &str, found: &mut Vec<Difference>) {
    let common = |of: &[(String, &Value)], other: &[(String, &Value)]| {
        let keys = of.iter().map(|(key, _)| key.as_str()).filter(|key| other.iter().any(|(k, _)| k == key));
        keys.collect::<Vec<_>>().join(", ")
    };
    let (was, is) = (common(before, after), common(after, before));
    if was != is {
        found.push((format!("order of {path}"), Some(was), Some(is)));
    }
}

/// The values in a value, each with its key: in lists of named things the name, so that a
/// declaration that moves up is not shown as all different.
fn children(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Object(fields) => Some(fields.iter().map(|(key, value)| (key.clone(), value)).collect()),
        Value::Array(items) => {
            Some(items.iter().enumerate().map(|(i, item)| (name_of(i, item), item)).collect())
        }
        _ => None,
    }
}

fn name_of(index: usize, item: &Value) -> String {
    item.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned)
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
