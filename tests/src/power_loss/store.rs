//! The state store: sled's files are real, so disks are made up from copies of them.
//!
//! Between two points at which the store was made to last, a power loss leaves the files of the
//! first with any sectors of the second. What sled itself syncs while it opens (its log's tail,
//! then a `snap.` file) counts as synced, but for the directory: that file may be missing, or be
//! half-written under its temporary name.
//!
//! sled does not keep what was synced when later pages reach the disk in another order. What it
//! loses the log and the snapshot have; what must never be is a store that opens with parts of two
//! moments.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coordinator::raft::HistoryQuery;
use coordinator::raft::codec::StateMeta;
use coordinator::raft::store::{Change, Store};
use coordinator::raft::types::log_id;
use coordinator_core::chain::Link;
use coordinator_core::command::Actor;
use coordinator_core::event::{Event, EventBody, Level};
use coordinator_core::ids::{GroupName, NodeId};
use coordinator_core::model::{GroupSpec, LeaseSpec, Policy};
use coordinator_core::state::{Drift, Group, State};
use coordinator_core::time::WallTime;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Report;

const SECTOR: usize = 512;
/// How many in one of the sectors not yet synced are there after the loss.
const DENSITIES: [f64; 5] = [0.0, 1.0, 0.5, 0.05, 0.95];
/// Events kept, so that old ones are removed all the time.
const RETAINED: u64 = 40;

/// The content of a directory, subdirectories included.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What the store must hold at some index.
#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    groups: BTreeMap<GroupName, Group>,
    events: Vec<Event>,
}

/// What a sweep of the store did.
#[derive(Debug, Default)]
pub struct StoreReport {
    /// Disks made up and opened, and what was wrong with the first that was not right.
    pub report: Report,
    /// How many stores were set aside to be rebuilt from the log and a snapshot.
    pub set_aside: u64,
    /// How many others had lost something that was made to last.
    pub behind: u64,
}

/// How a store was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Kept,
    Behind,
    SetAside,
}

/// Runs one seed: a store over several lives, then `per_point` disks for each point of it.
pub fn sweep(seed: u64, per_point: u64) -> StoreReport {
    let mut report = StoreReport::default();
    report.report.violation =
        run(seed, per_point, &mut report).err().map(|what| format!("seed {seed}: {what}"));
    report
}

/// A stretch between two points.
struct Stretch {
    synced: Files,
    /// What a power loss within the stretch may leave some sectors of.
    written: Files,
    /// The index that is certain to be kept.
    kept: u64,
    /// Whether the process was opening the store.
    opening: bool,
}

