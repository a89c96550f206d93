//! The configuration of an agent: `nva-agent.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, NodeId};

use crate::cluster_id::ClusterId;
use crate::coordinator::MAX_NODES;
use crate::decode::{Report, Table};
use crate::duration::Span;
use crate::fault::ConfigFaults;
use crate::tls::TlsPaths;

mod notices;

pub use notices::{AzureNotices, Notices, POLL};

/// Most interfaces of the allow-list.
const MAX_INTERFACES: usize = 64;
/// Most addresses to listen on for peers; a group declares two of each appliance.
const MAX_PEER_LISTEN: usize = 4;
/// The longest time that an agent waits for somebody to take over before it stops.
pub const MAX_SHUTDOWN_GRACE: Duration = Duration::from_secs(600);

/// An agent's configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// The cluster that the appliance belongs to.
    pub cluster_id: ClusterId,
    /// The appliance that the agent runs on.
    pub appliance: ApplianceName,
    /// Where the highest token is kept. Absolute or relative to the file.
    pub state_dir: PathBuf,
    /// The interfaces on which VIPs may be added, whatever a coordinator says. May be empty: then
    /// the agent carries no VIP at all.
    pub interfaces: BTreeSet<String>,
    /// From one report to the next. Default 100 ms, 10 ms to 1 s. Several have to fit into the
    /// group's lease.
    pub report_interval: Duration,
    /// Where the health endpoint listens, over HTTPS with the agent's certificate; `None` for
    /// nowhere.
    pub health: Option<SocketAddr>,
    /// Where it listens for the agents of the group's other appliances, with mutual TLS: on the
    /// addresses that the group declares as this appliance's `peer`. Empty for nowhere: then this
    /// appliance promises nothing to its peers, and relays for none.
    pub peer_listen: Vec<SocketAddr>,
    /// How long an agent that is asked to stop goes on, at most, while the group leaves its
    /// appliance. Default 10 s, up to 10 min; 0 stops at once.
    pub shutdown_grace: Duration,
    /// Where it learns what is announced to happen to its machine.
    pub notices: Notices,
    /// The agent's certificate.
    pub tls: TlsPaths,
    /// The cluster listeners of all coordinators.
    pub coordinators: BTreeMap<NodeId, SocketAddr>,
}

/// Reads and checks an agent's configuration.
///
/// # Errors
/// [`ConfigFaults`] with everything that is wrong.
pub fn load(path: &Path) -> Result<AgentConfig, ConfigFaults> {
    let report = Report::open(path)?;
    read(&report)
}

pub(crate) fn read(report: &Report) -> Result<AgentConfig, ConfigFaults> {
    let document = report.document()?;
    let config = Table::read_file(report, &document, |file| config(report, file));
    report.finish(config)
}

fn config(report: &Report, file: &mut Table<'_>) -> Option<AgentConfig> {
    let cluster_id = file.required_table("cluster", |t| t.required("id"));
    let agent = file.required_table("agent", |t| {
        let (appliance, state_dir) = (t.required("appliance"), t.required::<PathBuf>("state_dir"));
        let interfaces = interfaces(t);
        let report_interval = report_interval(t);
        let health = t.optional("health");
        let peers = peer_listen(t, health);
        let grace = shutdown_grace(t);
        let times = (report_interval, grace);
        Some((appliance?, report.directory().join(state_dir?), interfaces, times, health, peers))
    });
    let tls = file.required_table("tls", |t| TlsPaths::read(report, t));
    let coordinators = coordinators(file);
    let notices = notices::notices(file);
    let (appliance, state_dir, interfaces, times, health, peer_listen) = agent??;
    let (report_interval, shutdown_grace) = times;
    Some(AgentConfig {
        file: report.file().to_owned(),
        cluster_id: cluster_id??,
        appliance,
        state_dir,
        interfaces,
        report_interval,
        health,
        peer_listen,
        shutdown_grace,
        notices,
        tls: tls??,
        coordinators: coordinators?,
    })
}

fn interfaces(t: &mut Table<'_>) -> BTreeSet<String> {
    let all = t.or::<Vec<String>>("interfaces", Vec::new());
    if all.len() > MAX_INTERFACES {
        let rule = format!("must have at most {MAX_INTERFACES} entries");
        t.fault("interfaces", &format!("a list of {}", all.len()), &rule);
    }
    for name in &all {
        if name.len() > 15 || name.contains(|c: char| c == '/' || c.is_whitespace()) {
            let value = format!("a list with {name:?}");
            t.fault(
                "interfaces",
                &value,
                "must hold interface names of at most 15 bytes without '/' and blanks",
            );
        }
    }
    all.into_iter().collect()
}

fn peer_listen(t: &mut Table<'_>, health: Option<SocketAddr>) -> Vec<SocketAddr> {
    let all = t.or::<Vec<SocketAddr>>("peer_listen", Vec::new());
    if all.len() > MAX_PEER_LISTEN {
        let rule = format!("must have at most {MAX_PEER_LISTEN} entries");
        t.fault("peer_listen", &format!("a list of {}", all.len()), &rule);
    }
    let mut seen = BTreeSet::from_iter(health);
    for address in &all {
        if address.port() == 0 {
            t.fault("peer_listen", &format!("a list with \"{address}\""), "must name a port: peers dial it");
        }
        if !seen.insert(*address) {
            let value = format!("a list with \"{address}\"");
            t.fault("peer_listen", &value, "must hold each address once, and not that of `health`");
        }
    }
    all
}

fn report_interval(t: &mut Table<'_>) -> Duration {
    let interval = t.or("report_interval", Duration::from_millis(100));
    if !(Duration::from_millis(10)..=Duration::from_secs(1)).contains(&interval) {
        t.fault("report_interval", &Span(interval).to_string(), "must be from 10ms to 1s");
    }
    interval
}

fn shutdown_grace(t: &mut Table<'_>) -> Duration {
    let grace = t.or("shutdown_grace", Duration::from_secs(10));
    if grace > MAX_SHUTDOWN_GRACE {
        let rule = format!("must be at most {}", Span(MAX_SHUTDOWN_GRACE));
        t.fault("shutdown_grace", &Span(grace).to_string(), &rule);
    }
    grace
}

fn coordinators(file: &mut Table<'_>) -> Option<BTreeMap<NodeId, SocketAddr>> {
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let all = file.each("coordinator", |t| {
        let (id, address) = (t.required::<NodeId>("id"), t.required::<SocketAddr>("address"));
        if let Some(id) = id
            && !ids.insert(id)
        {
            t.fault("id", &id.to_string(), "must be unique: another coordinator has this id");
        }
        if let Some(address) = address
            && !addresses.insert(address)
        {
            t.fault(
                "address",
                &format!("\"{address}\""),
                "must be unique: another coordinator has this address",
            );
        }
        Some((id?, address?))
    })?;
    if all.is_empty() {
        file.missing("coordinator", "must list every coordinator as [[coordinator]] with id and address");
    }
    if all.len() > MAX_NODES {
        let rule = format!("must have at most {MAX_NODES} entries");
        file.fault("coordinator", &format!("a list of {}", all.len()), &rule);
    }
    Some(all.into_iter().collect())
}
