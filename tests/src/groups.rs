//! Groups as an operator would write them.

use std::net::Ipv4Addr;
use std::time::Duration;

use coordinator_api::v1::{ApplianceRole, GroupStatus};
use coordinator_core::observe::Verdict;

/// The pair's name.
pub const PAIR: &str = "dmz";

/// The port of the pair's service.
pub const SERVICE: u16 = 7000;

/// The port on which the agents of a pair listen for each other.
pub const PEER: u16 = 7403;

/// Two appliances and a VIP whose active goes on without a quorum while its peer promises to
/// accept no lease. Only the agents' reports say how the appliances are.
pub fn failsafe_pair(
    appliances: [(&str, Ipv4Addr); 2],
    vip: Ipv4Addr,
    prefix_len: u8,
    interface: &str,
    lease: Duration,
) -> String {
    let lease = lease.as_millis();
    let mut text = format!(
        r#"
[[group]]
name = "{PAIR}"
policy = {{ flap_moves = 100, quorum_loss = "failsafe" }}
lease = {{ ttl = "{lease}ms" }}

[[group.binding]]
name = "inside"
kind = "vip"
address = "{vip}/{prefix_len}"
interface = "{interface}"
"#
    );
    for (name, address) in appliances {
        text += &format!(
            r#"
[[group.appliance]]
name = "{name}"
address = "{address}"
peer = ["{address}:{PEER}"]
probe = [{{ kind = "agent-heartbeat", interval = "200ms", timeout = "1s", rise = 2, fall = 2 }}]
"#
        );
    }
    text
}

/// Two appliances and a VIP with a lease of 3 s, watched often: a few missed samples, not seconds,
/// make a verdict.
pub fn pair(appliances: [(&str, Ipv4Addr); 2], vip: Ipv4Addr, prefix_len: u8, interface: &str) -> String {
    leased_pair(appliances, vip, prefix_len, interface, Duration::from_secs(3))
}

/// The same with another lease.
pub fn leased_pair(
    appliances: [(&str, Ipv4Addr); 2],
    vip: Ipv4Addr,
    prefix_len: u8,
    interface: &str,
    lease: Duration,
) -> String {
    let lease = lease.as_millis();
    let mut text = format!(
        r#"
[[group]]
name = "{PAIR}"
# Scenario follows scenario: nothing here is flapping.
policy = {{ flap_moves = 100 }}
lease = {{ ttl = "{lease}ms" }}

[[group.binding]]
name = "inside"
kind = "vip"
address = "{vip}/{prefix_len}"
interface = "{interface}"
"#
    );
    for (name, address) in appliances {
        text += &format!(
            r#"
[[group.appliance]]
name = "{name}"
address = "{address}"
probe = [
    {{ kind = "agent-heartbeat", interval = "200ms", timeout = "1s", rise = 2, fall = 2 }},
    {{ kind = "tcp", port = {SERVICE}, interval = "250ms", timeout = "200ms", rise = 2, fall = 3 }},
]
"#
        );
    }
    text
}

/// Two appliances behind a load balancer: a TCP and an HTTP probe gate, answered to `from` alone, and
/// nothing else. Only the agents' reports say how the appliances are.
pub fn balanced_pair(
    appliances: [(&str, Ipv4Addr); 2],
    tcp: u16,
    http: u16,
    from: Ipv4Addr,
    lease: Duration,
) -> String {
    let lease = lease.as_millis();
    let mut text = format!(
        r#"
[[group]]
name = "{PAIR}"
policy = {{ flap_moves = 100 }}
lease = {{ ttl = "{lease}ms" }}
binding = [
    {{ name = "by-tcp", kind = "probe-gate", port = {tcp}, protocol = "tcp", from = ["{from}"] }},
    {{ name = "by-http", kind = "probe-gate", port = {http}, protocol = "http", path = "/ready", from = ["{from}"] }},
]
"#
    );
    for (name, address) in appliances {
        text += &format!(
            r#"
[[group.appliance]]
name = "{name}"
address = "{address}"
probe = [{{ kind = "agent-heartbeat", interval = "200ms", timeout = "1s", rise = 2, fall = 2 }}]
"#
        );
    }
    text
}

/// A group number `number` whose appliances do not exist: `<name>-a` and `<name>-b`.
pub fn unwatched(name: &str, number: usize) -> String {
    let addresses = [(format!("{name}-a"), 21), (format!("{name}-b"), 22)];
    let mut text = format!(
        r#"
[[group]]
name = "{name}"

[[group.binding]]
name = "inside"
kind = "vip"
address = "10.99.{number}.100/24"
interface = "eth0"
"#
    );
    for (appliance, host) in addresses {
        text += &format!(
            r#"
[[group.appliance]]
name = "{appliance}"
address = "10.99.{number}.{host}"
probe = [{{ kind = "agent-heartbeat" }}]
"#
        );
    }
    text
}

/// Both are up, their agents are well, one holds the VIPs under the group's newest token and the
/// other one stands by.
pub fn ready(group: &GroupStatus) -> bool {
    let token = group.summary.token;
    group.running.is_none()
        && group.members.iter().all(|member| {
            let Some(agent) = &member.agent else { return false };
            let active = group.summary.active.as_ref() == Some(&member.name);
            let part = if active { ApplianceRole::Active } else { ApplianceRole::Standby };
            member.verdict == Verdict::Up
                && member.role == part
                && agent.faults.is_empty()
                && agent.vips_up == active
                && agent.highest == token
                && agent.holding == active.then_some(token)
        })
}
