//! Starting and killing a cluster's processes, and the helpers beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use coordinator_core::ids::{ApplianceName, NodeId};
use nix::sys::signal::Signal;

use super::{Cluster, LOG, host_of};
use crate::process::Process;

/// No process outlives a test, even one that is killed.
const END_WITH_STDIN: &str = coordinator::demo::process::FLAG;

/// A helper that writes records.
#[derive(Debug)]
pub struct Watched {
    records: PathBuf,
    _process: Process,
}

impl Watched {
    /// The file with the records written so far.
    pub fn records(&self) -> &Path {
        &self.records
    }
}

impl Cluster {
    /// Starts all coordinators.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start_coordinators(&mut self) -> Result<()> {
        self.node_ids().into_iter().try_for_each(|id| self.start_coordinator(id))
    }

    /// Starts a coordinator, and does not wait for anything.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_coordinator(&mut self, id: NodeId) -> Result<()> {
        let mut command = self.pointsman(&host_of(id));
        command.args(["serve", END_WITH_STDIN, "--config"]).arg(self.config_of(id)?);
        let process = self.start(&format!("coordinator-{id}"), &mut command)?;
        self.coordinators.insert(id, process);
        Ok(())
    }

    /// Kills a coordinator as a power cut would.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill_coordinator(&mut self, id: NodeId) -> Result<()> {
        self.coordinators.remove(&id).with_context(|| format!("coordinator {id} is not running"))?.kill()
    }

    /// Takes a coordinator's process out of the cluster's hands: it ends with what is returned.
    ///
    /// # Errors
    /// When it is not running.
    pub fn take_coordinator(&mut self, id: NodeId) -> Result<Process> {
        self.coordinators.remove(&id).with_context(|| format!("coordinator {id} is not running"))
    }

    /// Asks a coordinator to stop and waits until it has.
    ///
    /// # Errors
    /// When it is not running, or ends otherwise than as asked.
    pub fn stop_coordinator(&mut self, id: NodeId) -> Result<()> {
        let mut process = self.take_coordinator(id)?;
        process.signal(Signal::SIGTERM)?;
        let status = process.ended()?;
        if !status.success() {
            bail!("coordinator {id} ended with {status}\n{}", process.log_tail());
        }
        Ok(())
    }

    /// Starts all agents.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start_agents(&mut self) -> Result<()> {
        let names: Vec<_> = self.made.agents.keys().map(ToString::to_string).collect();
        names.iter().try_for_each(|name| self.start_agent(name))
    }

    /// Starts the agent of an appliance.
    ///
    /// # Errors
    /// When there is none, or the process cannot be started.
    pub fn start_agent(&mut self, appliance: &str) -> Result<()> {
        let name = ApplianceName::new(appliance)?;
        let config = self.made.agents.get(&name).with_context(|| format!("no agent of {name}"))?;
        let mut command = self.pointsman(appliance);
        command.args(["agent", END_WITH_STDIN, "--config"]).arg(config);
        let process = self.start(&format!("agent-{appliance}"), &mut command)?;
        self.agents.insert(appliance.to_owned(), process);
        Ok(())
    }

    /// Kills an agent as a power cut would.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill_agent(&mut self, appliance: &str) -> Result<()> {
        self.agents.remove(appliance).with_context(|| format!("no agent on {appliance}"))?.kill()
    }

    /// Takes an agent's process out of the cluster's hands: it ends with what is returned.
    ///
    /// # Errors
    /// When it is not running.
    pub fn take_agent(&mut self, appliance: &str) -> Result<Process> {
        self.agents.remove(appliance).with_context(|| format!("no agent on {appliance}"))
    }

    /// The agent's process, for signals.
    ///
    /// # Errors
    /// When it is not running.
    pub fn agent(&self, appliance: &str) -> Result<&Process> {
        self.agents.get(appliance).with_context(|| format!("no agent on {appliance}"))
    }

    /// A coordinator's process, for signals.
    ///
    /// # Errors
    /// When it is not running.
    pub fn coordinator(&self, id: NodeId) -> Result<&Process> {
        self.coordinators.get(&id).with_context(|| format!("coordinator {id} is not running"))
    }

    /// Starts every coordinator and agent that was killed.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start_missing(&mut self) -> Result<()> {
        for id in self.node_ids() {
            if !self.coordinators.contains_key(&id) {
                self.start_coordinator(id)?;
            }
        }
        let agents: Vec<_> = self.made.agents.keys().map(ToString::to_string).collect();
        for name in agents {
            if !self.agents.contains_key(&name) {
                self.start_agent(&name)?;
            }
        }
        Ok(())
    }

    /// Lets every process go on that was stopped by a signal.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn wake_all(&self) -> Result<()> {
        self.coordinators.values().chain(self.agents.values()).try_for_each(|p| p.signal(Signal::SIGCONT))
    }

    /// Fails if a process has ended that nobody killed.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.coordinators.values_mut().chain(self.agents.values_mut()).try_for_each(Process::check)
    }

    /// Starts a helper on a host of the network.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, host: &str, name: &str, program: &Path, args: &[&str]) -> Result<Process> {
        self.start(&format!("{name}-{host}"), self.network()?.command(host, program).args(args))
    }

    /// Starts a helper that writes records.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn watch(&self, host: &str, name: &str, program: &Path, args: &[&str]) -> Result<Watched> {
        let mut command = self.network()?.command(host, program);
        let process = self.start_into("records", name, command.args(args))?;
        Ok(Watched { records: process.log_file().to_owned(), _process: process })
    }

    fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        self.start_into(LOG, name, command)
    }

    fn start_into(&self, extension: &str, name: &str, command: &mut Command) -> Result<Process> {
        Process::start(name, command, &self.dir.path().join(name).with_extension(extension))
    }
}
