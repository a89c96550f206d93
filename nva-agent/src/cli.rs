//! The command line, and the way from a configuration file to a running agent.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use config::AgentConfig;
use coordinator_api::tls::{
    ClientOptions, Identity, PeerIdentity, TlsError, TlsFiles, TlsMaterial, install_provider, node_url,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::farewell::Stop;
use crate::health::HealthOptions;
use crate::peer::PeerOptions;
use crate::service::{Agent, Coordinator, Error, LONGEST_INTERVAL, Options, SHORTEST_INTERVAL};
use crate::vip::AllowedInterfaces;

/// Usage or configuration: nothing was tried, and trying again changes nothing.
const EXIT_CONFIG: u8 = 2;

/// Reports to the coordinators, and holds the group's virtual addresses while it has the lease.
#[derive(Debug, Parser)]
#[command(name = "nva-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs until SIGTERM or SIGINT, has the group leave this appliance first, releases everything
    /// and says so. A second signal does not wait.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = "/etc/pointsman/nva-agent.toml")]
        config: PathBuf,
    },
}

/// The `nva-agent` binary. Exit codes: 0 stopped as asked, 1 failed, 2 usage or configuration.
pub fn main() -> ExitCode {
    let Command::Run { config } = Arguments::parse().command;
    run_from_config(&config)
}

/// Runs an agent from its configuration file until SIGTERM or SIGINT: what `nva-agent run` does,
/// for binaries that contain the agent. Logs to standard error, as `POINTSMAN_LOG` says (default
/// `info`), unless the caller has set up logging. Exit codes as those of [`main`].
///
/// # Panics
/// Within a Tokio runtime: it makes its own.
pub fn run_from_config(path: &Path) -> ExitCode {
    install_provider();
    set_up_logging();
    let config = match config::load_agent(path) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let options = match options(&config) {
        Ok(options) => options,
        Err(error) => {
            tell(&error);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

/// The options of an agent with this configuration; reads its TLS files.
///
/// # Errors
/// [`TlsError`], which names the file and the fault.
pub fn options(config: &AgentConfig) -> Result<Options, TlsError> {
    let files = TlsFiles {
        ca: config.tls.ca.clone(),
        certificate: config.tls.certificate.clone(),
        key: config.tls.key.clone(),
    };
    let tls = TlsMaterial::load(&files)?;
    let cluster_id = config.cluster_id.as_str();
    tls.require(&Identity {
        cluster_id: cluster_id.to_owned(),
        peer: PeerIdentity::Agent(config.appliance.clone()),
    })?;
    let coordinators = config
        .coordinators
        .iter()
        .map(|(&node, address)| Coordinator { node, base_url: node_url(cluster_id, node, address.port()) });
    Ok(Options {
        cluster: cluster_id.to_owned(),
        appliance: config.appliance.clone(),
        coordinators: coordinators.collect(),
        client: tls.peer_client(&config.coordinators, ClientOptions::default())?,
        state_dir: config.state_dir.clone(),
        interfaces: AllowedInterfaces::Only(config.interfaces.clone()),
        report_interval: config.report_interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
        health: config.health.map(|listen| HealthOptions { listen, tls: tls.server_config() }),
        peers: Some(PeerOptions {
            listen: config.peer_listen.clone(),
            tls,
            coordinators: config.coordinators.clone(),
        }),
        shutdown_grace: config.shutdown_grace,
        notices: config.notices.clone(),
    })
}

fn run(options: Options) -> Result<(), Error> {
    let agent = Agent::new(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Error::Runtime)?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(Stop::No);
        let mut term = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
        let mut int = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
        let signals = async move {
            for how in [Stop::Gracefully, Stop::Now] {
                let signal = tokio::select! {
                    _ = term.recv() => "SIGTERM",
                    _ = int.recv() => "SIGINT",
                };
                info!(signal, "asked to stop");
                stop.send_replace(how);
            }
            // The sender lives on: its end would also ask to stop.
            std::future::pending::<()>().await;
        };
        if let Some(address) = agent.handle().health_address() {
            info!(%address, "the health endpoint listens");
        }
        tokio::select! {
            () = signals => Ok(()),
            result = agent.run(stopped) => result,
        }
    })
}

fn set_up_logging() {
    let filter = EnvFilter::try_from_env("POINTSMAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    let subscriber = subscriber.with_writer(std::io::stderr);
    // An error means that the caller has its own.
    let _ = subscriber.try_init();
}

/// An error and its causes, on one line.
fn tell(error: &dyn std::error::Error) {
    let mut text = format!("nva-agent: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
