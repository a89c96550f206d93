//! What the demo prints: one line per happening, with the time since the act began.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

/// Prints the story. Colours only on a terminal, and not when `NO_COLOR` is set.
#[derive(Debug)]
pub(super) struct Timeline {
    since: Instant,
    colour: bool,
}

impl Timeline {
    pub(super) fn start() -> Timeline {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Timeline { since: Instant::now(), colour }
    }

    /// A heading; times count from here.
    pub(super) fn act(&mut self, title: impl Display) {
        self.since = Instant::now();
        let (bold, plain) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        line(format_args!("\n{bold}{title}{plain}"));
    }

    /// Something happened now.
    pub(super) fn note(&self, what: impl Display) {
        line(format_args!("  {:>8}  {what}", millis(self.since.elapsed())));
    }

    /// A figure.
    pub(super) fn figure(&self, what: impl Display) {
        let (green, plain) = if self.colour { ("\x1b[32m", "\x1b[0m") } else { ("", "") };
        line(format_args!("  {:>8}  {green}{what}{plain}", ""));
    }

    /// Text outside any act.
    pub(super) fn say(&self, text: impl Display) {
        line(format_args!("{text}"));
    }

    /// When the act began.
    pub(super) fn began(&self) -> Instant {
        self.since
    }
}

/// A closed standard output is no reason to stop half-way through an act.
fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
