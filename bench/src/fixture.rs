//! Groups to measure with.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use coordinator::raft::codec::{self, CodecError};
use coordinator::raft::types::{Entry, Proposal, log_id};
use coordinator_core::command::{Actor, Command, CommandBody};
use coordinator_core::ids::NameError;
use coordinator_core::model::{
    ApplianceSpec, BindingKind, BindingSpec, GroupSpec, LeaseSpec, Policy, ProbeKind, ProbeSpec, Trigger,
};
use coordinator_core::time::WallTime;
use openraft::EntryPayload;

/// The groups of a cluster: each has two appliances, a public IP and a route.
///
/// # Errors
/// Never: the names are names.
pub fn groups(count: u16) -> Result<Vec<GroupSpec>, NameError> {
    (0..count).map(group).collect()
}

fn group(number: u16) -> Result<GroupSpec, NameError> {
    let name = format!("group-{number}");
    let [high, low] = number.to_be_bytes();
    let address = |host: u8| IpAddr::V4(Ipv4Addr::new(10 + host, 0, high, low));
    let appliance = |suffix: &str, host: u8| {
        Ok(ApplianceSpec {
            name: format!("{name}-{suffix}").parse()?,
            address: address(host),
            probes: vec![ProbeSpec {
                name: "agent".parse()?,
                kind: ProbeKind::AgentHeartbeat,
                interval: Duration::from_millis(200),
                timeout: Duration::from_millis(600),
                rise: 2,
                fall: 2,
            }],
            peer: Vec::new(),
            fence: None,
        })
    };
    let appliances = vec![appliance("a", 1)?, appliance("b", 2)?];
    let public_ip = BindingKind::PublicIp {
        adapter: "cloud".parse()?,
        resource: format!("pip-{name}"),
        targets: appliances.iter().map(|a| (a.name.clone(), format!("nic-{}", a.name))).collect(),
    };
    let route = BindingKind::Route {
        adapter: "cloud".parse()?,
        table: format!("rt-{name}"),
        route: "default".to_owned(),
        targets: appliances.iter().map(|a| (a.name.clone(), a.address)).collect(),
    };
    Ok(GroupSpec {
        name: name.parse()?,
        appliances,
        bindings: vec![
            BindingSpec { name: "public-ip".parse()?, kind: public_ip },
            BindingSpec { name: "route".parse()?, kind: route },
        ],
        policy: Policy::default(),
        lease: LeaseSpec::default(),
        path_probes: Vec::new(),
    })
}

/// An operator's command.
pub fn command(body: CommandBody) -> Command {
    Command { at: WallTime(1), actor: Actor::Operator("bench".to_owned()), body }
}

/// A small command that changes the state: the mode of `group`, manual and automatic in turns.
pub fn turn(group: &GroupSpec, number: u64) -> Command {
    let mode = if number.is_multiple_of(2) { Trigger::Manual } else { Trigger::Automatic };
    let reason = format!("change {number:>10} {}", "of a length that a person might well type".repeat(4));
    command(CommandBody::SetMode { group: group.name.clone(), mode, reason })
}

/// The log entry of such a command.
pub fn entry(group: &GroupSpec, index: u64) -> Entry {
    let payload = EntryPayload::Normal(Proposal(turn(group, index)));
    Entry { log_id: log_id(1, index), payload }
}

/// The bytes of one batch of the log: its header and the entries.
///
/// # Errors
/// An entry is too large for the log.
pub fn batch_bytes(entries: &[Entry]) -> Result<usize, CodecError> {
    const HEADER: usize = 40;
    entries.iter().try_fold(HEADER, |bytes, entry| Ok(bytes + codec::encode(entry)?.len()))
}
