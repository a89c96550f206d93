//! The log of a daemon: on standard error, one event per line.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The environment variable with the log level, or with tracing's directives.
pub const LOG_VARIABLE: &str = "POINTSMAN_LOG";

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. Without [`LOG_VARIABLE`], our own INFO and others' warnings. Calling it again
/// does nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE);
    // openraft logs each heartbeat that a dead peer does not answer.
    let filter =
        filter.unwrap_or_else(|_| EnvFilter::new("info,openraft=error,sled=warn,rustls=warn,hyper=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that somebody, a test most likely, logs already.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
