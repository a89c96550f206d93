//! The operator's command line, where the operator is.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use config::cli::TOKEN_VARIABLE;
use coordinator_api::v1::{ClusterStatus, GroupStatus};
use coordinator_core::ids::NodeId;
use serde::de::DeserializeOwned;

use super::{CLIENT, Cluster};
use crate::command::{self, Finished};
use crate::wait::{self, Look};

/// How long one call of the command line may take: it waits for what it started.
const CLI_DEADLINE: Duration = Duration::from_secs(60);

impl Cluster {
    /// Runs the operator's command line to its end.
    ///
    /// # Errors
    /// When it takes too long. A refusal is in the result.
    pub fn cli(&self, args: &[&str]) -> Result<Finished> {
        command::run(self.cli_command().args(args), CLI_DEADLINE)
    }

    /// Runs the operator's command line with `--output json`, and reads what it prints.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn cli_json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let done = self.cli(&[args, &["--output", "json"]].concat())?;
        if !done.status.success() {
            bail!("pointsman {} failed ({}): {}", args.join(" "), done.status, done.output().trim());
        }
        serde_json::from_str(&done.stdout).with_context(|| format!("not what was expected: {}", done.stdout))
    }

    /// The operator's command line, with the cluster and the token set.
    pub fn cli_command(&self) -> Command {
        let mut command = self.pointsman(CLIENT);
        command.arg("--context").arg(&self.made.cli).env(TOKEN_VARIABLE, self.made.token.expose());
        command
    }

    /// Waits until somebody leads, and says who.
    ///
    /// # Errors
    /// When nobody leads for too long.
    pub fn leader(&self) -> Result<NodeId> {
        wait::until("somebody leads", || {
            let status: Result<ClusterStatus> = self.cli_json(&["status"]);
            Ok(match status.map(|status| status.leader) {
                Ok(Some(leader)) => Look::Yes(leader),
                Ok(None) => Look::NotYet("nobody leads".to_owned()),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })
    }

    /// Waits until a group is as wanted; `what` says what that is, after the group's name.
    ///
    /// # Errors
    /// When it is not so for too long.
    pub fn group(
        &self,
        group: &str,
        what: &str,
        wanted: impl Fn(&GroupStatus) -> bool,
    ) -> Result<GroupStatus> {
        wait::until(&format!("group {group} {what}"), || {
            Ok(match self.cli_json::<GroupStatus>(&["status", group]) {
                Ok(status) if wanted(&status) => Look::Yes(status),
                Ok(status) => Look::NotYet(format!("{:?}, because {:?}", status.summary, status.why)),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })
    }

    /// Waits until a group is at rest on an appliance.
    ///
    /// # Errors
    /// When it is not for too long.
    pub fn at_rest(&self, group: &str, active: &str) -> Result<GroupStatus> {
        self.group(group, &format!("is at rest on {active}"), |status| {
            let on = status.summary.active.as_ref().is_some_and(|name| name.as_str() == active);
            on && status.summary.operation.is_none()
        })
    }
}
