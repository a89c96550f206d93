//! What is wrong with a file, in the words of an operator.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong. Displayed as `file:line: path is value; it must …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was given.
    pub file: PathBuf,
    /// The line, from 1; `None` when the fault is not in a line, such as a missing file.
    pub line: Option<usize>,
    /// What is wrong, the rule it breaks, and the way out where there is one.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

/// Everything that is wrong with a file, in the order of its lines. Never empty. Displayed with
/// one fault per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults {
    /// One or more.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigFaults {}
