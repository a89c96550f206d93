//! What went wrong, for the operator: what, why, what to do.

use std::io;
use std::process::ExitCode;

use config::ConfigFaults;
use coordinator_api::client::ClientError;
use coordinator_api::v1::Code;
use coordinator_core::chain::Digest;

use super::history::FileError;
use super::moves::MoveFailed;
use super::preflight::PreflightFailed;
use crate::init::InitError;
use crate::node::NodeError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The arguments make no sense together, or here.
    #[error("{0}")]
    Usage(String),
    /// A file is faulty, missing or not readable.
    #[error("{0}")]
    Config(#[from] ConfigFaults),
    /// The cluster refused, or is not there.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// A move did not end well, or not in time.
    #[error("{0}")]
    Move(#[from] MoveFailed),
    /// A check failed.
    #[error("{0}")]
    Preflight(#[from] PreflightFailed),
    /// The coordinator did not start, or stopped by itself.
    #[error("{0}")]
    Node(#[from] NodeError),
    /// No cluster was made.
    #[error("{0}")]
    Init(#[from] InitError),
    /// The demo went wrong.
    #[error("{0}")]
    Demo(anyhow::Error),
    /// A history, or a file that should hold one, is not what was recorded.
    #[error("{what}")]
    History {
        /// Which.
        what: String,
        /// What is wrong with it.
        source: Box<FileError>,
    },
    /// A history is sound, but not the one that was meant.
    #[error(
        "{what}: the last event has the digest {found}, not {expected}: it is not the whole history, or another one"
    )]
    HistoryHead {
        /// Which.
        what: String,
        /// As somebody wrote it down.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// The operator said no.
    #[error("nothing was done")]
    Declined,
    /// The operating system refused.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl CliError {
    pub(super) fn io(what: impl Into<String>, source: io::Error) -> CliError {
        CliError::Io { what: what.into(), source }
    }

    /// 2 for usage and configuration, 1 for everything else.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    pub(super) fn code(&self) -> u8 {
        match self {
            CliError::Usage(_) | CliError::Config(_) | CliError::Init(InitError::Config(_)) => 2,
            _ => 1,
        }
    }

    /// The error with its causes in one line, then its reasons, then what to do: one line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.headline().lines().map(str::to_owned).collect();
        if let CliError::Client(ClientError::Problem(problem)) = self {
            lines.extend(problem.reasons.iter().map(|reason| format!("  - {reason}")));
        }
        lines.extend(self.advice().map(|advice| format!("  → {advice}")));
        lines
    }

    fn headline(&self) -> String {
        let source = std::error::Error::source(self);
        let inner = match self {
            // Displayed as themselves already: only what lies below is new.
            CliError::Config(e) => std::error::Error::source(e),
            CliError::Client(e) => std::error::Error::source(e),
            CliError::Move(e) => std::error::Error::source(e),
            CliError::Preflight(e) => std::error::Error::source(e),
            CliError::Node(e) => std::error::Error::source(e),
            CliError::Init(e) => std::error::Error::source(e),
            CliError::Demo(e) => e.source(),
            _ => source,
        };
        let causes = std::iter::successors(inner, |cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            CliError::Client(ClientError::Unreachable { .. }) => {
                Some("is a coordinator running, and are the endpoints in the context file right?")
            }
            CliError::Client(error) => advice_on(error.code()?),
            _ => None,
        }
    }
}

fn advice_on(code: &Code) -> Option<&'static str> {
    match code {
        Code::Unauthorised => Some("is POINTSMAN_TOKEN, or the token_file of the context, this cluster's?"),
        Code::Refused => {
            Some("repair what stands in the way; --force moves over failing checks and is recorded")
        }
        Code::OperationRunning => Some("`pointsman operations` shows what runs"),
        Code::UnknownGroup => Some("`pointsman status` lists the groups"),
        Code::UnknownAppliance => Some("`pointsman status GROUP` lists its appliances"),
        Code::NoLeader => {
            Some("`pointsman status` shows which coordinators are missing; a majority must run")
        }
        Code::OutcomeUnknown => Some("`pointsman status` and `pointsman history` show whether it was done"),
        Code::StorageFull => Some("make room for the data directory of the leader"),
        _ => None,
    }
}
