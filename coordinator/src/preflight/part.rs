//! What each coordinator has to find out for itself, since any may lead next.

use std::os::unix::fs::PermissionsExt;

use cloud_adapters::Journal;
use cloud_adapters::contract::Subject;
use config::coordinator::Hook;
use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::{GroupName, HookName};
use coordinator_core::model::FenceSpec;
use coordinator_core::state::Group;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::{Inner, by_adapter, used, ways};
use crate::raft::{StorageHealth, StorageLevel};

/// Where the leader asks for it, on the cluster listener, as JSON.
pub const PREFLIGHT_PATH: &str = "/peer/v1/preflight";

/// Most bytes of the question, and of the answer.
pub const PREFLIGHT_MAX_BODY: usize = 4 * 1024 * 1024;

/// Asks a coordinator for its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRequest {
    /// The groups concerned. One that the coordinator has not heard of yet is passed over.
    pub groups: Vec<GroupName>,
}

/// The answer to a [`PartRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReply {
    /// The wall clock when the question came in, in Unix milliseconds.
    pub received_ms: u64,
    /// The wall clock when the answer left.
    pub answered_ms: u64,
    /// What was found.
    pub items: Vec<CheckItem>,
}

impl Inner {
    pub(super) async fn look_around(&self, ask: &PartRequest) -> Vec<CheckItem> {
        let state = self.options.replica.state();
        let groups: Vec<&Group> = ask.groups.iter().filter_map(|name| state.groups.get(name)).collect();
        let mut items = vec![storage(&self.options.replica.status().storage)];
        let managed = ways::managed(&state);
        let endpoints = used(groups.iter().copied()).into_iter().flat_map(|name| {
            let adapter = self.options.adapters.named(&name);
            adapter.and_then(|adapter| adapter.checks().map(|checks| checks.endpoints())).unwrap_or_default()
        });
        let others = self.others().filter_map(|node| Some((node, *self.options.nodes.get(&node)?)));
        let (ways, reached) = tokio::join!(
            ways::look(others.collect(), endpoints.collect(), &managed),
            join_all(groups.iter().map(|group| self.reach(group))),
        );
        items.extend(ways);
        for group in groups {
            items.extend(self.declaration(group));
        }
        items.extend(reached.into_iter().flatten());
        items
    }

    /// Whether this node's configuration has what the group names.
    fn declaration(&self, group: &Group) -> Vec<CheckItem> {
        let spec = &group.spec;
        let what = format!("group {}", spec.name);
        let mut items: Vec<CheckItem> = self
            .options
            .limits
            .faults(spec)
            .into_iter()
            .map(|fault| {
                let advice =
                    "bring the configuration of this coordinator in line with the others, and restart it";
                CheckItem::fail(Check::Declaration, &what, fault, advice)
            })
            .collect();
        if items.is_empty() {
            let found = "it fits the configuration";
            items.push(CheckItem::pass(Check::Declaration, what, found));
        }
        for appliance in &spec.appliances {
            if let Some(FenceSpec::Hook { name }) = &appliance.fence
                && let Some(configured) = self.options.hooks.get(name)
            {
                items.push(hook(name, configured));
            }
        }
        items.dedup();
        items.into_iter().map(|item| item.of(&spec.name)).collect()
    }

    /// Whether each cloud of the group answers this node, and what it permits.
    async fn reach(&self, group: &Group) -> Vec<CheckItem> {
        let journal = Journal::default();
        let mut items = Vec::new();
        for (name, bindings) in by_adapter(group) {
            let Some(adapter) = self.options.adapters.named(&name) else { continue };
            let Some(checks) = adapter.checks() else { continue };
            let subject = Subject { group: &group.spec.name, token: group.token, bindings: &bindings };
            items.extend(checks.reach(subject, &journal).await);
        }
        items.into_iter().map(|item| item.of(&group.spec.name)).collect()
    }
}

fn storage(health: &StorageHealth) -> CheckItem {
    let what = "data directory";
    let detail = health.detail().unwrap_or("it takes writes").to_owned();
    let advice = "make room, or see to the disk";
    match health.level() {
        StorageLevel::Ok => CheckItem::pass(Check::Storage, what, detail),
        StorageLevel::Low => CheckItem::warn(Check::Storage, what, detail, advice),
        StorageLevel::Full | StorageLevel::Hung => CheckItem::fail(Check::Storage, what, detail, advice),
    }
}

/// Whether the program is there and may be run. It is not run.
fn hook(name: &HookName, hook: &Hook) -> CheckItem {
    let (what, program) = (format!("hook {name}"), hook.program.display());
    let advice = "install it on this coordinator as well: any may lead next";
    match std::fs::metadata(&hook.program) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
            CheckItem::pass(Check::Hook, what, format!("{program} can be run"))
        }
        Ok(_) => {
            CheckItem::fail(Check::Hook, what, format!("{program} is no program that can be run"), advice)
        }
        Err(error) => CheckItem::fail(Check::Hook, what, format!("{program}: {error}"), advice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator_api::v1::CheckVerdict::{Fail, Pass, Warn};
    use std::time::Duration;

    #[test]
    fn a_disk_is_judged_by_what_it_still_takes() {
        let detail = || "12 MiB left".to_owned();
        for (health, verdict) in [
            (StorageHealth::Ok, Pass),
            (StorageHealth::Low { detail: detail() }, Warn),
            (StorageHealth::Full { detail: detail() }, Fail),
            (StorageHealth::Hung { detail: detail() }, Fail),
        ] {
            assert_eq!(storage(&health).verdict, verdict, "{health:?}");
        }
    }

    #[test]
    fn a_hook_must_be_a_program() {
        let judged = |program: &str| {
            let hook_at =
                Hook { program: program.into(), arguments: Vec::new(), timeout: Duration::from_secs(1) };
            hook(&"pdu".parse().unwrap(), &hook_at).verdict
        };
        let plain = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(judged("/bin/sh"), Pass);
        for none in ["/bin", plain.path().to_str().unwrap(), "/nonexistent/pdu"] {
            assert_eq!(judged(none), Fail, "{none}");
        }
    }
}
