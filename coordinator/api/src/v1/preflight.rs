//! `POST /v1/preflight`: would a move work?

use std::fmt;

use coordinator_core::ids::{GroupName, NodeId};
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `POST /v1/preflight`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreflightRequest {
    /// Only this group; all groups when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Also write to the clouds: each resource as it was read, so that nothing changes but its
    /// version. Not for a group that is moving. Default false.
    #[serde(default)]
    pub write_check: bool,
}

/// The answer to a [`PreflightRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// The worst of all items.
    pub verdict: CheckVerdict,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// The coordinator that ran it: the leader.
    pub leader: NodeId,
    /// The cluster first, then group by group.
    pub items: Vec<CheckItem>,
}

impl Preflight {
    /// Puts the items of a run together.
    pub fn new(leader: NodeId, at: Timestamp, took_ms: u64, items: Vec<CheckItem>) -> Preflight {
        let verdict = items.iter().map(|item| item.verdict).max().unwrap_or(CheckVerdict::Pass);
        Preflight { verdict, at, took_ms, leader, items }
    }
}

/// How a check went. The order is that of seriousness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// It is as it must be.
    Pass,
    /// A move would work, and something is not as it ought to be, or could not be found out.
    Warn,
    /// A move would fail, or the cluster could not make one when it matters.
    Fail,
}

impl CheckVerdict {
    /// As written in tables.
    pub fn word(self) -> &'static str {
        match self {
            CheckVerdict::Pass => "pass",
            CheckVerdict::Warn => "warn",
            CheckVerdict::Fail => "fail",
        }
    }
}

/// One check of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckItem {
    /// Which check: stable.
    pub check: Check,
    /// How it went.
    pub verdict: CheckVerdict,
    /// The group, unless it is about the cluster as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The coordinator that looked, where each has to look for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<NodeId>,
    /// What was looked at, for instance `rg-dmz/networkInterfaces/nic-a`.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What to do; empty for a pass.
    pub advice: String,
}

impl CheckItem {
    /// It is as it must be.
    pub fn pass(check: Check, subject: impl Into<String>, found: impl Into<String>) -> CheckItem {
        CheckItem::new(CheckVerdict::Pass, check, subject.into(), found.into(), String::new())
    }

    /// It is not as it ought to be, or could not be found out.
    pub fn warn(
        check: Check,
        subject: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> CheckItem {
        CheckItem::new(CheckVerdict::Warn, check, subject.into(), found.into(), advice.into())
    }

    /// A move would fail on it.
    pub fn fail(
        check: Check,
        subject: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> CheckItem {
        CheckItem::new(CheckVerdict::Fail, check, subject.into(), found.into(), advice.into())
    }

    fn new(verdict: CheckVerdict, check: Check, subject: String, found: String, advice: String) -> CheckItem {
        CheckItem { check, verdict, group: None, coordinator: None, subject, found, advice }
    }

    /// The same, of a group.
    #[must_use]
    pub fn of(mut self, group: &GroupName) -> CheckItem {
        self.group = Some(group.clone());
        self
    }

    /// The same, as a coordinator sees it.
    #[must_use]
    pub fn seen_by(mut self, coordinator: NodeId) -> CheckItem {
        self.coordinator = Some(coordinator);
        self
    }
}

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// Which check. Stable: a name is never changed or reused, new ones may come.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum Check {
            $($(#[$doc])* $name,)*
            /// A check that this client does not know.
            Other(String),
        }

        impl Check {
            /// Every check of this version.
            pub const ALL: &'static [Check] = &[$(Check::$name,)*];

            /// As written on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Check::$name => $word,)*
                    Check::Other(word) => word,
                }
            }
        }

        impl From<String> for Check {
            fn from(word: String) -> Check {
                match word.as_str() {
                    $($word => Check::$name,)*
                    _ => Check::Other(word),
                }
            }
        }
    };
}

