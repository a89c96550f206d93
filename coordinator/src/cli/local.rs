//! `config check`: no cluster needed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::CliError;
use super::output::Output;

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Checks a file of any kind and reports every fault at once.
    Check {
        /// A coordinator's, an agent's, the command line's, or groups alone.
        file: PathBuf,
    },
}

#[derive(Serialize)]
struct Checked {
    file: PathBuf,
    summary: String,
}

pub(super) fn config(args: &ConfigArgs, output: &Output) -> Result<(), CliError> {
    let ConfigCommand::Check { file } = &args.command;
    let summary = config::check(file)?.to_string();
    let checked = Checked { file: file.clone(), summary };
    output.show(&checked, |checked, paint| {
        format!("{}: {} ({})", checked.file.display(), paint.good("no faults"), checked.summary)
    });
    Ok(())
}
