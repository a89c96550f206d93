//! The coordinator daemon and the operator's command line.

pub mod control_loop;
pub mod http;
pub mod init;
pub mod node;
pub mod peers;
pub mod raft;

/// The entry point of the `pointsman` binary.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
