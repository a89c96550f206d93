//! Child processes that never outlive the demo.
//!
//! Each child reads its standard input and ends when it closes ([`end_with_stdin`]), so it ends
//! with the demo even when the demo is killed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// The flag that makes a process end with its standard input.
pub const FLAG: &str = "--end-with-stdin";

/// A running child process and where it writes its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with `args`; its output goes to `log`, appended.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(name: &str, program: &Path, args: &[String], log: &Path) -> io::Result<Process> {
        let out = File::options().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .env_remove("POINTSMAN_TOKEN")
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Kills it as a power cut would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Closes its standard input and waits for it to end by itself; kills it when it does not
    /// within `patience`.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn stop(&mut self, patience: Duration) -> io::Result<()> {
        drop(self.child.stdin.take());
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => self.child.kill().await,
        }
    }

    /// Fails with the end of its log if it has ended.
    ///
    /// # Errors
    /// Its name, how it ended, and the last lines of its log.
    pub fn check(&mut self) -> io::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        let tail = lines.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        Err(io::Error::other(format!("{} ended ({status}); its log ends:\n  {tail}", self.name)))
    }
}

/// Completes when standard input is closed.
pub async fn end_with_stdin() {
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0u8; 256];
    while matches!(stdin.read(&mut buffer).await, Ok(read) if read > 0) {}
}
