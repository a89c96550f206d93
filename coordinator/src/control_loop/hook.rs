//! Runs the programs that switch appliances off.
//!
//! A program gets no shell, no terminal, no environment but what it is for, and a time limit. It
//! runs in a process group of its own, so that whatever it started ends with it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use config::coordinator::Hook;
use coordinator_core::ids::{ApplianceName, GroupName, HookName, Token};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use output::{Output, drain};

mod output;

/// How long output is read on after the program has ended, should something that it started still
/// hold it open.
const LINGER: Duration = Duration::from_millis(500);

/// How long a killed program may take to be gone.
const REAP: Duration = Duration::from_secs(1);

/// The most of a program's output that an error repeats, in bytes.
const RECORDED: usize = 240;

/// The configured programs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Hooks(Arc<BTreeMap<HookName, Hook>>);

/// What a program is told, and nothing else: `POINTSMAN_GROUP`, `POINTSMAN_APPLIANCE` and
/// `POINTSMAN_TOKEN`.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) group: GroupName,
    pub(super) appliance: ApplianceName,
    pub(super) token: Token,
}

/// Why an appliance is not known to be off.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// The configuration of this coordinator does not have it.
    #[error("there is no [[hook]] {name} in the configuration of this coordinator")]
    Unknown { name: HookName },
    /// It could not be started.
    #[error("could not start {program}: {source}")]
    Start { program: String, source: std::io::Error },
    /// Its end could not be waited for.
    #[error("could not wait for {program}: {source}")]
    Wait { program: String, source: std::io::Error },
    /// It ended, and not with 0.
    #[error("{}{}", ending(*status), said(output))]
    Failed { status: ExitStatus, output: String },
    /// It was killed at its time limit.
    #[error("killed after {limit:?}{}", said(output))]
    TimedOut { limit: Duration, output: String },
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }
}

/// The end of what it said: a record takes no more, and that is where programs say what was wrong.
fn said(output: &str) -> String {
    if output.is_empty() {
        return String::new();
    }
    let mut start = output.len().saturating_sub(RECORDED);
    while !output.is_char_boundary(start) {
        start += 1;
    }
    let cut = if start > 0 { "…" } else { "" };
    format!(": {cut}{}", output.get(start..).unwrap_or_default())
}

impl HookError {
    /// All that was kept of what the program said.
    pub(super) fn output(&self) -> Option<&str> {
        match self {
            HookError::Failed { output, .. } | HookError::TimedOut { output, .. } => Some(output),
            _ => None,
        }
    }
}

impl Hooks {
    pub(super) fn new(hooks: BTreeMap<HookName, Hook>) -> Hooks {
        for (name, hook) in &hooks {
            let runs = std::fs::metadata(&hook.program)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
            if !runs {
                let program = hook.program.display();
                tracing::warn!(%name, %program, "this hook's program is not there, or is not executable");
            }
        }
        Hooks(Arc::new(hooks))
    }

    /// Runs a program to its end. Returns what it said once it has ended with 0, which means that
    /// the appliance is off.
    ///
    /// Dropping the future kills the program and everything in its process group.
    ///
    /// # Errors
    /// [`HookError`]: the appliance is not known to be off.
    pub(super) async fn run(&self, name: &HookName, told: &Told) -> Result<String, HookError> {
        let hook = self.0.get(name).ok_or_else(|| HookError::Unknown { name: name.clone() })?;
        let program = || hook.program.display().to_string();
        let child = command(hook, told).spawn();
        let mut child = child.map_err(|source| HookError::Start { program: program(), source })?;
        // Declared after the child, so dropped before it: its number is still its own then.
        let mut group = ProcessGroup::of(&child);
        let output = Output::default();
        let ended = tokio::time::timeout(hook.timeout, run_to_the_end(&mut child, &output)).await;
        let Ok((status, all_read)) = ended else {
            group.kill();
            // It is gone within the kernel's next turn, unless it is stuck in a driver; then it is
            // reaped whenever it gets out.
            let _ = tokio::time::timeout(REAP, child.wait()).await;
            return Err(HookError::TimedOut { limit: hook.timeout, output: output.text() });
        };
        if all_read {
            group.leave();
        } else {
            group.kill();
        }
        let status = status.map_err(|source| HookError::Wait { program: program(), source })?;
        if status.success() {
            return Ok(output.text());
        }
        Err(HookError::Failed { status, output: output.text() })
    }
}

fn command(hook: &Hook, told: &Told) -> Command {
    let mut command = Command::new(&hook.program);
    command
        .args(&hook.arguments)
        .env_clear()
        .env("POINTSMAN_GROUP", told.group.as_str())
        .env("POINTSMAN_APPLIANCE", told.appliance.as_str())
        .env("POINTSMAN_TOKEN", told.token.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Waits for the end of the program while its output is read. Says whether the output has ended
/// too: if not, something else holds it.
async fn run_to_the_end(child: &mut Child, output: &Output) -> (std::io::Result<ExitStatus>, bool) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = Notify::new();
    let end = async {
        let status = child.wait().await;
        ended.notify_one();
        status
    };
    let reading = async {
        let read = async { tokio::join!(drain(stdout, output), drain(stderr, output)) };
        let given_up = async {
            ended.notified().await;
            tokio::time::sleep(LINGER).await;
        };
        tokio::select! {
            _ = read => true,
            () = given_up => false,
        }
    };
    tokio::join!(end, reading)
}

/// The process group of a running program. Killed when dropped.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> ProcessGroup {
        ProcessGroup(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // An error means that nobody is left in it.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }

    /// Nobody is left in it: its number may become another's.
    fn leave(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
#[path = "hook/tests.rs"]
mod tests;
