//! The files that `pointsman init` writes: complete, commented, and read back before they are
//! handed over.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, NodeId};

use crate::cluster_id::ClusterId;
use crate::coordinator::{Node, RaftTiming};
use crate::duration::Span;

/// A coordinator's file. Its certificate is expected beside it, as `ca.pem`, `node.pem` and
/// `node.key`.
#[derive(Debug, Clone)]
pub struct CoordinatorFile<'a> {
    /// The cluster.
    pub cluster_id: &'a ClusterId,
    /// What people call the cluster; a comment.
    pub cluster_name: &'a str,
    /// The coordinator.
    pub node: NodeId,
    /// Where it keeps its data; relative to the file or absolute.
    pub data_dir: &'a Path,
    /// All coordinators.
    pub nodes: &'a BTreeMap<NodeId, Node>,
    /// Raft's clocks.
    pub raft: RaftTiming,
    /// The first token's name.
    pub token_name: &'a str,
    /// The first token's SHA-256, in hexadecimal digits.
    pub token_sha256: &'a str,
    /// Adapters and groups, as TOML; may be empty.
    pub declarations: &'a str,
}

impl CoordinatorFile<'_> {
    /// The file's text.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let (id, node, name) = (self.cluster_id, self.node, one_line(self.cluster_name));
        put(
            &mut out,
            format_args!("# Coordinator {node} of the cluster {name}. Every key: docs/configuration.md"),
        );
        put(&mut out, format_args!("# Check it after a change: pointsman config check pointsman.toml"));
        put(&mut out, format_args!("\n[cluster]\nid = \"{id}\"\nnode = {node}"));
        put(&mut out, format_args!("# The replicated log, the state and the history."));
        put(&mut out, format_args!("data_dir = {}", path(self.data_dir)));
        put(&mut out, format_args!("\n# Relative to this file.\n[tls]\nca = \"ca.pem\""));
        put(&mut out, format_args!("certificate = \"node.pem\"\nkey = \"node.key\""));
        if let Some(own) = self.nodes.get(&node) {
            put(
                &mut out,
                format_args!(
                    "\n# Two listeners: mutual TLS for coordinators and agents, tokens for operators."
                ),
            );
            put(&mut out, format_args!("[listen]\ncluster = \"{}\"\napi = \"{}\"", own.cluster, own.api));
        }
        put(
            &mut out,
            format_args!(
                "\n# All coordinators, this one included, the same in every file. No names: DNS may be"
            ),
        );
        put(&mut out, format_args!("# what is broken."));
        for (id, Node { cluster, api }) in self.nodes {
            put(&mut out, format_args!("[[node]]\nid = {id}\ncluster = \"{cluster}\"\napi = \"{api}\"\n"));
        }
        put(&mut out, format_args!("# How fast a dead leader is noticed; the same in every file."));
        put(&mut out, format_args!("[raft]\nheartbeat = \"{}\"", Span(self.raft.heartbeat)));
        put(&mut out, format_args!("election_min = \"{}\"", Span(self.raft.election_min)));
        put(&mut out, format_args!("election_max = \"{}\"", Span(self.raft.election_max)));
        put(
            &mut out,
            format_args!(
                "\n# Who may use the API. Only the token's SHA-256 stands here: printf %s TOKEN | sha256sum"
            ),
        );
        put(&mut out, format_args!("[[token]]\nname = {}", quoted(self.token_name)));
        put(&mut out, format_args!("sha256 = \"{}\"", self.token_sha256));
        put(
            &mut out,
            format_args!(
                "\n# Clouds and the first groups. Groups are read when the cluster is formed, and never"
            ),
        );
        put(&mut out, format_args!("# again: change them with `pointsman apply -f FILE`."));
        let declarations = self.declarations.trim();
        if !declarations.is_empty() {
            put(&mut out, format_args!("\n{declarations}"));
        }
        out
    }
}

/// An agent's file. Its certificate is expected beside it, as `ca.pem`, `agent.pem` and
/// `agent.key`.
#[derive(Debug, Clone)]
pub struct AgentFile<'a> {
    /// The cluster.
    pub cluster_id: &'a ClusterId,
    /// The appliance.
    pub appliance: &'a ApplianceName,
    /// Where the highest token is kept; relative to the file or absolute.
    pub state_dir: &'a Path,
    /// On which interfaces VIPs may be added.
    pub interfaces: &'a [String],
    /// From one report to the next.
    pub report_interval: Duration,
    /// Where the health endpoint listens.
    pub health: Option<SocketAddr>,
    /// Where it listens for its peers.
    pub peer_listen: &'a [SocketAddr],
    /// All coordinators.
    pub nodes: &'a BTreeMap<NodeId, Node>,
}

