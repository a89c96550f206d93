//! Processes that stay: `serve`, `demo`, and the hidden ones that the demo starts.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use nix::sys::signal::{Signal, raise};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use crate::demo::appliance;
use crate::demo::process::end_with_stdin;
use crate::demo::{self, DemoOptions};
use crate::telemetry::{self, LogFormat};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The coordinator's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The form of the log on standard error. POINTSMAN_LOG sets the level, for instance `debug`.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(flatten)]
    child: Child,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End after the last act instead of staying up.
    #[arg(long)]
    exit: bool,
    /// Keep everything here, instead of in a directory that is removed at the end.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Arguments of `agent`.
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// The agent's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    child: Child,
}

/// Arguments of `demo-appliance`.
#[derive(Debug, Args)]
pub(super) struct DemoApplianceArgs {
    /// What it answers.
    #[arg(long)]
    name: String,
    /// Where it answers.
    #[arg(long)]
    listen: SocketAddr,
    #[command(flatten)]
    child: Child,
}

/// For processes that the demo or a test starts and that must not outlive it.
#[derive(Debug, Clone, Copy, Args)]
struct Child {
    /// End when standard input is closed.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

impl Child {
    /// Resolves when the process has to end because its parent has.
    async fn orphaned(self) {
        if self.end_with_stdin {
            end_with_stdin().await;
        } else {
            std::future::pending().await
        }
    }
}

/// Runs a coordinator until SIGTERM or SIGINT.
pub(super) fn serve(args: &ServeArgs) -> Result<(), CliError> {
    let config = config::load_coordinator(&args.config)?;
    telemetry::init(args.log_format);
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let signalled = signalled()?;
        let child = args.child;
        let shutdown = async move {
            tokio::select! {
                () = signalled => {}
                () = child.orphaned() => {}
            }
        };
        Box::pin(crate::node::run(config, shutdown)).await.map_err(CliError::from)
    });
    // The thread that reads standard input cannot be interrupted: do not wait for it.
    runtime.shutdown_background();
    result
}

fn signalled() -> Result<impl Future<Output = ()>, CliError> {
    let listen = |kind| signal(kind).map_err(|source| CliError::io("could not listen for signals", source));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Runs the demo.
pub(super) fn demo(args: DemoArgs) -> Result<(), CliError> {
    let options = DemoOptions { exit: args.exit, directory: args.directory };
    runtime()?.block_on(Box::pin(demo::run(options))).map_err(CliError::Demo)
}

/// Runs an agent in this process.
pub(super) fn agent(args: &AgentArgs) -> ExitCode {
    if args.child.end_with_stdin {
        std::thread::spawn(|| {
            // However it ends, nobody is there any more.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            // A signal is what the agent stops at in good order. Raising one of our own cannot fail.
            let _ = raise(Signal::SIGTERM);
        });
    }
    nva_agent::run_from_config(&args.config)
}

/// Runs the demo's appliance.
pub(super) fn demo_appliance(args: &DemoApplianceArgs) -> Result<(), CliError> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        tokio::select! {
            served = appliance::serve(&args.name, args.listen) => served,
            () = args.child.orphaned() => Ok(()),
        }
    });
    runtime.shutdown_background();
    result.map_err(|source| {
        CliError::io(format!("the appliance {} cannot serve on {}", args.name, args.listen), source)
    })
}

fn runtime() -> Result<Runtime, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|source| CliError::io("could not start the runtime", source))
}
