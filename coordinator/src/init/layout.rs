//! What goes where:
//!
//! ```text
//! DIR/ca/{ca.pem,ca.key}                                   stays with the operator
//! DIR/node-1/{pointsman.toml,node.pem,node.key,ca.pem}     goes to coordinator 1
//! DIR/agent-fw-a/{nva-agent.toml,agent.pem,agent.key,ca.pem}   goes to the appliance
//! DIR/cli.toml                                             stays with the operator
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use config::ClusterId;
use config::write::{AgentFile, CliFile, CoordinatorFile};
use coordinator_api::tls::{Identity, PeerIdentity, TlsFiles, TlsMaterial};
use coordinator_core::ids::{ApplianceName, NodeId};

use super::authority::{Authority, Issued};
use super::{FirstToken, InitError, InitOptions, secret};

pub(super) const NODE_FILE: &str = "pointsman.toml";
pub(super) const AGENT_FILE: &str = "nva-agent.toml";
pub(super) const CLI_FILE: &str = "cli.toml";
pub(super) const CA_CERTIFICATE: &str = "ca/ca.pem";
pub(super) const CA_KEY: &str = "ca/ca.key";

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

pub(super) fn node_dir(id: NodeId) -> String {
    format!("node-{id}")
}

pub(super) fn agent_dir(appliance: &ApplianceName) -> String {
    format!("agent-{appliance}")
}

/// Writes a whole cluster into the empty directory `dir`.
pub(super) fn write(
    dir: &Path,
    options: &InitOptions,
    cluster_id: &ClusterId,
    token: &FirstToken,
) -> Result<(), InitError> {
    let authority = Authority::new(&options.name, Authority::today())?;
    let ca = authority.own();
    make_dir(&dir.join("ca"))?;
    make_file(&dir.join(CA_CERTIFICATE), &ca.certificate, PUBLIC)?;
    make_file(&dir.join(CA_KEY), &ca.key, PRIVATE)?;
    let identity = |peer| Identity { cluster_id: cluster_id.as_str().to_owned(), peer };
    let sha256 = secret::sha256(token);
    for (id, node) in &options.nodes {
        let dir = dir.join(node_dir(*id));
        let text = CoordinatorFile {
            cluster_id,
            cluster_name: &options.name,
            node: *id,
            data_dir: &options.data_dir,
            nodes: &options.nodes,
            raft: options.raft,
            token_name: &options.token_name,
            token_sha256: &sha256,
            declarations: &options.declarations,
        }
        .to_toml();
        let addresses = [node.cluster.ip(), node.api.ip()];
        let issued = authority.issue(&identity(PeerIdentity::Node(*id)), &addresses)?;
        member(&dir, "node", &issued, &ca.certificate)?;
        make_file(&dir.join(NODE_FILE), &text, PRIVATE)?;
    }
    for agent in &options.agents {
        let dir = dir.join(agent_dir(&agent.appliance));
        let text = AgentFile {
            cluster_id,
            appliance: &agent.appliance,
            state_dir: &agent.state_dir,
            interfaces: &agent.interfaces,
            report_interval: agent.report_interval,
            health: agent.health,
            peer_listen: &agent.peer_listen,
            nodes: &options.nodes,
        }
        .to_toml();
        let peer = PeerIdentity::Agent(agent.appliance.clone());
        let health = agent.health.map(|h| h.ip()).filter(|ip| !ip.is_unspecified());
        let addresses: Vec<_> = agent.address.into_iter().chain(health).collect();
        let issued = authority.issue(&identity(peer), &addresses)?;
        member(&dir, "agent", &issued, &ca.certificate)?;
        make_file(&dir.join(AGENT_FILE), &text, PRIVATE)?;
    }
    let cli = CliFile { nodes: &options.nodes, ca: PathBuf::from(CA_CERTIFICATE) };
    make_file(&dir.join(CLI_FILE), &cli.to_toml(), PUBLIC)
}

fn member(dir: &Path, name: &str, issued: &Issued, ca: &str) -> Result<(), InitError> {
    make_dir(dir)?;
    make_file(&dir.join("ca.pem"), ca, PUBLIC)?;
    make_file(&dir.join(format!("{name}.pem")), &issued.certificate, PUBLIC)?;
    make_file(&dir.join(format!("{name}.key")), &issued.key, PRIVATE)
}

/// Reads everything as the daemons will: options that make a file they would refuse are found
/// here, with the lines of the files that would have been.
pub(super) fn read_back(dir: &Path, options: &InitOptions) -> Result<(), InitError> {
    for id in options.nodes.keys() {
        let file = dir.join(node_dir(*id)).join(NODE_FILE);
        let tls = config::load_coordinator(&file).map_err(InitError::Config)?.tls;
        load(&tls)?;
    }
    for agent in &options.agents {
        let file = dir.join(agent_dir(&agent.appliance)).join(AGENT_FILE);
        let tls = config::load_agent(&file).map_err(InitError::Config)?.tls;
        load(&tls)?;
    }
    config::load_cli(&dir.join(CLI_FILE)).map_err(InitError::Config)?;
    Ok(())
}

fn load(tls: &config::TlsPaths) -> Result<(), InitError> {
    let files = TlsFiles { ca: tls.ca.clone(), certificate: tls.certificate.clone(), key: tls.key.clone() };
    TlsMaterial::load(&files).map(drop).map_err(InitError::Tls)
}

fn make_dir(path: &Path) -> Result<(), InitError> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| InitError::Write { path: path.to_owned(), source })
}

/// Created with its final mode, so that a key is at no moment readable by others.
fn make_file(path: &Path, text: &str, mode: u32) -> Result<(), InitError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| InitError::Write { path: path.to_owned(), source })
}

/// A directory beside the target, removed unless it was renamed.
pub(super) struct Staging {
    path: PathBuf,
    renamed: bool,
}

impl Staging {
    pub(super) fn create(target: &Path) -> Result<Staging, InitError> {
        let unnamed = || io::Error::new(io::ErrorKind::InvalidInput, "it has no name of its own");
        let failed = |source| InitError::Write { path: target.to_owned(), source };
        let name = target.file_name().ok_or_else(unnamed).map_err(failed)?.to_string_lossy();
        let path = target.with_file_name(format!(".{name}.init-{}", std::process::id()));
        make_dir(&path)?;
        Ok(Staging { path, renamed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames onto the target, which the kernel refuses if something was put there meanwhile.
    pub(super) fn rename_to(mut self, target: &Path) -> Result<(), InitError> {
        std::fs::rename(&self.path, target).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                InitError::Exists { dir: target.to_owned() }
            }
            _ => InitError::Write { path: target.to_owned(), source },
        })?;
        self.renamed = true;
        let parent = target.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|dir| dir.sync_all());
        synced.map_err(|source| InitError::Write { path: parent.to_owned(), source })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.renamed {
            // The error that led here is the one to report, and a leftover is visible by its name.
            let _best_effort = std::fs::remove_dir_all(&self.path);
        }
    }
}
