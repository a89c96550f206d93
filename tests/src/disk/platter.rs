//! What is on a disk, as processes see it and as it would be after a power loss.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// One thing done to a disk.
#[derive(Debug, Clone)]
pub enum Step {
    /// A new, empty file gets this name.
    Create(String),
    /// Bytes are written to the file with this number, at this place.
    Write(usize, usize, Arc<[u8]>),
    /// What was written to the file with this number lasts.
    Sync(usize),
    /// A file gets another name.
    Rename(String, String),
    /// A name is removed.
    Remove(String),
    /// Names last as they are.
    SyncDir,
    /// Nothing: a remark of the test.
    Note(u64),
}

/// How a power loss deals with what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing of it is left.
    Everything,
    /// All of it is there.
    Nothing,
    /// It is there up to some write, and that one up to some sector.
    FromSomewhere,
    /// Any sectors and any renames are there.
    Anything,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 4] = [Loss::Everything, Loss::Nothing, Loss::FromSomewhere, Loss::Anything];
}

#[derive(Debug, Clone, Default)]
struct File {
    seen: Vec<u8>,
    /// As it is after a loss of everything that was not synced.
    kept: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Arc<[u8]>)>,
}

#[derive(Debug, Clone)]
enum Entry {
    Set(String, usize),
    Moved(String, String, usize),
    Gone(String),
}

/// Files by number, and the names of one directory.
#[derive(Debug, Clone, Default)]
pub struct Platter {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    kept_names: BTreeMap<String, usize>,
    /// Changes of names since they last were made to last.
    pending: Vec<Entry>,
}

impl Platter {
    /// Does `step`, which must be possible.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(name) => {
                self.files.push(File::default());
                self.names.insert(name.clone(), self.files.len() - 1);
                self.pending.push(Entry::Set(name.clone(), self.files.len() - 1));
            }
            Step::Write(file, at, data) => {
                if let Some(file) = self.files.get_mut(*file) {
                    write(&mut file.seen, *at, data);
                    file.pending.push((*at, data.clone()));
                }
            }
            Step::Sync(file) => {
                if let Some(file) = self.files.get_mut(*file) {
                    for (at, data) in file.pending.drain(..) {
                        write(&mut file.kept, at, &data);
                    }
                }
            }
            Step::Rename(from, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                    self.pending.push(Entry::Moved(from.clone(), to.clone(), file));
                }
            }
            Step::Remove(name) => {
                self.names.remove(name);
                self.pending.push(Entry::Gone(name.clone()));
            }
            Step::SyncDir => {
                self.kept_names.clone_from(&self.names);
                self.pending.clear();
            }
            Step::Note(_) => {}
        }
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// The number of the file of this name.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The bytes of the file with this number.
    pub fn bytes(&self, file: usize) -> &[u8] {
        self.files.get(file).map_or(&[], |file| &file.seen)
    }

    /// The bytes of the file of this name, to be changed behind everyone's back.
    pub fn damage(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        let file = self.files.get_mut(*self.names.get(name)?)?;
        file.kept.clone_from(&file.seen);
        file.pending.clear();
        Some(&mut file.seen)
    }

    /// Bytes in files that have a name.
    pub fn used(&self) -> u64 {
        self.names.values().map(|file| self.bytes(*file).len() as u64).sum()
    }

    /// What is found when the power is back.
    pub fn after_loss(&self, loss: Loss, seed: u64) -> Platter {
        let mut rng = StdRng::seed_from_u64(seed);
        let names = self.surviving_names(loss, &mut rng);
        let mut after = Platter::default();
        for (name, file) in names {
            let content = self.files.get(file).map(|file| file.surviving(loss, &mut rng)).unwrap_or_default();
            after.names.insert(name, after.files.len());
            after.files.push(File { seen: content.clone(), kept: content, pending: Vec::new() });
        }
        after.kept_names.clone_from(&after.names);
        after
    }

    fn surviving_names(&self, loss: Loss, rng: &mut StdRng) -> BTreeMap<String, usize> {
        let mut names = self.kept_names.clone();
        let upto = rng.random_range(0..=self.pending.len());
        for (i, change) in self.pending.iter().enumerate() {
            let survives = match loss {
                Loss::Everything => false,
                Loss::Nothing => true,
                Loss::FromSomewhere => i < upto,
                Loss::Anything => rng.random_bool(0.5),
            };
            if !survives {
                continue;
            }
            match change {
                Entry::Set(name, file) => {
                    names.insert(name.clone(), *file);
                }
                Entry::Moved(from, to, file) => {
                    names.remove(from);
                    names.insert(to.clone(), *file);
                }
                Entry::Gone(name) => {
                    names.remove(name);
                }
            }
        }
        names
    }
}

impl File {
    fn surviving(&self, loss: Loss, rng: &mut StdRng) -> Vec<u8> {
        let mut content = self.kept.clone();
        let upto = rng.random_range(0..=self.pending.len());
        let torn = rng.random_range(0..=8);
        for (i, (at, data)) in self.pending.iter().enumerate() {
            for (n, (at, sector)) in sectors(*at, data).enumerate() {
                let survives = match loss {
                    Loss::Everything => false,
                    Loss::Nothing => true,
                    Loss::FromSomewhere => i < upto || (i == upto && n < torn),
                    Loss::Anything => rng.random_bool(0.5),
                };
                if survives {
                    write(&mut content, at, sector);
                }
            }
        }
        // The length may have lasted without the bytes.
        if loss == Loss::Anything && content.len() < self.seen.len() && rng.random_bool(0.3) {
            content.resize(self.seen.len(), 0);
        }
        content
    }
}

/// `data` at `at`, cut where the disk's sectors end.
fn sectors(at: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = data.get(from..).filter(|rest| !rest.is_empty())?;
        let start = at + from;
        let length = (SECTOR - start % SECTOR).min(rest.len());
        from += length;
        Some((start, &rest[..length]))
    })
}

fn write(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, data: &[u8]) -> Platter {
        let mut platter = Platter::default();
        platter.apply(&Step::Create(name.to_owned()));
        platter.apply(&Step::Write(0, 0, data.into()));
        platter
    }

    #[test]
    fn what_was_synced_is_there_and_nothing_else_need_be() {
        let mut platter = written("a", &[1; 700]);
        assert!(platter.after_loss(Loss::Everything, 0).names().is_empty());
        platter.apply(&Step::SyncDir);
        assert_eq!(platter.after_loss(Loss::Everything, 0).bytes(0), b"");
        platter.apply(&Step::Sync(0));
        platter.apply(&Step::Write(0, 0, [2; 700].as_slice().into()));
        for seed in 0..50 {
            let after = platter.after_loss(Loss::Anything, seed);
            let (first, second) = after.bytes(0).split_at(SECTOR);
            assert!([first, second].iter().all(|part| part.iter().all(|byte| *byte == part[0])));
        }
        assert_eq!(platter.after_loss(Loss::Nothing, 0).bytes(0), [2; 700]);
        assert_eq!(platter.after_loss(Loss::Everything, 0).bytes(0), [1; 700]);
    }

    #[test]
    fn a_renaming_that_was_not_synced_may_be_undone() {
        let mut platter = written("a", b"x");
        platter.apply(&Step::Sync(0));
        platter.apply(&Step::SyncDir);
        platter.apply(&Step::Rename("a".to_owned(), "b".to_owned()));
        assert_eq!(platter.after_loss(Loss::Everything, 0).names(), ["a"]);
        assert_eq!(platter.after_loss(Loss::Nothing, 0).names(), ["b"]);
    }
}
