//! `init`: a new cluster.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use config::coordinator::Node;
use coordinator_core::ids::{ApplianceName, NodeId};
use serde::Serialize;

use super::error::CliError;
use super::output::Output;
use super::render::Paint;
use crate::init::{self, API_PORT, AgentOptions, CLUSTER_PORT, InitOptions, InitReport};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where everything is written. Must not exist, or be empty.
    dir: PathBuf,
    // Not a doc comment: its brackets would be taken for links.
    #[arg(
        long = "node",
        value_name = "NODE",
        required = true,
        value_parser = node,
        help = "A coordinator: ADDRESS[,api=PORT][,cluster=PORT]. \
                Repeat it for each; three survive the loss of one"
    )]
    nodes: Vec<Node>,
    // Not a doc comment: its brackets would be taken for links.
    #[arg(
        long = "agent",
        value_name = "AGENT",
        value_parser = agent,
        help = "An appliance that runs an agent: NAME[,address=IP][,interface=NAME]…[,health=IP:PORT][,peer=IP:PORT]…"
    )]
    agents: Vec<AgentOptions>,
    /// What people call the cluster.
    #[arg(long, default_value = "pointsman")]
    name: String,
    /// Where each coordinator keeps its data; relative to its configuration.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/pointsman")]
    data_dir: PathBuf,
    /// The first token's name: the actor in the history.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    token_name: String,
    /// A file with adapters and the first groups, for every coordinator's configuration.
    #[arg(long, value_name = "FILE")]
    declare: Option<PathBuf>,
}

/// `ADDRESS[,api=PORT][,cluster=PORT]`
pub(super) fn node(text: &str) -> Result<Node, String> {
    let (address, options) = pairs(text)?;
    let ip: IpAddr = address.parse().map_err(|_| format!("{address:?} is not an IP address"))?;
    let (mut api, mut cluster) = (API_PORT, CLUSTER_PORT);
    for (key, value) in options {
        let port = || value.parse().map_err(|_| format!("{value:?} is not a port"));
        match key {
            "api" => api = port()?,
            "cluster" => cluster = port()?,
            _ => return Err(format!("{key:?} is not known: use api or cluster")),
        }
    }
    Ok(Node { cluster: SocketAddr::new(ip, cluster), api: SocketAddr::new(ip, api) })
}

/// `NAME[,address=IP][,interface=NAME]…[,health=IP:PORT][,peer=IP:PORT]…`
pub(super) fn agent(text: &str) -> Result<AgentOptions, String> {
    let (name, options) = pairs(text)?;
    let mut agent = AgentOptions::new(ApplianceName::new(name).map_err(|error| error.to_string())?);
    for (key, value) in options {
        match key {
            "address" => {
                let address = value.parse().map_err(|_| format!("{value:?} is not an IP address"))?;
                agent.address = Some(address);
            }
            "interface" => agent.interfaces.push(value.to_owned()),
            "health" => {
                let health = value.parse().map_err(|_| format!("{value:?} is not an address with a port"))?;
                agent.health = Some(health);
            }
            "peer" => {
                let peer = value.parse().map_err(|_| format!("{value:?} is not an address with a port"))?;
                agent.peer_listen.push(peer);
            }
            _ => return Err(format!("{key:?} is not known: use address, interface, health or peer")),
        }
    }
    Ok(agent)
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// The first word, and the `key=value` pairs after it.
fn pairs(text: &str) -> Result<(&str, Pairs<'_>), String> {
    let mut parts = text.split(',');
    let first = parts.next().unwrap_or_default();
    let pair = |part: &str| format!("{part:?} is not key=value");
    let pairs = parts.map(|part| part.split_once('=').ok_or_else(|| pair(part)));
    Ok((first, pairs.collect::<Result<_, _>>()?))
}

pub(super) fn run(args: InitArgs, output: &Output) -> Result<(), CliError> {
    let declarations = args.declare.as_deref().map(|file| {
        let read = std::fs::read_to_string(file);
        read.map_err(|source| CliError::io(format!("could not read {}", file.display()), source))
    });
    let options = InitOptions {
        name: args.name,
        nodes: (1..).map(NodeId).zip(args.nodes).collect(),
        agents: args.agents,
        data_dir: args.data_dir,
        token_name: args.token_name,
        declarations: declarations.transpose()?.unwrap_or_default(),
        ..InitOptions::new(args.dir)
    };
    let report = init::run(&options)?;
    output.show(&Made::from(&report), made);
    Ok(())
}

/// What was made, for both forms of output. Here the first token is shown, and nowhere else.
#[derive(Serialize)]
pub(super) struct Made {
    pub(super) cluster_id: String,
    pub(super) token: String,
    pub(super) nodes: BTreeMap<NodeId, PathBuf>,
    pub(super) agents: BTreeMap<ApplianceName, PathBuf>,
    pub(super) cli: PathBuf,
    pub(super) ca: PathBuf,
    pub(super) ca_key: PathBuf,
}

impl From<&InitReport> for Made {
    fn from(report: &InitReport) -> Made {
        Made {
            cluster_id: report.cluster_id.to_string(),
            token: report.token.expose().to_owned(),
            nodes: report.nodes.clone(),
            agents: report.agents.clone(),
            cli: report.cli.clone(),
            ca: report.ca.clone(),
            ca_key: report.ca_key.clone(),
        }
    }
}

pub(super) fn made(made: &Made, paint: Paint) -> String {
    let mut text = format!("cluster {} is made; nothing runs yet\n\n", paint.strong(&made.cluster_id));
    for (id, file) in &made.nodes {
        text.push_str(&format!("  coordinator {id}: pointsman serve --config {}\n", file.display()));
    }
    for (appliance, file) in &made.agents {
        text.push_str(&format!("  agent of {appliance}: nva-agent run --config {}\n", file.display()));
    }
    text.push_str(&format!("  command line: pointsman --context {} status\n", made.cli.display()));
    text.push_str(&format!(
        "\nThe first token, shown once; keep it in POINTSMAN_TOKEN or a token_file:\n\n  {}\n\n",
        paint.strong(&made.token)
    ));
    text.push_str(&format!(
        "Give each machine its own directory only, and keep {} off all of them:\nwhoever has it can join the cluster.\n",
        paint.warn(made.ca_key.display())
    ));
    text
}
