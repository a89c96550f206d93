//! The rules for the probes of the path through the active appliance.

use std::collections::BTreeSet;

use super::{Faults, MAX_PATH_PROBES, probe};
use crate::model::{GroupSpec, ProbeKind};

pub(super) fn check(faults: &mut Faults, spec: &GroupSpec) {
    faults.count("path_probes", spec.path_probes.len(), 0, MAX_PATH_PROBES);
    let rule = "must be false in a group without path probes: nothing would decide";
    let needless = spec.policy.path_decides && spec.path_probes.is_empty();
    faults.check(!needless, "policy.path_decides", "true", rule);
    let mut names = BTreeSet::new();
    for (i, path) in spec.path_probes.iter().enumerate() {
        let at = format!("path_probes[{i}]");
        let fresh = names.insert(&path.name);
        faults.check(fresh, format!("{at}.name"), &path.name, "must be unique among the path's probes");
        probe(faults, &at, path);
        let rule = "must be \"tcp\" or \"http\": a heartbeat does not go through the appliance";
        let through = !matches!(path.kind, ProbeKind::AgentHeartbeat);
        faults.check(through, format!("{at}.kind"), "\"agent-heartbeat\"", rule);
        let host = path.kind.host();
        let own = spec.appliances.iter().find(|a| host == Some(a.address));
        if let Some(own) = own {
            let field = if matches!(path.kind, ProbeKind::Tcp { .. }) { "address" } else { "url" };
            let rule = format!(
                "must be reached through the active appliance, and the own address of {} is not",
                own.name
            );
            faults.check(false, format!("{at}.{field}"), own.address, rule);
        }
    }
}
