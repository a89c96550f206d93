//! The command line: the daemon's and the operator's. One file per group of commands; what they
//! print is made in [`render`], from wire types alone.

mod apply;
mod ask;
mod cluster;
mod confirm_off;
mod context;
mod daemon;
mod error;
mod groups;
mod history;
mod init;
mod local;
mod moves;
mod operations;
mod output;
mod pools;
mod preflight;
mod progress;
mod render;
mod status;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use context::Context;
use error::CliError;
use output::{ColorChoice, Output, OutputFormat};

/// The commands by what they are for: clap has no groups of subcommands.
const COMMANDS: &str = "\
Look:
  status       The cluster, or one group in detail
  history      What happened, newest first
  operations   Moves, running and ended
  preflight    Would a move work? Checks that find out before it matters
  pools        Pools, or one in detail

Move:
  switchover   Move a group to a standby
  failback     Return a group to its preferred appliance

Steer:
  mode         Let a group move by itself, or only by an operator
  maintenance  Take an appliance out of the choice, or back in
  unfreeze     Allow automatic moves again after a freeze
  confirm-off  Say that you have made sure that an appliance is off
  pool         Take a member of a pool out, or put it in
  apply        Declare groups and pools from a file
  leader       Hand Raft leadership to another coordinator

Run:
  demo         A whole cluster on this machine: see it fail over
  init         Make a new cluster: authority, certificates, configurations
  serve        Run a coordinator
  config       Check a configuration file";

const TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}\nOptions:\n{options}{after-help}";

/// Moves public IPs, routes and virtual IPs from a failed appliance to its standby.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman",
    version,
    before_help = COMMANDS,
    help_template = TEMPLATE,
    after_help = "\n`pointsman COMMAND --help` says more. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.",
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// For every command that talks to a cluster.
#[derive(Debug, Args)]
struct Global {
    /// How to reach the cluster. Default: ./cli.toml, then ~/.config/pointsman/cli.toml.
    #[arg(long, global = true, env = "POINTSMAN_CONTEXT", value_name = "FILE")]
    context: Option<PathBuf>,
    /// For people or for programs.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: OutputFormat,
    /// Colours; `auto` means on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value_t)]
    color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The cluster, or one group in detail.
    Status(status::StatusArgs),
    /// What happened, newest first.
    History(history::HistoryArgs),
    /// Moves, running and ended, or one in detail.
    Operations(operations::OperationsArgs),
    /// Would a move work? Checks of the cluster, its groups and their clouds.
    Preflight(preflight::PreflightArgs),
    /// Pools, or one in detail.
    Pools(pools::PoolsArgs),
    /// Takes a member of a pool out of its load balancers, or puts it in.
    Pool(pools::PoolArgs),
    /// Moves a group to a standby.
    Switchover(moves::SwitchoverArgs),
    /// Returns a group to its preferred appliance.
    Failback(moves::FailbackArgs),
    /// Lets a group move by itself, or only by an operator.
    Mode(groups::ModeArgs),
    /// Takes an appliance out of the choice for moves, or back in.
    Maintenance(groups::MaintenanceArgs),
    /// Allows automatic moves again after a freeze.
    Unfreeze(groups::UnfreezeArgs),
    /// Says that you have made sure that an appliance is off, so that what waits for it goes on.
    ConfirmOff(confirm_off::ConfirmOffArgs),
    /// Declares groups and pools from a file, after showing what changes.
    Apply(apply::ApplyArgs),
    /// Raft leadership.
    Leader(cluster::LeaderArgs),
    /// A whole cluster on this machine: see it fail over, without root.
    Demo(daemon::DemoArgs),
    /// Makes a new cluster: authority, certificates, configurations, first token.
    Init(init::InitArgs),
    /// Runs a coordinator.
    Serve(daemon::ServeArgs),
    /// Configuration files.
    Config(local::ConfigArgs),
    /// Runs an agent, as `nva-agent` does.
    #[command(hide = true)]
    Agent(daemon::AgentArgs),
    /// The demo's appliance: answers each connection with its name.
    #[command(hide = true)]
    DemoAppliance(daemon::DemoApplianceArgs),
}

/// The entry point: parses the arguments, runs the command, says what went wrong.
pub(crate) fn main() -> ExitCode {
    coordinator_api::tls::install_provider();
    match Cli::try_parse() {
        Ok(cli) => {
            let output = Output::new(cli.global.output, cli.global.color);
            run(cli, &output).unwrap_or_else(|error| {
                output.error(&error);
                error.exit_code()
            })
        }
        Err(error) => {
            // Nowhere to complain to when even that cannot be printed.
            let _ = error.print();
            // Help and version are not errors.
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
    }
}

fn run(cli: Cli, output: &Output) -> Result<ExitCode, CliError> {
    let global = cli.global;
    match cli.command {
        Command::Demo(args) => done(daemon::demo(args)),
        Command::Init(args) => done(init::run(args, output)),
        Command::Serve(args) => done(daemon::serve(&args)),
        Command::Agent(args) => Ok(daemon::agent(&args)),
        Command::DemoAppliance(args) => done(daemon::demo_appliance(&args)),
        Command::Config(args) => done(local::config(&args, output)),
        Command::Status(args) => operate(&global, |c| status::run(c, args, output)),
        Command::History(args) => match args.offline(output) {
            Some(result) => done(result),
            None => operate(&global, |c| history::run(c, args, output)),
        },
        Command::Operations(args) => operate(&global, |c| operations::run(c, args, output)),
        Command::Preflight(args) => operate(&global, |c| preflight::run(c, args, output)),
        Command::Pools(args) => operate(&global, |c| pools::pools(c, args, output)),
        Command::Pool(args) => operate(&global, |c| pools::pool(c, args, output)),
        Command::Switchover(args) => operate(&global, |c| moves::switchover(c, args, output)),
        Command::Failback(args) => operate(&global, |c| moves::failback(c, args, output)),
        Command::Mode(args) => operate(&global, |c| groups::mode(c, args, output)),
        Command::Maintenance(args) => operate(&global, |c| groups::maintenance(c, args, output)),
        Command::Unfreeze(args) => operate(&global, |c| groups::unfreeze(c, args, output)),
        Command::ConfirmOff(args) => operate(&global, |c| confirm_off::run(c, args, output)),
        Command::Apply(args) => operate(&global, |c| apply::run(c, args, output)),
        Command::Leader(args) => operate(&global, |c| cluster::leader(c, args, output)),
    }
}

/// Runs a command that talks to a cluster.
fn operate<F: Future<Output = Result<(), CliError>>>(
    global: &Global,
    command: impl FnOnce(Context) -> F,
) -> Result<ExitCode, CliError> {
    let context = Context::find(global.context.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| CliError::io("could not start the runtime", source))?;
    done(runtime.block_on(command(context)))
}

fn done(result: Result<(), CliError>) -> Result<ExitCode, CliError> {
    result.map(|()| ExitCode::SUCCESS)
}
