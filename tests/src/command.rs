//! Running a command to its end, with a deadline.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a command of the operating system may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; -1 when a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Both outputs, for messages and for searching.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `command` with no standard input and waits for it.
///
/// # Errors
/// When it cannot be started, or is still running at `deadline`; then it is killed.
pub fn run(command: &mut Command, deadline: Duration) -> Result<Finished> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {shown}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let until = Instant::now() + deadline;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            bail!("{shown} was still running after {deadline:?}");
        }
        thread::sleep(Duration::from_millis(2));
    };
    Ok(Finished { status, stdout: text(stdout), stderr: text(stderr) })
}

/// Runs a command of the operating system, which must succeed, and returns what it printed.
///
/// # Errors
/// When it cannot be started, fails, or takes longer than 20 s; with what it wrote.
pub fn must(program: &str, args: &[&str]) -> Result<String> {
    let done = run(Command::new(program).args(args), DEADLINE)?;
    if !done.status.success() {
        bail!("{program} {} failed ({}): {}", args.join(" "), done.status, done.output().trim());
    }
    Ok(done.stdout)
}

/// Reads in a thread of its own, so that a full pipe never stops the command.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}
