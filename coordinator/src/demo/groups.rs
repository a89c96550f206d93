//! The demo's one group, as an operator would write it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The group's name.
pub(super) const GROUP: &str = "dmz";

/// The appliances, the preferred one first.
pub(super) const APPLIANCES: [&str; 2] = ["fw-a", "fw-b"];

/// The public IP's id in the simulated cloud.
pub(super) const PUBLIC_IP: &str = "pip-dmz";

/// The route table and its route.
pub(super) const ROUTE: (&str, &str) = ("rt-spoke", "default");

/// The appliance's address inside the simulated network.
pub(super) fn private_address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, if index == 0 { 4 } else { 5 }))
}

/// `[[group]]` for the configuration files. `services` are where the appliances answer.
pub(super) fn toml(services: [SocketAddr; 2]) -> String {
    let [a, b] = APPLIANCES;
    let mut text = format!(
        r#"
[[group]]
name = "{GROUP}"
policy = {{ failover = "automatic", failback = "manual", freshness = "1s", flap_moves = 10 }}
"#
    );
    for (index, (name, service)) in APPLIANCES.iter().zip(services).enumerate() {
        text.push_str(&format!(
            r#"
[[group.appliance]]
name = "{name}"
address = "{address}"
probe = [
    {{ kind = "tcp", address = "{service}", interval = "100ms", timeout = "80ms", rise = 2, fall = 3 }},
    {{ kind = "agent-heartbeat", interval = "100ms", timeout = "500ms", rise = 2, fall = 2 }},
]
"#,
            address = private_address(index),
        ));
    }
    let (table, route) = ROUTE;
    let [hop_a, hop_b] = [private_address(0), private_address(1)];
    text.push_str(&format!(
        r#"
[[group.binding]]
name = "public-ip"
kind = "public-ip"
adapter = "simulated"
resource = "{PUBLIC_IP}"
targets = {{ {a} = "nic-{a}/ipconfig1", {b} = "nic-{b}/ipconfig1" }}

[[group.binding]]
name = "default-route"
kind = "route"
adapter = "simulated"
table = "{table}"
route = "{route}"
targets = {{ {a} = "{hop_a}", {b} = "{hop_b}" }}
"#
    ));
    text
}
