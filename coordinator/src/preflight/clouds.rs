//! What any coordinator would find in the clouds: found once, by the leader.

use std::net::IpAddr;
use std::time::Duration;

use cloud_adapters::contract::{AdapterError, Checks, Gate, Subject, look_at_bindings, write_unchanged};
use cloud_adapters::{Adapter, Journal};
use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::{AdapterName, GroupName, NodeId, Token};
use coordinator_core::state::{Group, State};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::ways::{self, Managed, judge_hops, resolve};
use super::{Inner, LOOK, by_adapter, coordinator, used};
use crate::raft::Replica;

/// How long a quorum may take to confirm the leadership before a write.
const CONFIRM: Duration = Duration::from_secs(1);

/// How long all writes together may take. A cloud takes tens of seconds for one of a network
/// interface.
const WRITES: Duration = Duration::from_secs(90);

impl Inner {
    /// The resources of the groups, and how the clouds carry what leaves the coordinators.
    pub(super) async fn look_at_clouds(&self, state: &State, groups: &[&Group]) -> Vec<CheckItem> {
        let managed = ways::managed(state);
        let used = used(groups.iter().copied());
        let (resources, hops) = tokio::join!(
            join_all(groups.iter().map(|group| self.resources(group))),
            join_all(used.iter().map(|name| self.hops(name, &managed))),
        );
        let mut items: Vec<CheckItem> = hops.into_iter().flatten().collect();
        items.extend(resources.into_iter().flatten());
        items
    }

    async fn resources(&self, group: &Group) -> Vec<CheckItem> {
        let journal = Journal::default();
        let mut items = Vec::new();
        for (name, bindings) in by_adapter(group) {
            // Every coordinator tells of an adapter that it does not have.
            let Some(adapter) = self.options.adapters.named(&name) else { continue };
            let subject = Subject { group: &group.spec.name, token: group.token, bindings: &bindings };
            let look = look_at(&*adapter, subject, &journal);
            items.extend(tokio::time::timeout(LOOK, look).await.unwrap_or_else(|_| vec![late(&name)]));
        }
        items.into_iter().map(|item| item.of(&group.spec.name)).collect()
    }

    /// The ways out of the coordinators' own network interfaces, where the adapter is told of them.
    async fn hops(&self, name: &AdapterName, managed: &Managed) -> Vec<CheckItem> {
        let adapter = self.options.adapters.named(name);
        let Some(checks) = adapter.as_ref().and_then(|adapter| adapter.checks()) else { return Vec::new() };
        let nics = self.options.nics.get(name).filter(|nics| !nics.is_empty());
        let Some(nics) = nics else {
            let found = "the cloud was not asked how packets leave the coordinators";
            let advice = "name their network interfaces in coordinator_nics of the adapter: inside a cloud a \
                          machine's own routing table does not show through which appliance a route leads";
            return vec![CheckItem::warn(Check::WayToCloud, format!("adapter {name}"), found, advice)];
        };
        let mut hosts = Vec::new();
        for endpoint in checks.endpoints() {
            // One that has no address is told by the coordinators' own checks.
            let addresses = resolve(&endpoint).await.unwrap_or_default();
            hosts.push((Check::WayToCloud, endpoint.host, addresses));
        }
        let nodes = self.options.nodes.iter();
        hosts.extend(nodes.map(|(node, at)| (Check::WayToCoordinator, coordinator(*node), vec![at.ip()])));
        let asked = nics.iter().map(|(node, nic)| out_of(checks, *node, nic, &hosts, managed));
        let asked = join_all(asked);
        let told = tokio::time::timeout(LOOK, asked).await.unwrap_or_else(|_| vec![vec![late(name)]]);
        told.into_iter().flatten().collect()
    }

    /// Writes what there is. Nothing of a group that is moving.
    pub(super) async fn write_to_clouds(&self, groups: &[&Group]) -> Vec<CheckItem> {
        let writing = async {
            let mut items = Vec::new();
            for group in groups {
                items.extend(self.writes(group).await);
            }
            items
        };
        tokio::time::timeout(WRITES, writing).await.unwrap_or_else(|_| {
            let found = format!("the writes took longer than {} s", WRITES.as_secs());
            vec![CheckItem::warn(Check::Write, "all groups", found, "run it for one group at a time")]
        })
    }

    async fn writes(&self, group: &Group) -> Vec<CheckItem> {
        let name = &group.spec.name;
        let gate = AtRest { replica: self.options.replica.clone(), group: name.clone(), token: group.token };
        let journal = Journal::default();
        let mut items = Vec::new();
        for (adapter, bindings) in by_adapter(group) {
            let Some(adapter) = self.options.adapters.named(&adapter) else { continue };
            let subject = Subject { group: name, token: group.token, bindings: &bindings };
            items.extend(write_unchanged(&*adapter, subject, &gate, &journal).await);
        }
        items.into_iter().map(|item| item.of(name)).collect()
    }
}

async fn look_at(adapter: &dyn Adapter, subject: Subject<'_>, journal: &Journal) -> Vec<CheckItem> {
    match adapter.checks() {
        Some(checks) => checks.look(subject, journal).await,
        None => look_at_bindings(adapter, subject, journal, LOOK).await,
    }
}

/// One coordinator's ways, each to all addresses of a host.
async fn out_of(
    checks: &dyn Checks,
    node: NodeId,
    nic: &str,
    hosts: &[(Check, String, Vec<IpAddr>)],
    managed: &Managed,
) -> Vec<CheckItem> {
    let own = coordinator(node);
    let hosts = hosts.iter().filter(|(_, host, addresses)| *host != own && !addresses.is_empty());
    let all: Vec<IpAddr> = hosts.clone().flat_map(|(_, _, addresses)| addresses).copied().collect();
    let mut hops = match checks.hops(nic, &all, &Journal::default()).await {
        Ok(hops) => hops.into_iter(),
        Err(error) => {
            let advice = "permit networkInterfaces/effectiveRouteTable/action on it, or correct its id";
            return vec![CheckItem::warn(Check::WayToCloud, own, error.chain(), advice).seen_by(node)];
        }
    };
    hosts
        .map(|(check, host, addresses)| {
            let hops: Vec<_> = hops.by_ref().take(addresses.len()).collect();
            judge_hops(check.clone(), host.clone(), &hops, managed).seen_by(node)
        })
        .collect()
}

fn late(adapter: &AdapterName) -> CheckItem {
    let found = format!("looking took longer than {} s", LOOK.as_secs());
    let advice = "see whether the cloud is slow today, and run this again";
    CheckItem::warn(Check::Binding, format!("adapter {adapter}"), found, advice)
}

/// Lets a write through while this node leads and the group is at rest.
struct AtRest {
    replica: Replica,
    group: GroupName,
    token: Token,
}

impl Gate for AtRest {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async move {
            let confirmed = self.replica.confirm_leadership(CONFIRM).await;
            confirmed.map_err(|error| AdapterError::deposed(error.to_string()))?;
            let state = self.replica.state();
            let rests = |group: &Group| group.token == self.token && group.operation.is_none();
            if state.groups.get(&self.group).is_some_and(rests) {
                return Ok(());
            }
            Err(AdapterError::deposed(format!("group {} is moving", self.group)))
        }
        .boxed()
    }
}
