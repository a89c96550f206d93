//! The records of a helper, read as they are written.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use crate::cluster::Watched;

/// A helper's JSON lines; dropping it ends the helper.
#[derive(Debug)]
pub struct Records<T> {
    watched: Watched,
    /// Bytes of the file that are parsed.
    parsed: u64,
    seen: Vec<T>,
}

impl<T: DeserializeOwned> Records<T> {
    /// What `watched` writes.
    pub fn new(watched: Watched) -> Records<T> {
        Records { watched, parsed: 0, seen: Vec::new() }
    }

    /// All records so far, in order.
    ///
    /// # Errors
    /// When the file cannot be read, or a whole line is not what it should be.
    pub fn seen(&mut self) -> Result<&[T]> {
        let path = self.watched.records();
        let mut file = File::open(path).with_context(|| format!("could not read {}", path.display()))?;
        file.seek(SeekFrom::Start(self.parsed))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The helper may be in the middle of the last line.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].lines() {
            self.seen.push(serde_json::from_str(line).with_context(|| format!("not a record: {line}"))?);
        }
        self.parsed += u64::try_from(whole)?;
        Ok(&self.seen)
    }
}
