//! A long-running process under test: its log, its signals, its end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{self, Look};

/// Lines of a log that a failure shows.
const TAIL: usize = 25;

/// A process with a log; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`. Both its outputs are appended to `log`. Its standard input stays open
    /// for as long as this value lives: what runs here ends when it closes, and so does not
    /// outlive a test that was killed.
    ///
    /// # Errors
    /// When the log cannot be opened or the command not be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Process> {
        let out = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("could not start {name}: {command:?}"))?;
        Ok(Process { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// As given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the process that was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("could not send {signal} to {}", self.name))
    }

    /// Kills it as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it is still running after [`wait::PATIENCE`].
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        wait::until(&what, || {
            Ok(match self.child.try_wait()? {
                Some(status) => Look::Yes(status),
                None => Look::NotYet("it is running".to_owned()),
            })
        })
    }

    /// Fails with the end of its log if it has ended.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status})\n{}", self.name, self.log_tail()),
        }
    }

    /// Where both its outputs go.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Everything in its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log, under a heading.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

/// The last lines of a log, under a heading.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().rev().take(TAIL).collect();
    lines.reverse();
    format!("---- {}\n{}\n", log.display(), lines.join("\n"))
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, most likely.
        let _ = self.kill();
    }
}

/// Ends this process when its standard input closes: for the helpers.
pub fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}
