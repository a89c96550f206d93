//! The file being read, and what was found wrong with it.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use crate::fault::{ConfigFaults, Fault};

/// Largest file that is read. A group takes about 2 KiB.
const MAX_FILE: u64 = 1024 * 1024;

/// A file's text, and its faults so far.
pub(crate) struct Report {
    file: PathBuf,
    text: String,
    faults: RefCell<Vec<Fault>>,
}

impl Report {
    /// Reads `file`.
    pub(crate) fn open(file: &Path) -> Result<Report, ConfigFaults> {
        let refuse = |message: String| ConfigFaults {
            faults: vec![Fault { file: file.to_owned(), line: None, message }],
        };
        let mut text = String::new();
        std::fs::File::open(file)
            .and_then(|f| f.take(MAX_FILE + 1).read_to_string(&mut text))
            .map_err(|e| refuse(format!("could not be read: {e}")))?;
        if text.len() as u64 > MAX_FILE {
            return Err(refuse(format!("is longer than {MAX_FILE} bytes, which no configuration needs")));
        }
        Ok(Report::of(file, text))
    }

    /// Takes `text` for the content of `file`.
    pub(crate) fn of(file: &Path, text: String) -> Report {
        Report { file: file.to_owned(), text, faults: RefCell::default() }
    }

    /// Parses the text. Faults of syntax are all reported, and nothing else is then: what the
    /// rest means is a guess.
    pub(crate) fn document(&self) -> Result<Spanned<DeTable<'_>>, ConfigFaults> {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        for error in &errors {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            self.add(error.span().map(|s| s.start), message);
        }
        if errors.is_empty() { Ok(document) } else { Err(self.faults()) }
    }

    /// Records a fault at a byte of the text.
    pub(crate) fn add(&self, at: Option<usize>, message: String) {
        let line = at.map(|at| 1 + self.text.bytes().take(at).filter(|b| *b == b'\n').count());
        let fault = Fault { file: self.file.clone(), line, message };
        let mut faults = self.faults.borrow_mut();
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// The result of reading: `value`, unless any fault was recorded.
    ///
    /// A reader returns `None` only after it recorded why; a missing record would be a mistake in
    /// this crate, and is refused as well.
    pub(crate) fn finish<T>(&self, value: Option<T>) -> Result<T, ConfigFaults> {
        match value {
            Some(value) if self.faults.borrow().is_empty() => Ok(value),
            _ => Err(self.faults()),
        }
    }

    /// Where relative paths in the file start.
    pub(crate) fn directory(&self) -> &Path {
        match self.file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    /// The file, as given.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    fn faults(&self) -> ConfigFaults {
        let mut faults = self.faults.borrow().clone();
        faults.sort_by_key(|f| f.line);
        if faults.is_empty() {
            let message = "could not be understood".to_owned();
            faults.push(Fault { file: self.file.clone(), line: None, message });
        }
        ConfigFaults { faults }
    }
}
