//! Where output goes, and in which form.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::error::CliError;
use super::render::Paint;

/// For whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs: what the API answered.
    Json,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set (no-color.org).
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command writes.
pub(super) struct Output {
    format: OutputFormat,
    /// For standard output.
    pub(super) paint: Paint,
    error_paint: Paint,
}

impl Output {
    pub(super) fn new(format: OutputFormat, color: ColorChoice) -> Output {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let on = |terminal: bool| {
            Paint::new(match color {
                ColorChoice::Auto => terminal && !no_color,
                ColorChoice::Always => true,
                ColorChoice::Never => false,
            })
        };
        Output {
            format,
            paint: on(std::io::stdout().is_terminal()),
            error_paint: on(std::io::stderr().is_terminal()),
        }
    }

    /// The value as JSON, or as `render` puts it.
    pub(super) fn show<T: Serialize>(&self, value: &T, render: impl FnOnce(&T, Paint) -> String) {
        match self.format {
            OutputFormat::Table => self.text(&render(value, self.paint)),
            OutputFormat::Json => {
                // Wire types are plain data with string keys: they always have a JSON form.
                let json = serde_json::to_string_pretty(value).unwrap_or_default();
                self.text(&json);
            }
        }
    }

    /// A line for people alone.
    pub(super) fn say(&self, line: &str) {
        if self.format == OutputFormat::Table {
            self.text(line);
        }
    }

    fn text(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that has gone away (`| head`) has seen enough.
        let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
        let _ = out.flush();
    }

    /// Says what went wrong, on standard error.
    pub(super) fn error(&self, error: &CliError) {
        let lines = error.lines();
        let mut err = std::io::stderr().lock();
        for (i, line) in lines.iter().enumerate() {
            let prefix = if i == 0 { self.error_paint.bad("error: ") } else { String::new() };
            let _ = writeln!(err, "{prefix}{line}");
        }
    }
}
