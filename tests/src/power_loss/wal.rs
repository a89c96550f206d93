//! The write-ahead log: entries, votes, cuts and purges, over several lives of the process.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coordinator::raft::types::{Entry, TypeConfig, Vote};
use coordinator::raft::wal::{Wal, WalError};
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Report;
use super::log_model::{Content, Record, entry};
use crate::disk::{Fault, Loss, Platter, SimDisk, Step};

/// Small, so that a run goes through many segments.
const SEGMENT: u64 = 16 << 10;
/// What tells this log from another.
const LOG: u64 = 0x706f_7765_726c_6f67;
/// Lives of a process in one run.
const LIVES: usize = 4;

/// What a remark in the journal means.
#[derive(Debug, Clone, Copy)]
enum Note {
    /// Another life begins with what the log holds after so many records of its own.
    Life(usize),
    /// So many records of this life have been given to the log.
    Given(usize),
    /// So many have been acknowledged.
    Acknowledged(usize),
}

impl Note {
    fn packed(self) -> u64 {
        match self {
            Note::Life(life) => (life as u64) << 2,
            Note::Given(count) => (count as u64) << 2 | 1,
            Note::Acknowledged(count) => (count as u64) << 2 | 2,
        }
    }

    fn unpacked(packed: u64) -> Note {
        let count = (packed >> 2) as usize;
        match packed & 3 {
            0 => Note::Life(count),
            1 => Note::Given(count),
            _ => Note::Acknowledged(count),
        }
    }
}

/// One life: what the log held when it began, and every record given to it since.
#[derive(Debug, Clone, Default)]
struct Life {
    before: Content,
    records: Vec<Record>,
}

impl Life {
    fn after(&self, count: usize) -> Content {
        let mut content = self.before.clone();
        self.records.iter().take(count).for_each(|record| content.apply(record));
        content
    }
}

/// Runs one seed: a story of several lives, then `per_step` disks for each step of it.
pub fn sweep(seed: u64, per_step: u64, mistake: Option<Fault>) -> Report {
    let mut report = Report::default();
    let ran = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    report.violation = match ran {
        Ok(runtime) => runtime.block_on(run(seed, per_step, mistake, &mut report.images)).err(),
        Err(error) => Some(format!("no runtime: {error}")),
    };
    report
}

async fn run(seed: u64, per_step: u64, mistake: Option<Fault>, images: &mut u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (journal, lives) =
        story(&mut rng, mistake).await.map_err(|what| format!("seed {seed}, in the story: {what}"))?;
    let mut platter = Platter::default();
    let mut bounds = Bounds { life: 0, acknowledged: 0, given: 0 };
    let lives_of = |bounds: &Bounds| lives.get(bounds.life).cloned().unwrap_or_default();
    let mut life = lives_of(&bounds);
    for (at, step) in journal.iter().enumerate() {
        platter.apply(step);
        if let Step::Note(note) = step {
            bounds.take(Note::unpacked(*note));
            life = lives_of(&bounds);
            continue;
        }
        let failed = |loss: &str, what| format!("seed {seed}, step {at} ({step:.60?}), {loss}: {what}");
        for n in 0..per_step {
            let loss = Loss::ALL[n as usize % Loss::ALL.len()];
            let image = platter.after_loss(loss, seed ^ ((at as u64) << 16) ^ n);
            *images += 1;
            let outcome = open_image(&image, &life, &bounds).await;
            outcome.map_err(|what| failed(&format!("loss {loss:?}"), what))?;
        }
        // Now and then the next life begins there, after a loss or a mere kill, and ends again.
        if at % 12 == 0 {
            let image = platter.after_loss(Loss::Anything, seed ^ at as u64);
            let outcome = live_on(&image, &life, &bounds, images).await;
            outcome.map_err(|what| failed("a loss and another life", what))?;
        } else if at % 12 == 6 {
            let outcome = live_on(&platter, &life, &bounds, images).await;
            outcome.map_err(|what| failed("a kill and another life", what))?;
        }
    }
    Ok(())
}

/// What must and what may be in the log.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    life: usize,
    acknowledged: usize,
    given: usize,
}

impl Bounds {
    fn take(&mut self, note: Note) {
        match note {
            Note::Life(life) => *self = Bounds { life, acknowledged: 0, given: 0 },
            Note::Given(count) => self.given = count,
            Note::Acknowledged(count) => self.acknowledged = self.acknowledged.max(count),
        }
    }

