//! Lists of a coordinator's configuration, and the relations between its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use coordinator_core::ids::{AdapterName, NodeId};
use coordinator_core::model::GroupSpec;

use super::{AdapterKind, ApiToken, MAX_NODES, Node, RaftTiming, azure, token};
use crate::decode::{Report, Table};
use crate::duration::Span;
use crate::groups::locate;

/// All coordinators, `own` among them.
pub(super) fn nodes(file: &mut Table<'_>, own: Option<NodeId>) -> Option<BTreeMap<NodeId, Node>> {
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeMap::new());
    let all = file.each("node", |t| {
        let (id, cluster, api) = (t.required("id"), t.required("cluster"), t.required("api"));
        if let Some(id) = id
            && !ids.insert(id)
        {
            t.fault("id", &format!("{id}"), "must be unique: another coordinator has this id");
        }
        for (key, address) in [("cluster", cluster), ("api", api)] {
            if let Some(address) = address {
                reachable(t, key, address);
                if let Some(taken) = addresses.insert(address, id) {
                    let by = taken.map_or("another one".to_owned(), |id: NodeId| format!("node {id}"));
                    let rule = format!("must be unique: {by} has this address already");
                    t.fault(key, &format!("\"{address}\""), &rule);
                }
            }
        }
        Some((id?, Node { cluster: cluster?, api: api? }))
    })?;
    if all.is_empty() {
        file.missing("node", "must list every coordinator, this one included, each as [[node]]");
        return None;
    }
    if all.len() > MAX_NODES {
        file.fault(
            "node",
            &format!("a list of {}", all.len()),
            &format!("must have at most {MAX_NODES} entries"),
        );
    }
    if let Some(own) = own
        && !ids.contains(&own)
    {
        let known: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let rule = format!("must be the id of one of [[node]]: {}", known.join(", "));
        file.fault("cluster.node", &own.to_string(), &rule);
    }
    Some(all.into_iter().collect())
}

/// Others dial this address, so it has to be the address of one machine.
fn reachable(t: &Table<'_>, key: &str, address: SocketAddr) {
    let ip: IpAddr = address.ip();
    if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
        let rule = "must be an address and a port that the others can reach; to listen on all addresses, use [listen]";
        t.fault(key, &format!("\"{address}\""), rule);
    }
}

/// At least one token: nobody could use the API without.
pub(super) fn tokens(file: &mut Table<'_>) -> Option<Vec<ApiToken>> {
    let mut names = BTreeSet::new();
    let tokens = file.each("token", |t| {
        let token = token(t)?;
        if !names.insert(token.name.clone()) {
            t.fault(
                "name",
                &format!("{:?}", token.name),
                "must be unique: it stands in the history as the actor",
            );
        }
        Some(token)
    })?;
    if tokens.is_empty() {
        file.missing("token", "must list at least one API token as [[token]] with name and sha256");
    }
    Some(tokens)
}

/// The connections to clouds.
pub(super) fn adapters(report: &Report, file: &mut Table<'_>) -> Option<BTreeMap<AdapterName, AdapterKind>> {
    let mut names = BTreeSet::new();
    let adapters = file.each("adapter", |t| {
        let name = t.required::<AdapterName>("name");
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            t.fault("name", &format!("\"{name}\""), "must be unique");
        }
        let kind = t.required::<String>("kind");
        let kind = match kind.as_deref() {
            Some("simulated") => simulated(t),
            Some("azure") => azure::read(report, t).map(|azure| AdapterKind::Azure(Box::new(azure))),
            Some(other) => {
                t.fault("kind", &format!("{other:?}"), "must be \"azure\" or \"simulated\"");
                t.allow_all();
                None
            }
            None => None,
        };
        Some((name?, kind?))
    })?;
    Some(adapters.into_iter().collect())
}

fn simulated(t: &mut Table<'_>) -> Option<AdapterKind> {
    let url = t.required::<String>("url")?;
    if !url.starts_with("http://") {
        t.fault("url", &format!("{url:?}"), "must start with http://");
    }
    Some(AdapterKind::Simulated { url })
}

/// What groups must fulfil beside this coordinator's clocks.
pub(super) fn leases(report: &Report, file: &Table<'_>, groups: &[GroupSpec], raft: &RaftTiming) {
    let shortest = raft.shortest_lease();
    for (index, group) in groups.iter().enumerate() {
        let accepted = group.lease.accept_outage_on_leader_change;
        if group.needs_lease() && group.lease.ttl < shortest && !accepted {
            let rule = format!(
                "must be at least twice raft.election_max ({}) and 100ms, which is {}, \
                 so that a change of leader does not cost a healthy appliance its VIPs; \
                 accept_outage_on_leader_change = true beside it accepts that it does",
                Span(raft.election_max),
                Span(shortest)
            );
            locate::fault(report, file, index, "lease.ttl", &Span(group.lease.ttl).to_string(), &rule);
        }
    }
}