fn run(seed: u64, per_point: u64, report: &mut StoreReport) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let root = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (stretches, contents) = story(&mut rng, root.path()).map_err(|error| error.to_string())?;
    for (number, stretch) in stretches.iter().enumerate() {
        for n in 0..per_point {
            let image = stretch.image(&mut rng, n);
            report.report.images += 1;
            let path = root.path().join(format!("image-{number}-{n}"));
            let outcome = open_image(&path, &image, stretch.kept, &contents);
            let found = outcome.map_err(|what| format!("stretch {number}, disk {n}: {what}"))?;
            report.set_aside += u64::from(found == Found::SetAside);
            report.behind += u64::from(found == Found::Behind);
            if found != Found::Kept && DENSITIES[n as usize % DENSITIES.len()] == 0.0 && !stretch.opening {
                return Err(format!(
                    "stretch {number}, disk {n}: nothing but what was synced, and it is {found:?}"
                ));
            }
            fs::remove_dir_all(&path).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

impl Stretch {
    fn image(&self, rng: &mut StdRng, n: u64) -> Files {
        let density = DENSITIES[n as usize % DENSITIES.len()];
        let mut files = self.synced.clone();
        for (name, new) in &self.written {
            let is_snapshot = name.to_string_lossy().starts_with("snap.");
            if is_snapshot && !self.opening {
                // Synced by sled, its name not.
                if rng.random_bool(0.5) {
                    files.insert(name.clone(), new.clone());
                }
                continue;
            }
            if is_snapshot {
                if rng.random_bool(0.5) {
                    let part = new[..rng.random_range(0..=new.len())].to_vec();
                    files.insert(PathBuf::from(format!("{}.generating", name.display())), part);
                }
                continue;
            }
            let is_new = !files.contains_key(name);
            if is_new && density < 1.0 && rng.random_bool(0.5) {
                continue;
            }
            let old = files.entry(name.clone()).or_default();
            if new.len() > old.len() && (density > 0.0 && rng.random_bool(0.8)) {
                old.resize(new.len(), 0);
            }
            for at in (0..old.len().min(new.len())).step_by(SECTOR) {
                let end = (at + SECTOR).min(old.len()).min(new.len());
                if old[at..end] != new[at..end] && rng.random_bool(density) {
                    old[at..end].copy_from_slice(&new[at..end]);
                }
            }
        }
        files
    }
}

fn open_image(path: &Path, image: &Files, kept: u64, contents: &[Content]) -> Result<Found, String> {
    write_files(path, image).map_err(|error| error.to_string())?;
    let (store, state, meta) = Store::open(path, RETAINED)
        .map_err(|error| format!("it does not open: {}", io::Error::from(error)))?;
    let aside = path.with_extension("damaged");
    let set_aside = aside.exists();
    if set_aside {
        fs::remove_dir_all(&aside).map_err(|error| error.to_string())?;
    }
    let found = meta.applied.map_or(0, |id| id.index());
    if set_aside && (found != 0 || state != State::default()) {
        return Err("it was set aside and is not empty".to_owned());
    }
    let mut events = store.history(&HistoryQuery::default()).map_err(|error| error.to_string())?;
    events.reverse();
    let content = Content { groups: state.groups, events };
    let expected = contents.get(found as usize).ok_or("it stands at an index that never was")?;
    if content != *expected {
        return Err(format!(
            "at {found} it holds {} groups and {} events, not the {} and {} of that index",
            content.groups.len(),
            content.events.len(),
            expected.groups.len(),
            expected.events.len()
        ));
    }
    // It goes on from there.
    let mut told = Telling { store: &store, contents: contents[..=found as usize].to_vec(), meta };
    told.apply(&mut StdRng::seed_from_u64(kept)).map_err(|error| error.to_string())?;
    store.persist().map_err(|error| error.to_string())?;
    Ok(match set_aside {
        true => Found::SetAside,
        false if found < kept => Found::Behind,
        false => Found::Kept,
    })
}

/// Three lives of a store, the first two ended by a kill.
fn story(rng: &mut StdRng, root: &Path) -> io::Result<(Vec<Stretch>, Vec<Content>)> {
    let mut stretches = Vec::new();
    let mut contents = vec![Content::default()];
    let (mut synced, mut kept) = (Files::new(), 0);
    let mut found = Files::new();
    for life in 0..3 {
        let path = root.join(format!("life-{life}"));
        write_files(&path, &found)?;
        let (store, _, meta) = Store::open(&path, RETAINED)?;
        let opened = read_files(&path)?;
        contents.truncate(meta.applied.map_or(0, |id| id.index()) as usize + 1);
        stretches.push(Stretch { synced: synced.clone(), written: opened.clone(), kept, opening: true });
        if life > 0 {
            // sled has synced what it found.
            (synced, kept) = (opened, meta.applied.map_or(0, |id| id.index()));
        }
        let mut telling = Telling { store: &store, contents, meta };
        for _ in 0..3 {
            for _ in 0..rng.random_range(5..60) {
                telling.apply(rng)?;
            }
            // Within this call nothing is certain yet; afterwards all of it is.
            store.persist()?;
            let written = read_files(&path)?;
            stretches.push(Stretch { synced, written: written.clone(), kept, opening: false });
            (synced, kept) = (written, telling.contents.len() as u64 - 1);
        }
        for _ in 0..rng.random_range(5..40) {
            telling.apply(rng)?;
        }
        contents = telling.contents;
        // A kill leaves what sled had handed to the kernel.
        found = read_files(&path)?;
    }
    Ok((stretches, contents))
}

struct Telling<'a> {
    store: &'a Store,
    /// By index.
    contents: Vec<Content>,
    meta: StateMeta,
}

impl Telling<'_> {
    fn apply(&mut self, rng: &mut StdRng) -> io::Result<()> {
        let index = self.contents.len() as u64;
        let mut content = self.contents.last().cloned().unwrap_or_default();
        let name = group_name(rng.random_range(0..12))?;
        let group = rng.random_bool(0.8).then(|| group(name.clone(), index, rng.random_range(0..8)));
        match &group {
            Some(group) => content.groups.insert(name.clone(), group.clone()),
            None => content.groups.remove(&name),
        };
        let events: Vec<Event> = (0..rng.random_range(0..4)).map(|seq| event(index, seq)).collect();
        content.events.extend(events.iter().cloned());
        let excess = content.events.len().saturating_sub(RETAINED as usize);
        content.events.drain(..excess);
        self.meta.applied = Some(log_id(1, index));
        let change = Change {
            groups: vec![(&name, group.as_ref())],
            pools: Vec::new(),
            events: &events,
            meta: &self.meta,
        };
        self.meta.events = self.store.apply(&change)?;
        self.contents.push(content);
        Ok(())
    }
}

fn group_name(number: u32) -> io::Result<GroupName> {
    GroupName::new(format!("group-{number}")).map_err(io::Error::other)
}

fn group(name: GroupName, revision: u64, size: usize) -> Group {
    let spec = GroupSpec {
        name,
        appliances: Vec::new(),
        bindings: Vec::new(),
        policy: Policy::default(),
        lease: LeaseSpec::default(),
        path_probes: Vec::new(),
    };
    let mut group = Group::new(spec, revision, WallTime(revision));
    let drift = |n: usize| (format!("binding-{n}").parse().ok(), "elsewhere ".repeat(100));
    group.drift = (0..size)
        .map(drift)
        .filter_map(|(name, summary)| Some((name?, Drift { summary, differences: Vec::new() })))
        .collect();
    group
}

fn event(index: u64, seq: u32) -> Event {
    Event {
        index,
        seq,
        at: WallTime(index),
        actor: Actor::Coordinator(NodeId(1)),
        level: Level::Info,
        group: None,
        appliance: None,
        operation: None,
        body: EventBody::GroupRemoved,
        link: Link::default(),
    }
}

fn read_files(root: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(root).map_err(io::Error::other)?.to_owned();
                files.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

fn write_files(root: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(root)?;
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, content)?;
    }
    Ok(())
}
