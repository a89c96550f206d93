//! Whether this machine lets the tests make network namespaces and mounts.

use std::io::Write;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::command::must;

/// Set to `1` where the privileged tests must run: they then fail instead of skipping.
pub const REQUIRE: &str = "POINTSMAN_REQUIRE_PRIVILEGED";

/// Whether `test` must be skipped here; if so, one line says why.
///
/// # Errors
/// When it would be skipped although [`REQUIRE`] is set.
pub fn skip_unless_privileged(test: &str) -> Result<bool> {
    let Some(why) = missing() else { return Ok(false) };
    if std::env::var(REQUIRE).is_ok_and(|value| value == "1") {
        bail!("{test} must run, because {REQUIRE} is set, and cannot: {why}");
    }
    say(&format!("{test}: skipped, {why}"));
    Ok(true)
}

/// Puts this thread, and what it starts from now on, before everything else on the machine: the hosts
/// of a cluster are no slower because somebody compiles on this one.
///
/// # Errors
/// Without root.
pub fn go_first() -> Result<()> {
    let thread = nix::unistd::gettid().to_string();
    must("renice", &["-n", "-15", "-p", &thread]).map(drop)
}

/// Prints a line that the test runner does not swallow, as it does `println!`'s.
pub fn say(line: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Tried once for all tests of a process, which run side by side.
fn missing() -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    MISSING.get_or_init(try_out).clone()
}

fn try_out() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    if let Err(error) = must("ip", &["-V"]) {
        return Some(format!("it needs iproute2 ({error:#})"));
    }
    let trial = format!("pmt-{}-trial", std::process::id());
    let made = must("ip", &["netns", "add", &trial]);
    let used = made.and_then(|_| must("ip", &["-n", &trial, "link", "set", "lo", "up"]));
    // It does not exist if it could not be made.
    let _ = must("ip", &["netns", "del", &trial]);
    used.err().map(|error| format!("it needs network namespaces ({error:#})"))
}