    fn check(&self, life: &Life, found: &Content) -> Result<(), String> {
        let mut content = life.after(self.acknowledged);
        let least = content.brief();
        if content == *found {
            return Ok(());
        }
        for record in life.records.iter().take(self.given).skip(self.acknowledged) {
            content.apply(record);
            if content == *found {
                return Ok(());
            }
        }
        Err(format!("found {}; acknowledged: {least}; given: {}", found.brief(), content.brief()))
    }
}

async fn open_image(image: &Platter, life: &Life, bounds: &Bounds) -> Result<(), String> {
    let disk = SimDisk::new(image.clone());
    let mut wal = open(&disk).map_err(|error| format!("it does not start: {error}"))?;
    let found = Content::of(&mut wal).await.map_err(|error| format!("it cannot be read: {error}"))?;
    wal.close().await;
    bounds.check(life, &found)
}

/// Remarks within the life that goes on.
const OPENED: u64 = 1;
const APPENDED: u64 = 2;

/// Opens the log, fills the next segment, and loses the power at each step of that.
async fn live_on(image: &Platter, life: &Life, bounds: &Bounds, images: &mut u64) -> Result<(), String> {
    let disk = SimDisk::new(image.clone());
    disk.record();
    let mut wal = open(&disk).map_err(|error| format!("it does not start: {error}"))?;
    let found = Content::of(&mut wal).await.map_err(|error| format!("it cannot be read: {error}"))?;
    bounds.check(life, &found)?;
    disk.note(OPENED);
    let (term, first) = found.last().map_or((1, 0), |id| (id.committed_leader_id().term, id.index() + 1));
    for index in first..first + 5 {
        let outcome = append(&mut wal, vec![entry(term, index, 2_500)]).await;
        outcome.map_err(|error| format!("it takes no entry: {error}"))?;
        disk.note(APPENDED);
    }
    wal.close().await;
    let (mut platter, mut opened, mut appended) = (image.clone(), false, 0);
    for (at, step) in disk.journal().iter().enumerate() {
        platter.apply(step);
        opened |= matches!(step, Step::Note(OPENED));
        appended += usize::from(matches!(step, Step::Note(APPENDED)));
        for loss in [Loss::Everything, Loss::ALL[at % Loss::ALL.len()]] {
            *images += 1;
            let disk = SimDisk::new(platter.after_loss(loss, at as u64));
            let mut wal =
                open(&disk).map_err(|error| format!("it does not start the second time: {error}"))?;
            let mut second = Content::of(&mut wal).await.map_err(|error| error.to_string())?;
            wal.close().await;
            let new = second.entries.len().saturating_sub(found.entries.len());
            second.entries.truncate(found.entries.len());
            let kept = new >= appended && (!opened || second == found);
            if !kept {
                return Err(format!("the second time: {} and {new} of {appended}", second.brief()));
            }
            bounds.check(life, &second).map_err(|what| format!("the second time: {what}"))?;
        }
    }
    Ok(())
}

