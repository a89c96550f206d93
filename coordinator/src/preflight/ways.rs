//! Whether a coordinator's way out leads through an appliance that it manages: when that appliance
//! dies, so does the way, and with it the power to move anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cloud_adapters::contract::{Endpoint, Hop};
use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::NodeId;
use coordinator_core::model::BindingKind;
use coordinator_core::state::State;

use super::coordinator;
use super::kernel::{FirstHop, Kernel, KernelError};

/// How long a name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);

/// Most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// The resolver's configuration. Names are asked of the servers in it.
const RESOLVER: &str = "/etc/resolv.conf";

/// Every address that is on an appliance, with whose it is: its own, its virtual ones, and those
/// to which routes are pointed.
pub(super) type Managed = BTreeMap<IpAddr, String>;

pub(super) fn managed(state: &State) -> Managed {
    let mut all = Managed::new();
    for pool in state.pools.values().map(|pool| &pool.spec) {
        let members = pool.members.iter();
        all.extend(members.map(|member| (member.address, format!("{} of pool {}", member.name, pool.name))));
    }
    for spec in state.groups.values().map(|group| &group.spec) {
        for appliance in &spec.appliances {
            let own = std::iter::once(appliance.address).chain(appliance.peer.iter().map(SocketAddr::ip));
            all.extend(own.map(|address| (address, format!("{} of group {}", appliance.name, spec.name))));
        }
        for binding in &spec.bindings {
            match &binding.kind {
                BindingKind::Vip { address, .. } => {
                    all.insert(
                        *address,
                        format!("the virtual address {} of group {}", binding.name, spec.name),
                    );
                }
                BindingKind::Route { targets, .. } => all.extend(targets.iter().map(|(appliance, hop)| {
                    (*hop, format!("the next hop {appliance} of group {}", spec.name))
                })),
                _ => {}
            }
        }
    }
    all
}

/// This machine's ways to the other coordinators and to the clouds, by its own kernel.
pub(super) async fn look(
    others: Vec<(NodeId, SocketAddr)>,
    endpoints: BTreeSet<Endpoint>,
    managed: &Managed,
) -> Vec<CheckItem> {
    let kernel = match Kernel::connect() {
        Ok(kernel) => kernel,
        Err(error) => {
            let found = crate::http::chain(&error);
            let advice = "check by hand that no way out of this machine leads through an appliance";
            return vec![CheckItem::warn(Check::WayToCoordinator, "this machine's routes", found, advice)];
        }
    };
    let mut items = Vec::new();
    for (node, address) in others {
        let hop = kernel.first_hop(address.ip()).await;
        items.push(judge(Check::WayToCoordinator, coordinator(node), &[(address.ip(), hop)], managed));
    }
    let named = endpoints.iter().any(|endpoint| endpoint.host.parse::<IpAddr>().is_err());
    for endpoint in endpoints {
        match resolve(&endpoint).await {
            Ok(addresses) => {
                let mut hops = Vec::new();
                for address in addresses {
                    hops.push((address, kernel.first_hop(address).await));
                }
                items.push(judge(Check::WayToCloud, endpoint.host, &hops, managed));
            }
            Err(why) => {
                let advice = "see that this machine can resolve names";
                items.push(CheckItem::fail(Check::WayToCloud, endpoint.host, why, advice));
            }
        }
    }
    if named {
        let file = tokio::fs::read_to_string(RESOLVER).await.unwrap_or_default();
        for server in name_servers(&file) {
            let hop = kernel.first_hop(server).await;
            items.push(judge(Check::WayToCloud, format!("name server {server}"), &[(server, hop)], managed));
        }
    }
    items
}

/// The addresses of a host.
pub(super) async fn resolve(endpoint: &Endpoint) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = endpoint.host.parse() {
        return Ok(vec![address]);
    }
    let asked = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
    let found = match tokio::time::timeout(RESOLVE, asked).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(format!("its name cannot be resolved: {error}")),
        Err(_) => return Err(format!("its name was not resolved within {} s", RESOLVE.as_secs())),
    };
    let found: BTreeSet<IpAddr> = found.map(|address| address.ip()).take(MAX_ADDRESSES).collect();
    if found.is_empty() { Err("its name has no address".to_owned()) } else { Ok(found.into_iter().collect()) }
}

fn name_servers(file: &str) -> Vec<IpAddr> {
    let servers = file.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    // Three is all that resolvers use.
    servers.filter_map(|rest| rest.trim().split('%').next()?.parse().ok()).take(3).collect()
}

/// What the first hops to the addresses of one host come to.
fn judge(
    check: Check,
    what: String,
    hops: &[(IpAddr, Result<FirstHop, KernelError>)],
    managed: &Managed,
) -> CheckItem {
    let mut unreachable = Vec::new();
    for (to, hop) in hops {
        let first = match hop {
            Ok(FirstHop::Via(router)) => *router,
            Ok(FirstHop::Direct) => *to,
            Ok(FirstHop::NoRoute) => {
                unreachable.push(*to);
                continue;
            }
            Err(error) => {
                let advice = "check by hand that it does not lead through an appliance";
                return CheckItem::warn(check, what, crate::http::chain(error), advice);
            }
        };
        if let Some(whose) = managed.get(&first) {
            return through(check, what, *to, first, whose);
        }
    }
    if unreachable.len() == hops.len() {
        let advice = "give this machine a route there that does not lead through an appliance";
        return CheckItem::fail(check, what, "there is no route to it", advice);
    }
    let via = hops.iter().find_map(|(_, hop)| match hop {
        Ok(FirstHop::Via(router)) => Some(format!("its way leads through {router}, which is no appliance")),
        _ => None,
    });
    CheckItem::pass(check, what, via.unwrap_or_else(|| "it is reached directly".to_owned()))
}

