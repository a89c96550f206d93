//! The demo's cluster: made by the same code as `pointsman init`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use config::coordinator::Node;
use coordinator_api::client::Client;
use coordinator_core::ids::NodeId;

use super::groups::{self, APPLIANCES};
use crate::init::{self, AgentOptions, InitOptions};

/// What was made.
pub(super) struct Cluster {
    pub(super) nodes: Vec<NodeId>,
    pub(super) client: Client,
}

/// The cluster's directory below the demo's.
pub(super) fn directory(demo: &Path) -> PathBuf {
    demo.join("cluster")
}

/// The file with the first token: only the owner can read it.
pub(super) fn token_file(demo: &Path) -> PathBuf {
    directory(demo).join("token")
}

/// Creates certificates and configurations for three coordinators and two agents on loopback.
pub(super) fn create(demo: &Path, cloud: &str, services: [SocketAddr; 2]) -> anyhow::Result<Cluster> {
    let addresses: [SocketAddr; 6] = free_addresses()?;
    let pairs = addresses.chunks_exact(2).map(|pair| Node { cluster: pair[0], api: pair[1] });
    let nodes: BTreeMap<_, _> = (1..).map(NodeId).zip(pairs).collect();
    let mut options = InitOptions::new(directory(demo));
    options.name = "demo".to_owned();
    options.data_dir = PathBuf::from("data");
    options.nodes.clone_from(&nodes);
    options.declarations =
        format!("[[adapter]]\nname = \"simulated\"\nkind = \"simulated\"\nurl = \"{cloud}\"\n")
            + &groups::toml(services);
    for name in APPLIANCES {
        let mut agent = AgentOptions::new(name.parse()?);
        agent.report_interval = Duration::from_millis(100);
        agent.state_dir = PathBuf::from("state");
        options.agents.push(agent);
    }
    let report = init::run(&options).context("the demo's cluster could not be created")?;
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(token_file(demo))
        .context("the demo's token could not be kept")?;
    writeln!(file, "{}", report.token.expose())?;
    let ca = std::fs::read(&report.ca).with_context(|| format!("could not read {}", report.ca.display()))?;
    let endpoints = nodes.values().map(|node| format!("https://{}", node.api)).collect();
    let client = Client::new(endpoints, &ca, report.token.expose())?;
    Ok(Cluster { nodes: nodes.into_keys().collect(), client })
}

/// Addresses on loopback that were free just now, all different.
pub(super) fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let listeners: Vec<_> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    let addresses: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
    addresses.try_into().map_err(|_| io::Error::other("not as many addresses as asked for"))
}