/// Lives of a process that end by a kill or by a power loss. Every step is in the journal.
async fn story(rng: &mut StdRng, mistake: Option<Fault>) -> Result<(Vec<Step>, Vec<Life>), String> {
    let mut disk = SimDisk::new(Platter::default());
    disk.record();
    let mut lives: Vec<Life> = Vec::new();
    let mut term = 1;
    for number in 0..LIVES {
        let mut wal = open(&disk).map_err(|error| format!("life {number} does not start: {error}"))?;
        disk.set_fault(mistake);
        let found = Content::of(&mut wal).await.map_err(|error| error.to_string())?;
        disk.note(Note::Life(number).packed());
        let mut telling =
            Telling { disk: disk.clone(), term, life: Life { before: found, ..Life::default() } };
        for _ in 0..rng.random_range(8..20) {
            telling.act(&mut wal, rng).await.map_err(|error| error.to_string())?;
        }
        (term, _) = (telling.term, lives.push(telling.life));
        // The next life finds the page cache as it was.
        disk = disk.kill();
        // Let the tasks of this life see that it is over.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok((disk.journal(), lives))
}

struct Telling {
    disk: SimDisk,
    term: u64,
    life: Life,
}

impl Telling {
    fn give(&mut self, records: impl IntoIterator<Item = Record>) -> usize {
        self.life.records.extend(records);
        self.disk.note(Note::Given(self.life.records.len()).packed());
        self.life.records.len()
    }

    async fn act(&mut self, wal: &mut Wal, rng: &mut StdRng) -> io::Result<()> {
        let now = self.life.after(usize::MAX);
        let count = match (rng.random_range(0..12), now.last()) {
            (0, _) => {
                self.term += 1;
                let vote = Vote::new(self.term, 1);
                let count = self.give([Record::Vote(vote)]);
                wal.save_vote(&vote).await?;
                count
            }
            (1, _) if now.entries.len() > 2 => {
                let last = now.entries[rng.random_range(0..now.entries.len() - 1)].log_id;
                let count = self.give([Record::Truncate(last)]);
                wal.truncate_after(Some(last)).await?;
                count
            }
            (2, _) if now.entries.len() > 10 => {
                let upto = now.entries[rng.random_range(0..8)].log_id;
                let count = self.give([Record::Purge(upto)]);
                wal.purge(upto).await?;
                count
            }
            (3, _) => {
                tokio::time::sleep(Duration::from_millis(rng.random_range(1..1500))).await;
                return Ok(());
            }
            (4, Some(last)) => return wal.save_committed(Some(last)).await,
            (_, last) => {
                let first = last.map_or(0, |id| id.index() + 1);
                let size = if rng.random_bool(0.2) { 3000 } else { 300 };
                let new: Vec<Entry> = (0..rng.random_range(1..6))
                    .map(|i| entry(self.term, first + i, rng.random_range(1..size)))
                    .collect();
                let count = self.give(new.iter().map(|entry| Record::Entry(Box::new(entry.clone()))));
                let outcome = submit(wal, new).await?;
                let disk = self.disk.clone();
                let told = async move {
                    if let Ok(Ok(())) = outcome.await {
                        disk.note(Note::Acknowledged(count).packed());
                    }
                };
                // Every other one is waited for; the rest are under way side by side.
                if rng.random_bool(0.5) {
                    told.await
                } else {
                    drop(tokio::spawn(told))
                }
                return Ok(());
            }
        };
        self.disk.note(Note::Acknowledged(count).packed());
        Ok(())
    }
}

fn open(disk: &SimDisk) -> Result<Wal, WalError> {
    Wal::open_as_task(Arc::new(disk.clone()), SEGMENT, LOG)
}

type Outcome = tokio::sync::oneshot::Receiver<io::Result<()>>;

async fn submit(wal: &mut Wal, entries: Vec<Entry>) -> io::Result<Outcome> {
    let (heard, outcome) = tokio::sync::oneshot::channel();
    let (tx, rx) = TypeConfig::oneshot::<io::Result<()>>();
    tokio::spawn(async move {
        let _ = heard.send(rx.await.unwrap_or_else(|_| Err(io::Error::other("no answer"))));
    });
    wal.append(entries, IOFlushed::signal(tx)).await?;
    Ok(outcome)
}

async fn append(wal: &mut Wal, entries: Vec<Entry>) -> io::Result<()> {
    submit(wal, entries).await?.await.map_err(io::Error::other)?
}

/// A log that was closed properly, with one sector damaged at a time: it must refuse, naming the
/// file, or hold what it held. Returns how many of each there were.
pub fn damage(seed: u64) -> Result<(u64, u64), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(Platter::default());
        let mut wal = open(&disk).map_err(|error| error.to_string())?;
        let mut telling = Telling { disk: disk.clone(), term: 1, life: Life::default() };
        for _ in 0..30 {
            telling.act(&mut wal, &mut rng).await.map_err(|error| error.to_string())?;
        }
        wal.close().await;
        let (expected, platter) = (telling.life.after(usize::MAX), disk.platter());
        let found = Mutex::new((0, 0));
        for name in platter.names() {
            let size = platter.number(&name).map_or(0, |file| platter.bytes(file).len());
            for sector in 0..size / 512 {
                let mut image = platter.clone();
                if let Some(bytes) = image.damage(&name) {
                    rng.fill(&mut bytes[sector * 512..(sector + 1) * 512]);
                }
                let outcome = open_damaged(&image, &expected, &name).await;
                let refused = outcome.map_err(|what| format!("{name}, sector {sector}: {what}"))?;
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                if refused { found.0 += 1 } else { found.1 += 1 }
            }
        }
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    })
}

async fn open_damaged(image: &Platter, expected: &Content, name: &str) -> Result<bool, String> {
    match open(&SimDisk::new(image.clone())) {
        Err(WalError::Damaged { file, .. }) if file.starts_with("disk/") && !file.ends_with('/') => Ok(true),
        Err(error) => Err(format!("the refusal names no file: {error}")),
        Ok(mut wal) => {
            let found = Content::of(&mut wal).await.map_err(|error| error.to_string())?;
            wal.close().await;
            let same = found == *expected;
            if same { Ok(false) } else { Err(format!("{name} was read past: {}", found.brief())) }
        }
    }
}