fn through(check: Check, what: String, to: IpAddr, first: IpAddr, whose: &str) -> CheckItem {
    let found = format!("the way to {to} leads through {first}, {whose}");
    let advice =
        "give it a way that does not: when that appliance dies, so does this way, and nothing can be moved";
    CheckItem::fail(check, what, found, advice)
}

/// What a cloud says of the ways out of a coordinator's network interface to one host.
pub(super) fn judge_hops(check: Check, what: String, hops: &[Hop], managed: &Managed) -> CheckItem {
    for hop in hops {
        if let Some((via, whose)) = hop.via.iter().find_map(|via| Some((via, managed.get(via)?))) {
            return through(check, what, hop.to, *via, whose);
        }
    }
    if let Some(hop) = hops.iter().find(|hop| hop.kind.is_none()) {
        let advice = "see the effective routes of that network interface";
        return CheckItem::warn(check, what, format!("no effective route leads to {}", hop.to), advice);
    }
    if let Some((hop, via)) = hops.iter().find_map(|hop| Some((hop, hop.via.first()?))) {
        let found = format!("the way to {} leads through {via}, which no group declares", hop.to);
        let advice = "see that it is neither an appliance nor a load balancer in front of appliances";
        return CheckItem::warn(check, what, found, advice);
    }
    let kind = hops.first().and_then(|hop| hop.kind.as_deref()).unwrap_or("nothing");
    CheckItem::pass(check, what, format!("by the effective routes its next hop is {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator_api::v1::CheckVerdict::{Fail, Pass, Warn};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn appliances() -> Managed {
        [(ip("10.0.0.4"), "fw-a of group dmz".to_owned())].into()
    }

    #[test]
    fn a_way_through_an_appliance_is_a_failure() {
        let judged = |hops: Vec<_>| judge(Check::WayToCloud, "arm".to_owned(), &hops, &appliances());
        let (to, router) = (ip("198.51.100.7"), ip("10.0.0.1"));
        let through = judged(vec![(to, Ok(FirstHop::Via(router))), (to, Ok(FirstHop::Via(ip("10.0.0.4"))))]);
        assert_eq!(through.verdict, Fail);
        assert_eq!(through.found, "the way to 198.51.100.7 leads through 10.0.0.4, fw-a of group dmz");
        assert_eq!(judged(vec![(to, Ok(FirstHop::Via(router)))]).verdict, Pass);
        assert_eq!(judged(vec![(to, Ok(FirstHop::Direct))]).verdict, Pass);
        // The host is itself on an appliance.
        assert_eq!(judged(vec![(ip("10.0.0.4"), Ok(FirstHop::Direct))]).verdict, Fail);
        // One address of several is enough.
        assert_eq!(judged(vec![(to, Ok(FirstHop::NoRoute)), (to, Ok(FirstHop::Direct))]).verdict, Pass);
        assert_eq!(judged(vec![(to, Ok(FirstHop::NoRoute))]).verdict, Fail);
        assert_eq!(judged(vec![(to, Err(KernelError::TimedOut))]).verdict, Warn);
    }

    #[test]
    fn effective_routes_are_judged_by_their_next_hops() {
        let judged = |kind: Option<&str>, via: &[&str]| {
            let via = via.iter().map(|hop| ip(hop)).collect();
            let hop = Hop { to: ip("198.51.100.7"), kind: kind.map(str::to_owned), via };
            judge_hops(Check::WayToCloud, "arm".to_owned(), &[hop], &appliances()).verdict
        };
        assert_eq!(judged(Some("Internet"), &[]), Pass);
        assert_eq!(judged(Some("VirtualAppliance"), &["10.0.0.4"]), Fail);
        assert_eq!(judged(Some("VirtualAppliance"), &["10.0.0.9"]), Warn);
        assert_eq!(judged(None, &[]), Warn);
    }

    #[test]
    fn name_servers_are_read_as_resolvers_do() {
        let file = "# nameserver 10.0.0.1\nsearch x\nnameserver 10.0.0.53\n nameserver fe80::1%eth0\nnameserver no\n";
        assert_eq!(name_servers(file), [ip("10.0.0.53"), ip("fe80::1")]);
    }

    #[tokio::test]
    async fn an_address_needs_no_name_server() {
        let endpoint = |host: &str| Endpoint { host: host.to_owned(), port: 443 };
        assert_eq!(resolve(&endpoint("::1")).await.unwrap(), [ip("::1")]);
        assert!(resolve(&endpoint("no such name.invalid")).await.is_err());
    }
}