checks! {
    /// A majority of coordinators follows the leader.
    Quorum = "quorum";
    /// Each coordinator answers the leader.
    Coordinator = "coordinator";
    /// The disk of each coordinator takes writes.
    Storage = "storage";
    /// The coordinators' clocks agree.
    Clock = "clock";
    /// The way from each coordinator to the others does not lead through a managed appliance.
    WayToCoordinator = "way-to-coordinator";
    /// The way from each coordinator to the cloud does not lead through a managed appliance.
    WayToCloud = "way-to-cloud";
    /// The declaration fits the configuration of each coordinator.
    Declaration = "declaration";
    /// Mode, freeze, hold, and whether the group is moving.
    GroupState = "group-state";
    /// Each coordinator sees each appliance up.
    Appliance = "appliance";
    /// There is somebody to move to.
    Standby = "standby";
    /// The agents that a group needs are connected, and well.
    Agent = "agent";
    /// The lease outlasts a change of leader.
    Lease = "lease";
    /// The ways between agents.
    HeartbeatWay = "heartbeat-way";
    /// The path through the active appliance.
    Path = "path";
    /// Bindings point where the log has them.
    Drift = "drift";
    /// The program that switches an appliance off can be run on each coordinator.
    Hook = "hook";
    /// A binding of a cloud can be read.
    Binding = "binding";
    /// A write to the cloud that changes nothing is accepted.
    Write = "write";
    /// A token for Azure.
    AzureToken = "azure-token";
    /// Azure Resource Manager answers.
    AzureReach = "azure-reach";
    /// Each permission on each resource.
    AzurePermission = "azure-permission";
    /// Ids, kinds and allow-list.
    AzureDeclaration = "azure-declaration";
    /// Each resource exists and can be read.
    AzureResource = "azure-resource";
    /// Nobody is changing it, and its last change did not fail.
    AzureState = "azure-state";
    /// There is room for the token.
    AzureTags = "azure-tags";
    /// The public IP's allocation, and how it fits its targets.
    AzurePublicIp = "azure-public-ip";
    /// The SKUs fit together.
    AzureSku = "azure-sku";
    /// The zones fit together.
    AzureZone = "azure-zone";
    /// The IP configuration of each target.
    AzureTarget = "azure-target";
    /// The route exists and leads to an appliance.
    AzureRoute = "azure-route";
    /// The NICs forward.
    AzureForwarding = "azure-forwarding";
    /// Accelerated networking, which a move leaves as it is.
    AzureAcceleration = "azure-acceleration";
    /// Next hops are addresses of the appliances.
    AzureNextHop = "azure-next-hop";
    /// The machines run.
    AzureMachine = "azure-machine";
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Check> for String {
    fn from(check: Check) -> String {
        check.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_own_name_and_is_read_back() {
        let names: std::collections::BTreeSet<_> = Check::ALL.iter().map(Check::as_str).collect();
        assert_eq!(names.len(), Check::ALL.len());
        for check in Check::ALL {
            assert_eq!(Check::from(check.as_str().to_owned()), *check);
        }
        assert_eq!(Check::from("later".to_owned()).as_str(), "later");
    }

    #[test]
    fn every_check_is_explained_to_operators() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/azure.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        for check in Check::ALL {
            let named = format!("`{check}`");
            assert!(rows.iter().any(|row| row.contains(&named)), "{check} is in no table of docs/azure.md");
        }
    }

    #[test]
    fn the_verdict_of_a_run_is_its_worst() {
        let run = |items| Preflight::new(NodeId(1), Timestamp(coordinator_core::time::WallTime(0)), 0, items);
        let pass = CheckItem::pass(Check::Quorum, "x", "y");
        let warn = CheckItem::warn(Check::Clock, "x", "y", "z");
        assert_eq!(run(vec![]).verdict, CheckVerdict::Pass);
        assert_eq!(run(vec![warn.clone(), pass.clone()]).verdict, CheckVerdict::Warn);
        let fail = CheckItem::fail(Check::Agent, "x", "y", "z");
        assert_eq!(run(vec![pass, fail, warn]).verdict, CheckVerdict::Fail);
    }
}
