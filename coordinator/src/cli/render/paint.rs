//! Colours, or none.

use std::fmt;

use coordinator_core::event::Level;
use coordinator_core::observe::Verdict;

/// Adds colours (ECMA-48 SGR), or leaves the text as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Paint {
    on: bool,
}

impl Paint {
    pub(in crate::cli) fn new(on: bool) -> Paint {
        Paint { on }
    }

    pub(in crate::cli) fn is_on(self) -> bool {
        self.on
    }

    pub(in crate::cli) fn good(self, text: impl fmt::Display) -> String {
        self.sgr(32, text)
    }

    pub(in crate::cli) fn bad(self, text: impl fmt::Display) -> String {
        self.sgr(31, text)
    }

    pub(in crate::cli) fn warn(self, text: impl fmt::Display) -> String {
        self.sgr(33, text)
    }

    pub(in crate::cli) fn strong(self, text: impl fmt::Display) -> String {
        self.sgr(1, text)
    }

    pub(in crate::cli) fn faint(self, text: impl fmt::Display) -> String {
        self.sgr(2, text)
    }

    pub(super) fn verdict(self, verdict: Verdict) -> String {
        match verdict {
            Verdict::Up => self.good(verdict),
            Verdict::Down => self.bad(verdict),
            Verdict::Unknown => self.warn(verdict),
        }
    }

    pub(super) fn level(self, level: Level) -> String {
        match level {
            Level::Info => self.faint("info"),
            Level::Warning => self.warn("warning"),
            Level::Alert => self.bad("ALERT"),
        }
    }

    fn sgr(self, code: u8, text: impl fmt::Display) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// Columns that `text` takes on a terminal, colours not counted. Names are ASCII, so counting
/// characters is exact for all but an operator's own words, which stand in last columns.
pub(super) fn width(text: &str) -> usize {
    let mut width = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // An SGR sequence ends with its first letter.
            let _ = chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            width += 1;
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_columns() {
        assert_eq!(width(&Paint::new(true).good("up")), 2);
        assert_eq!(Paint::new(false).good("up"), "up");
    }
}
