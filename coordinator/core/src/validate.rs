//! What a declaration of a group must fulfil: all faults at once, each with its path.
//!
//! `apply` refuses a faulty declaration, and the configuration reports the same faults with the
//! line that they stand in. Paths are those of [`GroupSpec`]: `appliances[0].probes[1].timeout`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{BindingKind, GroupSpec, ProbeKind, ProbeSpec};
use crate::reason::Span;

mod bindings;
mod cluster;
mod fencing;
mod gates;
mod paths;
mod peers;

pub use cluster::against;
pub use gates::{MAX_GATE_SOURCES, MAX_GATES};

/// Most appliances of a group.
pub const MAX_APPLIANCES: usize = 16;
/// Most probes of an appliance.
pub const MAX_PROBES: usize = 16;
/// Most bindings of a group.
pub const MAX_BINDINGS: usize = 256;
/// Most probes of the path through the active appliance.
pub const MAX_PATH_PROBES: usize = 8;
/// Most addresses on which an agent listens for its peers.
pub const MAX_PEER_ADDRESSES: usize = 2;
/// The shortest and the longest lease.
pub const LEASE_TTL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// The shortest and the longest probe interval and timeout.
pub const PROBE_TIME: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(600));
/// The shortest and the longest time ahead of what is announced.
pub const DRAIN_AHEAD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));
/// The largest clock drift, in parts per million: half as fast again.
pub const MAX_DRIFT_PPM: u32 = 500_000;

/// Something in a declaration that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecFault {
    /// Where in the [`GroupSpec`], for instance `bindings[0].targets`.
    pub path: String,
    /// What stands there.
    pub value: String,
    /// What must hold, for instance "must be shorter than the interval (1s)".
    pub rule: String,
}

impl fmt::Display for SpecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}; it {}", self.path, self.value, self.rule)
    }
}

/// The faults collected so far.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Vec<SpecFault>);

impl Faults {
    pub(crate) fn check(
        &mut self,
        holds: bool,
        path: impl fmt::Display,
        value: impl fmt::Display,
        rule: impl fmt::Display,
    ) {
        if !holds {
            self.0.push(SpecFault {
                path: path.to_string(),
                value: value.to_string(),
                rule: rule.to_string(),
            });
        }
    }

    pub(crate) fn within(
        &mut self,
        path: impl fmt::Display,
        value: Duration,
        (low, high): (Duration, Duration),
    ) {
        let rule = format!("must be from {} to {}", Span::from(low), Span::from(high));
        self.check((low..=high).contains(&value), path, Span::from(value), rule);
    }

    pub(crate) fn count(&mut self, path: impl fmt::Display, len: usize, low: usize, high: usize) {
        let value = format!("a list of {len}");
        self.check(
            (low..=high).contains(&len),
            path,
            value,
            format!("must have from {low} to {high} entries"),
        );
    }
}

/// Everything that is wrong with a group by itself; see [`against`] for what it must not share
/// with other groups.
pub fn group(spec: &GroupSpec) -> Vec<SpecFault> {
    let mut faults = Faults::default();
    faults.count("appliances", spec.appliances.len(), 2, MAX_APPLIANCES);
    faults.count("bindings", spec.bindings.len(), 1, MAX_BINDINGS);
    appliances(&mut faults, spec);
    bindings::check(&mut faults, spec);
    gates::check(&mut faults, spec);
    peers::check(&mut faults, spec);
    fencing::check(&mut faults, spec);
    paths::check(&mut faults, spec);
    policy(&mut faults, spec);
    faults.0
}

fn appliances(faults: &mut Faults, spec: &GroupSpec) {
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for (i, appliance) in spec.appliances.iter().enumerate() {
        let at = format!("appliances[{i}]");
        let fresh = names.insert(&appliance.name);
        faults.check(fresh, format!("{at}.name"), &appliance.name, "must be unique in the group");
        let fresh = addresses.insert(appliance.address);
        faults.check(fresh, format!("{at}.address"), appliance.address, "must be unique in the group");
        probes(faults, &at, &appliance.probes);
    }
}

pub(crate) fn probes(faults: &mut Faults, at: &str, probes: &[ProbeSpec]) {
    faults.count(format!("{at}.probes"), probes.len(), 1, MAX_PROBES);
    let mut names = BTreeSet::new();
    for (i, spec) in probes.iter().enumerate() {
        let at = format!("{at}.probes[{i}]");
        let fresh = names.insert(&spec.name);
        faults.check(fresh, format!("{at}.name"), &spec.name, "must be unique for the appliance");
        probe(faults, &at, spec);
    }
}

fn probe(faults: &mut Faults, at: &str, spec: &ProbeSpec) {
    faults.within(format!("{at}.interval"), spec.interval, PROBE_TIME);
    faults.within(format!("{at}.timeout"), spec.timeout, PROBE_TIME);
    faults.check(spec.rise >= 1, format!("{at}.rise"), spec.rise, "must be at least 1");
    faults.check(spec.fall >= 1, format!("{at}.fall"), spec.fall, "must be at least 1");
    // A heartbeat's timeout is an age, and may well span several intervals.
    if !matches!(spec.kind, ProbeKind::AgentHeartbeat) {
        let rule = format!("must be shorter than the interval ({})", Span::from(spec.interval));
        let shorter = spec.timeout < spec.interval;
        faults.check(shorter, format!("{at}.timeout"), Span::from(spec.timeout), rule);
    }
    if let ProbeKind::Http { url, status, .. } = &spec.kind {
        let http = url.starts_with("http://") || url.starts_with("https://");
        faults.check(http, format!("{at}.url"), format!("{url:?}"), "must start with http:// or https://");
        let known = (100..=599).contains(status);
        faults.check(known, format!("{at}.status"), status, "must be an HTTP status from 100 to 599");
    }
}

fn policy(faults: &mut Faults, spec: &GroupSpec) {
    let policy = &spec.policy;
    faults.check(policy.flap_moves >= 1, "policy.flap_moves", policy.flap_moves, "must be at least 1");
    for (path, value) in [
        ("policy.flap_window", policy.flap_window),
        ("policy.operation_timeout", policy.operation_timeout),
        ("policy.freshness", policy.freshness),
    ] {
        faults.check(!value.is_zero(), path, Span::from(value), "must be more than 0");
    }
    faults.within("policy.drain_ahead", policy.drain_ahead, DRAIN_AHEAD);
    faults.within("lease.ttl", spec.lease.ttl, LEASE_TTL);
    let drift = spec.lease.drift_ppm;
    faults.check(
        drift <= MAX_DRIFT_PPM,
        "lease.drift_ppm",
        drift,
        format!("must be at most {MAX_DRIFT_PPM}"),
    );
}

/// Whether `a` and `b` lie in one subnet of `prefix_len` bits; false across address families.
fn same_subnet(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    ipnet::IpNet::new(a, prefix_len).is_ok_and(|net| net.contains(&b))
}
