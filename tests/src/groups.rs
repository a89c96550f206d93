//! Groups as an operator would write them.

use std::net::Ipv4Addr;

/// The pair's name.
pub const PAIR: &str = "dmz";

/// The port of the pair's service.
pub const SERVICE: u16 = 7000;

/// Two appliances and a VIP, watched often: a few missed samples, not seconds, make a verdict.
pub fn pair(appliances: [(&str, Ipv4Addr); 2], vip: Ipv4Addr, prefix_len: u8, interface: &str) -> String {
    let mut text = format!(
        r#"
[[group]]
name = "{PAIR}"
# Scenario follows scenario: nothing here is flapping.
policy = {{ flap_moves = 100 }}
lease = {{ ttl = "3s" }}

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
