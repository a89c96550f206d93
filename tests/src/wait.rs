//! Waiting for a condition, with a deadline, never for a sleep.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// For what happens by itself within a few seconds, on a machine that is ten times too slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What a look at the world showed.
#[derive(Debug)]
pub enum Look<T> {
    /// It is so.
    Yes(T),
    /// Not yet, and what is the case instead.
    NotYet(String),
}

/// Looks until it is so.
///
/// # Errors
/// What `look` returns, or after [`PATIENCE`] what was the case at the last look.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = match look()? {
            Look::Yes(value) => return Ok(value),
            Look::NotYet(seen) => seen,
        };
        if Instant::now() >= deadline {
            bail!("waited {PATIENCE:?} for this, in vain: {what}; at the end: {seen}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// [`Look::Yes`] if it is so, and otherwise `seen`.
pub fn is(so: bool, seen: impl FnOnce() -> String) -> Look<()> {
    if so { Look::Yes(()) } else { Look::NotYet(seen()) }
}
