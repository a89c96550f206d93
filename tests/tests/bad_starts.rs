//! A coordinator that must not start: what it says and which exit code it ends with, from outside.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use coordinator_core::ids::NodeId;
use tests::cluster::{Cluster, free_ports, program};
use tests::command::{Finished, run};
use tests::groups::{self, PAIR};
use tests::wait::{self, PATIENCE, is};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// Wrong usage or configuration.
const FAULTY: i32 = 2;

/// Everything else.
const FAILED: i32 = 1;

fn pair() -> String {
    let appliances = [("fw-a", Ipv4Addr::new(10, 88, 0, 21)), ("fw-b", Ipv4Addr::new(10, 88, 0, 22))];
    groups::pair(appliances, Ipv4Addr::new(10, 88, 0, 100), 24, "eth0")
}

#[test]
fn a_faulty_configuration_ends_with_2_and_names_every_fault() -> Result<()> {
    let cluster = Cluster::on_loopback(&pair())?;
    let file = cluster.config_of(ONE)?.to_owned();
    let sound = fs::read_to_string(&file)?;
    ensure!(check(&file)?.status.success(), "init wrote a faulty file: {}", check(&file)?.output());

    let outside = ("10.88.0.100/24", "10.99.0.100/24", "must lie in the same /24 subnet as fw-a");
    let own = ("10.88.0.100/24", "10.88.0.21/24", "must differ from the own address of fw-a");
    let twice = ("[[node]]\nid = 2", "[[node]]\nid = 1", "another coordinator has this id");
    for faults in [vec![outside], vec![own], vec![twice], vec![outside, twice]] {
        let text = faults.iter().fold(sound.clone(), |text, (from, to, _)| text.replacen(from, to, 1));
        ensure!(text != sound, "nothing was made wrong");
        fs::write(&file, &text)?;
        for done in [check(&file)?, serve(&file)?] {
            let said = done.output();
            ensure!(done.code() == FAULTY, "exit code {} and {said}", done.code());
            for (_, wrong, rule) in &faults {
                let line = said.lines().find(|line| line.contains(rule));
                let line = line.with_context(|| format!("{rule:?} is not in {said}"))?;
                ensure!(line.contains("pointsman.toml:"), "no file and line in {line:?}");
                let value = wrong.rsplit(' ').next().unwrap_or(wrong).trim_end_matches("/24");
                ensure!(line.contains(value), "no value in {line:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn an_occupied_port_ends_with_1_and_names_the_address() -> Result<()> {
    let cluster = Cluster::on_loopback("")?;
    let node = cluster.node(ONE)?;
    for (address, listener) in [(node.api, "operators' listener"), (node.cluster, "cluster listener")] {
        let _occupied = TcpListener::bind(address)?;
        let done = serve(cluster.config_of(ONE)?)?;
        refused(&done, &[&address.to_string(), listener, "another process"])?;
    }
    // Nothing was touched on the way.
    ensure!(!cluster.data_dir_of(ONE)?.exists(), "a data directory was made");
    Ok(())
}

#[test]
fn a_data_directory_in_use_or_of_another_owner_or_damaged_is_refused() -> Result<()> {
    let mut cluster = Cluster::on_loopback(&pair())?;
    let outcome = data_directories(&mut cluster);
    cluster.explain(outcome)
}

fn data_directories(cluster: &mut Cluster) -> Result<()> {
    cluster.start_coordinators()?;
    cluster.leader()?;
    let changes = ["new rack", "new switch", "new cable"];
    for (number, reason) in changes.iter().enumerate() {
        let switch = if number % 2 == 0 { "on" } else { "off" };
        let done = cluster.cli(&["maintenance", PAIR, "fw-b", switch, "--reason", reason])?;
        ensure!(done.status.success(), "{}", done.output());
    }
    // Whatever node it is, it has everything that was acknowledged before it is stopped.
    everywhere(cluster, &changes)?;

    let data = cluster.data_dir_of(ONE)?;
    refused(&serve(&elsewhere(cluster, ONE, &data)?)?, &["data", "in use"])?;
    for id in cluster.node_ids() {
        cluster.stop_coordinator(id)?;
    }
    refused(&serve(&elsewhere(cluster, TWO, &data)?)?, &["belongs to node 1", "node 2"])?;
    let other = Cluster::on_loopback("")?;
    let id = cluster.made().cluster_id.to_string();
    refused(&serve(&elsewhere(&other, ONE, &data)?)?, &["belongs to cluster", &id])?;

    damaged_files(cluster, &data)?;

    // And with everything as it was, nothing is missing.
    cluster.start_coordinators()?;
    everywhere(cluster, &changes)
}

/// Damages a segment in several ways. Each must be found, named and left as it is.
fn damaged_files(cluster: &Cluster, data: &Path) -> Result<()> {
    let wal = data.join("wal");
    let mut segments: Vec<PathBuf> = fs::read_dir(&wal)?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    segments.retain(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.sort();
    let segment = segments.first().context("there is no segment")?;
    let name = segment.file_name().context("no name")?.to_string_lossy();
    let sound = fs::read(segment)?;
    // The newest batch is where the zeros begin; the reason of an acknowledged change is well
    // before it.
    let reason = b"new rack";
    let at =
        sound.windows(reason.len()).position(|window| window == reason).context("the change is not there")?;

    let mut flipped = sound.clone();
    flipped[at] ^= 0x20;
    let mut header = sound.clone();
    header[20] ^= 1;
    let truncated = sound[..at].to_vec();
    let zeroed: Vec<u8> =
        sound[..at].iter().copied().chain(std::iter::repeat_n(0, sound.len() - at)).collect();
    let kinds = [
        ("a flipped bit", flipped),
        ("a flipped bit in the header", header),
        ("cut off", truncated),
        ("zeros at the end", zeroed),
    ];
    for (kind, bytes) in kinds {
        fs::write(segment, &bytes)?;
        let done = serve(cluster.config_of(ONE)?)?;
        refused(&done, &[&name, "damaged"]).with_context(|| kind.to_owned())?;
        ensure!(fs::read(segment)? == bytes, "the damaged file was changed: {kind}");
    }
    fs::remove_file(segment)?;
    refused(&serve(cluster.config_of(ONE)?)?, &[".seg", "damaged"]).context("the file is gone")?;
    fs::write(segment, &sound)?;

    let identity = data.join("identity");
    let sound = fs::read(&identity)?;
    fs::remove_file(&identity)?;
    refused(&serve(cluster.config_of(ONE)?)?, &["identity", "missing"])?;
    fs::write(&identity, &sound)?;
    Ok(())
}

/// Waits until every node's own history has every change.
fn everywhere(cluster: &Cluster, changes: &[&str]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for id in cluster.node_ids() {
        let api = cluster.api(id)?;
        wait::until(&format!("node {id} has every change"), || {
            let said = match runtime.block_on(api.own_history()) {
                Ok(history) => history.iter().map(|event| event.sentence.clone() + "\n").collect(),
                Err(error) => format!("{error:#}"),
            };
            Ok(is(changes.iter().all(|change| said.contains(change)), || said))
        })?;
    }
    Ok(())
}

/// The configuration of a node, with other ports and with the data directory at `data`.
fn elsewhere(cluster: &Cluster, id: NodeId, data: &Path) -> Result<PathBuf> {
    let file = cluster.config_of(id)?;
    let text = fs::read_to_string(file)?;
    let moved = text.replacen("data_dir = \"data\"", &format!("data_dir = \"{}\"", data.display()), 1);
    ensure!(moved != text, "no data_dir in {text}");
    let node = cluster.node(id)?;
    let ports = free_ports(2)?;
    let moved = [(node.cluster, ports[0]), (node.api, ports[1])]
        .iter()
        .fold(moved, |text, (from, port)| text.replace(&from.to_string(), &format!("127.0.0.1:{port}")));
    let target = file.with_file_name("elsewhere.toml");
    fs::write(&target, moved)?;
    Ok(target)
}

/// The start failed, with all of these words.
fn refused(done: &Finished, words: &[&str]) -> Result<()> {
    let said = done.output();
    ensure!(done.code() == FAILED, "exit code {} and {said}", done.code());
    for word in words {
        ensure!(said.contains(word), "{word:?} is not in {said}");
    }
    Ok(())
}

fn serve(config: &Path) -> Result<Finished> {
    run(Command::new(program()).args(["serve", "--config"]).arg(config), PATIENCE)
}

fn check(config: &Path) -> Result<Finished> {
    run(Command::new(program()).args(["config", "check"]).arg(config), PATIENCE)
}
