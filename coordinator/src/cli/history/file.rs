//! The exported history: JSON Lines. The first line says where the chain of digests begins, each
//! further one is an event as it was recorded, the last says where the chain ends.
//!
//! Every line is checked byte by byte against what this program would write for the same content,
//! so that nothing hides in a field that nobody reads.

use std::io::{self, BufRead, Write};

use coordinator_core::chain::{Broken, Chain, Digest};
use coordinator_core::event::Event;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest line that is read, in bytes. An event takes a few hundred.
const MAX_LINE: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// The version of this form.
    pointsman_history: u32,
    begins: Chain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Trailer {
    ends: Chain,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Summary {
    /// How many events.
    pub(in crate::cli) events: u64,
    /// The number of the first, if there is one.
    pub(in crate::cli) first: Option<u64>,
    /// The number of the last, if there is one.
    pub(in crate::cli) last: Option<u64>,
    /// The digest of the last.
    pub(in crate::cli) head: Digest,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FileError {
    #[error("could not be read or written")]
    Io(#[from] io::Error),
    #[error("line {line} is longer than {MAX_LINE} bytes")]
    TooLong { line: u64 },
    #[error("line {line} is not {what}: {cause}")]
    NotRead { line: u64, what: &'static str, cause: String },
    #[error("line {line} is not as it was written: it holds what does not belong there, or in another form")]
    NotAsWritten { line: u64 },
    #[error("it has the form {found}, and this program knows form 1")]
    Version { found: u32 },
    #[error("line {line}: {broken}")]
    Broken { line: u64, broken: Broken },
    #[error("it is cut short: the line with the end of the chain is missing")]
    CutShort,
    #[error("line {line}: the chain ends elsewhere than the file says: events are missing before it")]
    Ends { line: u64 },
    #[error("there is more after the end, in line {line}")]
    After { line: u64 },
}

/// Writes the form, checking the chain on the way.
pub(super) struct Writer<W> {
    out: W,
    state: Option<(Chain, Chain)>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Writer<W> {
        Writer { out, state: None }
    }

    /// Writes an event; before the first, the header.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), FileError> {
        let (begins, mut chain) = match self.state {
            Some(state) => state,
            None => {
                let begins = Chain::before(event);
                self.line(&Header { pointsman_history: 1, begins })?;
                (begins, begins)
            }
        };
        chain.check(event).map_err(|broken| FileError::Broken { line: event.link.number, broken })?;
        self.state = Some((begins, chain));
        self.line(event)
    }

    /// Writes the end. `now` is where the chain stands if there were no events.
    pub(super) fn finish(mut self, now: Chain) -> Result<(W, Summary), FileError> {
        let (begins, ends) = match self.state {
            Some(state) => state,
            None => {
                self.line(&Header { pointsman_history: 1, begins: now })?;
                (now, now)
            }
        };
        self.line(&Trailer { ends })?;
        self.out.flush()?;
        Ok((self.out, summary(begins, ends)))
    }

    fn line<T: Serialize>(&mut self, value: &T) -> Result<(), FileError> {
        let text = serde_json::to_string(value).map_err(io::Error::from)?;
        Ok(writeln!(self.out, "{text}")?)
    }
}

fn summary(begins: Chain, ends: Chain) -> Summary {
    let events = ends.count.saturating_sub(begins.count);
    let some = events > 0;
    Summary {
        events,
        first: some.then(|| begins.count + 1),
        last: some.then_some(ends.count),
        head: ends.head,
    }
}

/// Reads a file to its end and checks every link, with one line in memory at a time.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn verify(mut from: impl BufRead) -> Result<Summary, FileError> {
    let mut line = 1;
    let text = next_line(&mut from, line)?.ok_or(FileError::CutShort)?;
    let header: Header = parse(&text, line, "the first line of an exported history")?;
    if header.pointsman_history != 1 {
        return Err(FileError::Version { found: header.pointsman_history });
    }
    let mut chain = header.begins;
    loop {
        line += 1;
        let text = next_line(&mut from, line)?.ok_or(FileError::CutShort)?;
        if text.starts_with("{\"ends\":") {
            let Trailer { ends } = parse(&text, line, "the end of the chain")?;
            if ends != chain {
                return Err(FileError::Ends { line });
            }
            return match next_line(&mut from, line + 1)? {
                Some(_) => Err(FileError::After { line: line + 1 }),
                None => Ok(summary(header.begins, ends)),
            };
        }
        let event: Event = parse(&text, line, "an event")?;
        chain.check(&event).map_err(|broken| FileError::Broken { line, broken })?;
    }
}

/// Without its line feed, which every line has.
fn next_line(from: &mut impl BufRead, line: u64) -> Result<Option<String>, FileError> {
    let mut bytes = Vec::new();
    io::Read::take(&mut *from, MAX_LINE).read_until(b'\n', &mut bytes)?;
    match bytes.pop() {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) if bytes.len() as u64 + 1 == MAX_LINE => return Err(FileError::TooLong { line }),
        Some(_) => return Err(FileError::CutShort),
    }
    let not_text = |error: std::string::FromUtf8Error| FileError::NotRead {
        line,
        what: "text",
        cause: error.utf8_error().to_string(),
    };
    String::from_utf8(bytes).map(Some).map_err(not_text)
}

fn parse<T: Serialize + DeserializeOwned>(text: &str, line: u64, what: &'static str) -> Result<T, FileError> {
    let not_read = |error: serde_json::Error| FileError::NotRead { line, what, cause: error.to_string() };
    let value: T = serde_json::from_str(text).map_err(not_read)?;
    if serde_json::to_string(&value).map_err(not_read)? != text {
        return Err(FileError::NotAsWritten { line });
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
