//! What a program says: read to the end, and kept in part.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The most that is kept, in bytes: the end of it, where programs say what went wrong.
pub(super) const KEPT: usize = 4 * 1024;

/// The newest [`KEPT`] bytes of both streams, as they came.
#[derive(Debug, Default)]
pub(super) struct Output(Mutex<VecDeque<u8>>);

impl Output {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }

    /// In one line: for a log and for a record.
    pub(super) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(|line| line.replace(char::is_control, " "));
        let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / ")
    }
}

/// Reads a stream to its end, so that a program that talks much is not held up.
pub(super) async fn drain(stream: Option<impl AsyncRead + Unpin>, into: &Output) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 8 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => into.push(buffer.get(..read).unwrap_or_default()),
        }
    }
}
