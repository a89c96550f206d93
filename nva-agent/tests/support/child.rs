//! A real agent in a process of its own: the test binary once more, with its test `agent`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use coordinator_core::ids::NodeId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nva_agent::{Agent, Coordinator, Stop};
use tokio::sync::watch;

use super::{FakeCoordinator, options};

const URL: &str = "NVA_AGENT_TEST_URL";
const STATE: &str = "NVA_AGENT_TEST_STATE";

/// Runs a command; whether it succeeded.
pub(crate) fn run(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let mut process = Command::new(words.next().unwrap());
    let quiet = process.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Killed and reaped with this value.
pub(crate) struct AgentProcess(Child);

impl AgentProcess {
    pub(crate) fn start(coordinator: &FakeCoordinator, state: &Path) -> Self {
        Self::start_with(Command::new(std::env::current_exe().unwrap()), coordinator, state)
    }

    /// It finds its programs in this directory, and nowhere else.
    pub(crate) fn start_on_path(path: &Path, coordinator: &FakeCoordinator, state: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("PATH", path);
        Self::start_with(command, coordinator, state)
    }

    pub(crate) fn start_without_nftables(coordinator: &FakeCoordinator, state: &Path) -> Self {
        Self::start_on_path(Path::new("/nonexistent"), coordinator, state)
    }

    fn start_with(mut command: Command, coordinator: &FakeCoordinator, state: &Path) -> Self {
        let child = command
            .args(["--exact", "agent", "--ignored", "--nocapture"])
            .env(URL, &coordinator.base_url)
            .env(STATE, state)
            .stdout(Stdio::null())
            .spawn();
        AgentProcess(child.unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn kill_9(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of the test `agent`: runs until SIGTERM. Does nothing where nobody started it as one.
pub(crate) fn be_the_agent() {
    let (Ok(url), Ok(state)) = (std::env::var(URL), std::env::var(STATE)) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let coordinator = Coordinator { node: NodeId(1), base_url: url };
        let agent = Agent::new(options(state.as_ref(), vec![coordinator])).unwrap();
        let (stop, stopped) = watch::channel(Stop::No);
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        tokio::spawn(async move {
            term.recv().await;
            stop.send_replace(Stop::Now);
            std::future::pending::<()>().await;
        });
        agent.run(stopped).await.unwrap();
    });
}
