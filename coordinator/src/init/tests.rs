//! A cluster is whole and usable, or there is none.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;

use config::{Summary, check};
use coordinator_api::tls::{Identity, PeerIdentity};

use super::*;

#[test]
fn a_new_cluster_is_complete_and_everything_in_it_loads() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(&dir.path().join("north"));
    let report = run(&options).unwrap();
    assert_eq!((report.nodes.len(), report.agents.len()), (3, 1));
    for (id, file) in &report.nodes {
        let config = config::load_coordinator(file).unwrap();
        assert_eq!((config.node, &config.cluster_id), (*id, &report.cluster_id));
        let material = material(&config.tls);
        let cluster_id = report.cluster_id.to_string();
        assert_eq!(*material.identity(), Identity { cluster_id, peer: PeerIdentity::Node(*id) });
    }
    let agent = config::load_agent(&report.agents[&options.agents[0].appliance]).unwrap();
    assert_eq!(material(&agent.tls).identity().peer, PeerIdentity::Agent(agent.appliance));
    assert!(matches!(check(&report.cli), Ok(Summary::Cli { endpoints: 3 })));
}

#[test]
fn the_token_is_in_no_file_and_in_no_debug_output() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(&dir.path().join("north"));
    let report = run(&options).unwrap();
    let secret = report.token.expose();
    assert_eq!(secret.len(), "pointsman_".len() + 64);
    assert!(!format!("{report:?}").contains(secret));
    let config = config::load_coordinator(&report.nodes[&NodeId(1)]).unwrap();
    let hash: String = config.tokens[0].sha256.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hash, secret::sha256(&report.token));
    for file in report.nodes.values().chain(report.agents.values()).chain([&report.cli]) {
        assert!(!std::fs::read_to_string(file).unwrap().contains(secret), "{}", file.display());
    }
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(&options(&dir.path().join("north"))).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&report.ca_key), 0o600);
    for file in report.nodes.values() {
        assert_eq!(mode(&file.with_file_name("node.key")), 0o600);
    }
    assert_eq!(mode(&dir.path().join("north")), 0o700);
}

#[test]
fn a_directory_with_something_in_it_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "x").unwrap();
    assert!(matches!(run(&options(dir.path())), Err(InitError::Exists { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_directory_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("north");
    std::fs::create_dir(&target).unwrap();
    assert!(run(&options(&target)).is_ok());
}

#[test]
fn options_that_a_daemon_would_refuse_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir.path().join("north"));
    options.declarations = "[[group]]\nname = \"No Good\"".to_owned();
    match run(&options) {
        Err(InitError::Config(faults)) => assert!(faults.to_string().contains("No Good"), "{faults}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn nodes_that_share_an_address_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir.path().join("north"));
    let first = options.nodes[&NodeId(1)];
    options.nodes.insert(NodeId(2), first);
    assert!(matches!(run(&options), Err(InitError::Config(_))));
    options.nodes.clear();
    assert!(matches!(run(&options), Err(InitError::NoNodes)));
}

#[test]
fn one_machine_can_hold_a_whole_cluster_on_ports_of_its_choice() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir.path().join("demo"));
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for (id, port) in [(1, 9001), (2, 9003), (3, 9005)] {
        options.nodes.insert(NodeId(id), Node { cluster: at(port), api: at(port + 1) });
    }
    options.data_dir = PathBuf::from("data");
    let report = run(&options).unwrap();
    let config = config::load_coordinator(&report.nodes[&NodeId(2)]).unwrap();
    assert_eq!(config.listen.api, at(9004));
    assert_eq!(config.data_dir, dir.path().join("demo/node-2/data"));
}

#[test]
fn certificates_name_the_addresses_that_their_owners_answer_at_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir.path().join("north"));
    options.agents[0].health = Some(SocketAddr::from(([10, 9, 9, 9], 7402)));
    run(&options).unwrap();
    let named = |file: &str| {
        let pem = std::fs::read(options.dir.join(file)).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let addresses = names.value.general_names.iter().filter_map(|name| match name {
            x509_parser::extensions::GeneralName::IPAddress(bytes) => Some(bytes.to_vec()),
            _ => None,
        });
        addresses.filter(|bytes| bytes.len() == 4).collect::<Vec<_>>()
    };
    assert_eq!(named("node-2/node.pem"), [[10, 0, 0, 12], [127, 0, 0, 1]]);
    assert_eq!(named("agent-fw-a/agent.pem"), [[10, 0, 0, 4], [10, 9, 9, 9]]);
}

fn options(dir: &Path) -> InitOptions {
    let mut options = InitOptions::new(dir);
    for id in 1..=3_u8 {
        let at = |port| SocketAddr::from(([10, 0, 0, 10 + id], port));
        let node = Node { cluster: at(CLUSTER_PORT), api: at(API_PORT) };
        options.nodes.insert(NodeId(u64::from(id)), node);
    }
    let mut agent = AgentOptions::new(ApplianceName::new("fw-a").unwrap());
    agent.address = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4)));
    agent.interfaces.push("eth0".to_owned());
    options.agents.push(agent);
    options
}

fn material(tls: &config::TlsPaths) -> coordinator_api::tls::TlsMaterial {
    coordinator_api::tls::TlsMaterial::load(&coordinator_api::tls::TlsFiles {
        ca: tls.ca.clone(),
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
    })
    .unwrap()
}
