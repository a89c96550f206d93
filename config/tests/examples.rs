//! The examples are what people copy: all of them are right.

use std::path::{Path, PathBuf};

use config::{Summary, check};
use coordinator_core::model::{BindingKind, Policy, ProbeKind};
use coordinator_core::pool::{PoolPolicy, Side};

#[test]
fn every_example_passes_the_check() {
    let mut kinds = [0; 4];
    for file in std::fs::read_dir(example("")).unwrap() {
        let file = file.unwrap().path();
        match check(&file).unwrap_or_else(|faults| panic!("{faults}")) {
            Summary::Coordinator { .. } => kinds[0] += 1,
            Summary::Agent { .. } => kinds[1] += 1,
            Summary::Cli { .. } => kinds[2] += 1,
            Summary::Groups { .. } => kinds[3] += 1,
        }
    }
    assert_eq!(kinds, [1, 1, 1, 4]);
}

#[test]
fn the_coordinators_example_means_what_it_says() {
    let config = config::load_coordinator(&example("coordinator.toml")).unwrap();
    assert_eq!((config.node.0, config.nodes.len(), config.adapters.len()), (1, 3, 2));
    assert_eq!(config.listen.api.to_string(), "10.0.0.11:7400");
    assert_eq!(config.tls.key, example("node.key"), "relative to the file");
    assert_eq!(config.data_dir, Path::new("/var/lib/pointsman"), "absolute as it is");
    assert_eq!(config.raft, config::coordinator::RaftTiming::default(), "the example shows the defaults");
}

#[test]
fn the_vip_example_means_what_it_says() {
    let groups = config::load_declarations(&example("groups-vip.toml")).unwrap().groups;
    let group = &groups[0];
    let shown = Policy { failback: group.policy.failback, ..Policy::default() };
    assert_eq!(group.policy, shown, "the example shows the defaults, but for the failback");
    let ssh = &group.appliances[0].probes[1];
    assert_eq!(ssh.kind, ProbeKind::Tcp { address: "10.0.1.4:22".parse().unwrap() });
    let interfaces = |i: usize| match &group.bindings[i].kind {
        BindingKind::Vip { interfaces, prefix_len: 24, .. } => {
            interfaces.values().cloned().collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(interfaces(0), ["eth0", "eth0"]);
    assert_eq!(interfaces(1), ["ens3", "ens4"]);
}

#[test]
fn the_balanced_example_means_what_it_says() {
    let groups = config::load_declarations(&example("groups-balanced.toml")).unwrap().groups;
    let BindingKind::ProbeGate(gate) = &groups[0].bindings[0].kind else { panic!("{groups:?}") };
    assert_eq!(gate.to_string(), "http 8686 /ready");
    assert!(gate.admits([168, 63, 129, 16].into()) && !gate.admits([168, 63, 129, 17].into()));
    assert!(groups[0].needs_lease());
}

#[test]
fn the_pool_example_means_what_it_says() {
    let declared = config::load_declarations(&example("pools-azure.toml")).unwrap();
    let pool = &declared.pools[0];
    assert!(declared.groups.is_empty());
    assert_eq!(pool.policy, PoolPolicy::default(), "the example shows the defaults");
    assert_eq!(pool.sides().map(|(side, _)| side).collect::<Vec<_>>(), [Side::Ingress, Side::Egress]);
    assert_eq!((pool.members.len(), pool.max_out()), (3, 2));
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}
