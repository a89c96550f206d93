//! The coordinator daemon and the operator's command line.

mod adapters;
mod cli;
pub mod control_loop;
pub mod demo;
pub mod dry_run;
pub mod http;
pub mod init;
pub mod node;
pub mod peers;
pub mod preflight;
pub mod raft;
pub mod telemetry;

/// The entry point of the `pointsman` binary.
pub fn main() -> std::process::ExitCode {
    cli::main()
}