impl AgentFile<'_> {
    /// The file's text.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        put(&mut out, format_args!("# The agent of {}. Every key: docs/configuration.md", self.appliance));
        put(&mut out, format_args!("\n[cluster]\nid = \"{}\"", self.cluster_id));
        put(&mut out, format_args!("\n[agent]\nappliance = \"{}\"", self.appliance));
        put(
            &mut out,
            format_args!("# Keeps the highest fencing token that was accepted. Must survive a reboot."),
        );
        put(&mut out, format_args!("state_dir = {}", path(self.state_dir)));
        put(
            &mut out,
            format_args!("# VIPs are added on these interfaces only, whatever a coordinator says."),
        );
        let interfaces: Vec<_> = self.interfaces.iter().map(|i| quoted(i)).collect();
        put(&mut out, format_args!("interfaces = [{}]", interfaces.join(", ")));
        put(&mut out, format_args!("# Several reports have to fit into the group's lease."));
        put(&mut out, format_args!("report_interval = \"{}\"", Span(self.report_interval)));
        match self.health {
            Some(health) => put(&mut out, format_args!("health = \"{health}\"")),
            None => put(&mut out, format_args!("# health = \"127.0.0.1:7402\"")),
        }
        put(
            &mut out,
            format_args!("# Where the group's other appliances reach this agent: `peer` in the group."),
        );
        let listen: Vec<_> = self.peer_listen.iter().map(|address| format!("\"{address}\"")).collect();
        put(&mut out, format_args!("peer_listen = [{}]", listen.join(", ")));
        put(&mut out, format_args!("\n# Relative to this file.\n[tls]\nca = \"ca.pem\""));
        put(&mut out, format_args!("certificate = \"agent.pem\"\nkey = \"agent.key\""));
        put(&mut out, format_args!("\n# The cluster listeners of all coordinators."));
        for (id, node) in self.nodes {
            put(&mut out, format_args!("[[coordinator]]\nid = {id}\naddress = \"{}\"\n", node.cluster));
        }
        out
    }
}

/// The command line's file.
#[derive(Debug, Clone)]
pub struct CliFile<'a> {
    /// All coordinators.
    pub nodes: &'a BTreeMap<NodeId, Node>,
    /// The cluster's authority; relative to the file or absolute.
    pub ca: PathBuf,
}

impl CliFile<'_> {
    /// The file's text.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        put(
            &mut out,
            format_args!("# How the operator's command line reaches the cluster. The token is not here: set"),
        );
        put(&mut out, format_args!("# POINTSMAN_TOKEN, or name a file of mode 600 as token_file."));
        let endpoints: Vec<_> = self.nodes.values().map(|n| format!("\"https://{}\"", n.api)).collect();
        put(&mut out, format_args!("endpoints = [{}]", endpoints.join(", ")));
        put(&mut out, format_args!("ca = {}", path(&self.ca)));
        put(&mut out, format_args!("# token_file = \"token\""));
        out
    }
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{line}");
}

/// A TOML string with whatever escapes it needs.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A comment ends with its line, and so does what is put in it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Report;

    fn nodes() -> BTreeMap<NodeId, Node> {
        let node = |id: u8| {
            let at = |port| SocketAddr::from(([10, 0, 0, 10 + id], port));
            (NodeId(u64::from(id)), Node { cluster: at(7401), api: at(7400) })
        };
        (1..=3).map(node).collect()
    }

    #[test]
    fn a_coordinators_file_reads_back_as_it_was_meant() {
        let (nodes, id) = (nodes(), ClusterId::from_bits(7));
        let file = CoordinatorFile {
            cluster_id: &id,
            cluster_name: "north\n[evil]",
            node: NodeId(2),
            data_dir: Path::new("da\"ta"),
            nodes: &nodes,
            raft: RaftTiming::default(),
            token_name: "admin \\ \"x\"",
            token_sha256: &"0f".repeat(32),
            declarations: "",
        };
        let report = Report::of(Path::new("etc/pointsman.toml"), file.to_toml());
        let read = crate::coordinator::read(&report).unwrap_or_else(|f| panic!("{f}"));
        assert_eq!((&read.cluster_id, read.node, &read.nodes), (&id, NodeId(2), &nodes));
        assert_eq!(read.data_dir, Path::new("etc/da\"ta"));
        assert_eq!(read.tokens[0].name, "admin \\ \"x\"");
        assert_eq!(read.tokens[0].sha256, [0x0f; 32]);
    }

    #[test]
    fn an_agents_file_reads_back_as_it_was_meant() {
        let (nodes, id) = (nodes(), ClusterId::from_bits(u128::MAX));
        let appliance = ApplianceName::new("fw-a").unwrap();
        let file = AgentFile {
            cluster_id: &id,
            appliance: &appliance,
            state_dir: Path::new("/var/lib/nva-agent"),
            interfaces: &["eth0".to_owned(), "lo".to_owned()],
            report_interval: Duration::from_millis(250),
            health: Some(SocketAddr::from(([127, 0, 0, 1], 7402))),
            peer_listen: &[SocketAddr::from(([10, 0, 1, 4], 7403))],
            nodes: &nodes,
        };
        let report = Report::of(Path::new("nva-agent.toml"), file.to_toml());
        let read = crate::agent::read(&report).unwrap_or_else(|f| panic!("{f}"));
        assert_eq!((read.cluster_id, read.appliance), (id, appliance));
        assert_eq!(read.interfaces.len(), 2);
        assert_eq!(read.peer_listen, [SocketAddr::from(([10, 0, 1, 4], 7403))]);
        assert_eq!(read.coordinators[&NodeId(3)], nodes[&NodeId(3)].cluster);
        assert_eq!(read.report_interval, Duration::from_millis(250));
    }

    #[test]
    fn the_command_lines_file_reads_back_as_it_was_meant() {
        let text = CliFile { nodes: &nodes(), ca: "ca/ca.pem".into() }.to_toml();
        let read =
            crate::cli::read(&Report::of(Path::new("cli.toml"), text)).unwrap_or_else(|f| panic!("{f}"));
        assert_eq!(read.endpoints[0], "https://10.0.0.11:7400");
        assert_eq!(read.ca, Path::new("./ca/ca.pem"));
    }
}
