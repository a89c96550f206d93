//! The rules for probe gates.

use std::net::IpAddr;

use super::Faults;
use crate::model::{BindingKind, GateProtocol, GateSpec, GroupSpec, ProbeKind};

/// Most probe gates of a group.
pub const MAX_GATES: usize = 8;
/// Most entries of a gate's list of who is answered.
pub const MAX_GATE_SOURCES: usize = 16;
/// Most bytes of the path that a gate answers.
const MAX_PATH: usize = 256;

pub(super) fn check(faults: &mut Faults, spec: &GroupSpec) {
    let gates = spec.bindings.iter().filter(|b| matches!(b.kind, BindingKind::ProbeGate(_))).count();
    let rule = format!("must have at most {MAX_GATES} probe gates");
    faults.check(gates <= MAX_GATES, "bindings", format!("a list with {gates}"), rule);
}

pub(super) fn gate(faults: &mut Faults, at: &str, spec: &GroupSpec, gate: &GateSpec) {
    let path = format!("{at}.port");
    faults.check(gate.port != 0, &path, gate.port, "must be from 1 to 65535");
    if let GateProtocol::Http { path } = &gate.protocol {
        let plain = path.starts_with('/')
            && path.len() <= MAX_PATH
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        let rule =
            format!("must begin with / and have at most {MAX_PATH} ASCII characters, no blank, ? or #");
        faults.check(plain, format!("{at}.path"), format!("{path:?}"), rule);
    }
    faults.count(format!("{at}.from"), gate.from.len(), 0, MAX_GATE_SOURCES);
    for net in &gate.from {
        let rule = format!("must have no bits beyond its prefix, as in {}", net.trunc());
        faults.check(*net == net.trunc(), format!("{at}.from"), net, rule);
    }
    for appliance in &spec.appliances {
        let name = &appliance.name;
        for peer in appliance.peer.iter().filter(|peer| peer.port() == gate.port) {
            let rule = format!("must differ from the port of {name}'s agent for its peers ({peer})");
            faults.check(false, &path, gate.port, rule);
        }
        for probe in appliance.probes.iter().filter(|probe| asks(&probe.kind, appliance.address, gate.port)) {
            let rule = format!(
                "must differ from the port that the probe {} of {name} asks: a standby answers nothing here, and \
                 would count as down",
                probe.name
            );
            faults.check(false, &path, gate.port, rule);
        }
    }
}

/// Whether a probe asks this port at the appliance's own address.
fn asks(kind: &ProbeKind, own: IpAddr, port: u16) -> bool {
    kind.host() == Some(own) && kind.port() == Some(port)
}
