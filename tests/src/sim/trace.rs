//! What happened, in words.

use std::collections::VecDeque;
use std::fmt;

use super::clock::{At, START};

/// Lines kept when only the end is of interest.
const KEPT: usize = 120;

/// How much of the trace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: words cost time. The same seed tells its story when it is run again.
    Nothing,
    /// The last 120 lines, for the report of a violation.
    Tail,
    /// Every line.
    All,
}

/// The lines, and a digest of everything that happened.
#[derive(Debug)]
pub(crate) struct Trace {
    keep: Keep,
    lines: VecDeque<String>,
    digest: u64,
}

impl Trace {
    pub(crate) fn new(keep: Keep) -> Trace {
        Trace { keep, lines: VecDeque::new(), digest: 0xcbf2_9ce4_8422_2325 }
    }

    pub(crate) fn line(&mut self, at: At, what: fmt::Arguments<'_>) {
        if self.keep == Keep::Nothing {
            return;
        }
        let line = format!("{} {what}", Since(at));
        if self.keep == Keep::Tail && self.lines.len() >= KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Takes something into the digest (FNV-1a), which no keeping of lines changes.
    pub(crate) fn fold(&mut self, value: u64) {
        self.digest = (self.digest ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// Virtual time since the beginning, in seconds.
pub(crate) struct Since(pub(crate) At);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.saturating_sub(START);
        write!(f, "{:>5}.{:06}", since / 1_000_000, since % 1_000_000)
    }
}
