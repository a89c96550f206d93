//! `pointsman config check`: what kind of file is this, and is it right?

use std::fmt;
use std::path::Path;

use crate::decode::Report;
use crate::fault::ConfigFaults;
use crate::{agent, cli, coordinator, groups};

/// What a file without faults says, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Summary {
    /// A coordinator's file.
    Coordinator {
        /// Its id.
        node: u64,
        /// Coordinators of the cluster.
        nodes: usize,
        /// Groups declared for the first start.
        groups: usize,
        /// Pools declared for the first start.
        pools: usize,
    },
    /// An agent's file.
    Agent {
        /// The appliance.
        appliance: String,
        /// Coordinators it reports to.
        coordinators: usize,
    },
    /// A file for the command line.
    Cli {
        /// Coordinators it knows.
        endpoints: usize,
    },
    /// Groups and pools alone.
    Groups {
        /// The names of the groups.
        names: Vec<String>,
        /// The names of the pools.
        pools: Vec<String>,
    },
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Summary::Coordinator { node, nodes, groups, pools } => {
                write!(f, "coordinator {node} of {nodes}, {groups} groups declared")?;
                if *pools > 0 { write!(f, ", {pools} pools") } else { Ok(()) }
            }
            Summary::Agent { appliance, coordinators } => {
                write!(f, "agent of {appliance}, reporting to {coordinators} coordinators")
            }
            Summary::Cli { endpoints } => write!(f, "command line, {endpoints} endpoints"),
            Summary::Groups { names, pools } => {
                let lists = [("groups", names), ("pools", pools)];
                let some = lists.iter().filter(|(_, names)| !names.is_empty());
                let said: Vec<String> =
                    some.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
                f.write_str(&said.join("; "))
            }
        }
    }
}

/// Checks a file of any kind, told apart by the tables in it: `[agent]` makes it an agent's,
/// `endpoints` the command line's, groups alone a file for `pointsman apply`; anything else is a
/// coordinator's.
///
/// # Errors
/// [`ConfigFaults`] with everything that is wrong.
pub fn check(path: &Path) -> Result<Summary, ConfigFaults> {
    let report = Report::open(path)?;
    let document = report.document()?;
    let has = |key: &str| document.get_ref().contains_key(key);
    if has("agent") || has("coordinator") {
        let config = agent::read(&report)?;
        let appliance = config.appliance.to_string();
        return Ok(Summary::Agent { appliance, coordinators: config.coordinators.len() });
    }
    if has("endpoints") {
        return Ok(Summary::Cli { endpoints: cli::read(&report)?.endpoints.len() });
    }
    if (has("group") || has("pool")) && !has("cluster") && !has("node") && !has("tls") {
        let declared = groups::from_report(&report)?;
        return Ok(Summary::Groups {
            names: declared.groups.iter().map(|group| group.name.to_string()).collect(),
            pools: declared.pools.iter().map(|pool| pool.name.to_string()).collect(),
        });
    }
    let config = coordinator::read(&report)?;
    Ok(Summary::Coordinator {
        node: config.node.0,
        nodes: config.nodes.len(),
        groups: config.groups.len(),
        pools: config.pools.len(),
    })
}
