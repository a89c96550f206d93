//! What is announced to happen to this machine, and how others hear of it.
//!
//! [`Board`] is what stands; every report carries all of it. [`listen`] keeps one source's part of it up
//! to date. A source that does not answer makes its part unknown, never empty: what it said before
//! still stands.

pub(crate) mod azure;

use std::time::Duration;

use coordinator_api::agent::{Handover, Notice, NoticeKind, NoticeSource, SourceReport, SourceState};
use coordinator_core::notice::MAX_NOTICES;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Looks in a row that fail before the source counts as unknown: one lost answer is no news.
const FAILURES: u32 = 3;
/// The longest time from one look that failed to the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Most characters of anything that somebody else wrote.
const MAX_WORDS: usize = 300;
/// Attempts to acknowledge one notice. It begins without, only later.
const ATTEMPTS: u32 = 5;

/// What is announced, by all sources. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Board(watch::Sender<Vec<SourceReport>>);

impl Board {
    /// Nothing is announced by the agent itself, and nothing is known yet of the `others`.
    pub(crate) fn new(others: impl IntoIterator<Item = NoticeSource>) -> Self {
        let own =
            SourceReport { source: NoticeSource::Agent, state: SourceState::Known, notices: Vec::new() };
        let pending = |source| SourceReport { source, state: SourceState::Pending, notices: Vec::new() };
        Board(watch::Sender::new([own].into_iter().chain(others.into_iter().map(pending)).collect()))
    }

    /// Replaces what one source announces. However much that is, a report stays far below the size
    /// that a coordinator takes: an appliance that cannot report loses its lease.
    pub(crate) fn post(&self, mut report: SourceReport) {
        report.notices.sort_by_key(Notice::begins);
        report.notices.truncate(MAX_NOTICES);
        if let SourceState::Unknown { why } = &mut report.state {
            *why = short(why);
        }
        self.0.send_if_modified(|all| match all.iter_mut().find(|known| known.source == report.source) {
            Some(known) if *known == report => false,
            Some(known) => {
                *known = report;
                true
            }
            None => false,
        });
    }

    /// Announces that this agent is about to stop. `boot` tells one life of it from the next.
    pub(crate) fn stops(&self, boot: u64) {
        let notice = Notice {
            id: format!("stop-{boot:016x}"),
            kind: NoticeKind::Shutdown,
            not_before: None,
            started: false,
            lasts_secs: None,
            about: "the agent was asked to stop".to_owned(),
        };
        self.post(SourceReport {
            source: NoticeSource::Agent,
            state: SourceState::Known,
            notices: vec![notice],
        });
    }

    /// Everything that stands.
    pub(crate) fn all(&self) -> Vec<SourceReport> {
        self.0.borrow().clone()
    }

    /// To wait for a change.
    pub(crate) fn watch(&self) -> watch::Receiver<Vec<SourceReport>> {
        self.0.subscribe()
    }
}

/// What somebody else wrote, cut to what a log takes, on one line.
pub(crate) fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

/// Whether a report says that its agent is about to stop.
pub(crate) fn announces_stop(notices: &[SourceReport]) -> bool {
    let mut own = notices.iter().filter(|report| report.source == NoticeSource::Agent);
    own.any(|report| report.notices.iter().any(|notice| notice.kind == NoticeKind::Shutdown))
}

/// What the leader said last of leaving this appliance, for what is announced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its answer to the newest report that announced anything.
    pub(crate) newest: Option<Handover>,
    /// Whether that report announced that this agent is about to stop.
    pub(crate) of_stop: bool,
    /// The appliance was active while something was announced.
    pub(crate) was_active: bool,
}

impl Told {
    /// Takes a leader's answer to a report that announced `notices`.
    pub(crate) fn take(&mut self, handover: Option<&Handover>, notices: &[SourceReport]) {
        let was_active = match handover {
            None => false,
            Some(Handover::Done) => self.was_active,
            Some(Handover::Pending | Handover::Refused { .. }) => true,
        };
        *self = Told { newest: handover.cloned(), of_stop: announces_stop(notices), was_active };
    }

    /// The group has left this appliance on account of what is announced.
    fn left(&self) -> bool {
        self.was_active && self.newest == Some(Handover::Done)
    }
}

/// What one look at a source showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// What it announces for this machine.
    pub(crate) notices: Vec<Notice>,
    /// There may be others: why that cannot be told.
    pub(crate) doubt: Option<String>,
}

/// Somebody who announces what will happen to this machine.
pub(crate) trait Source: Send {
    /// Who.
    const SOURCE: NoticeSource;

    /// Asks once. Takes as long as it takes, within a limit of its own.
    ///
    /// # Errors
    /// In words, with what was attempted.
    fn look(&mut self) -> impl Future<Output = Result<Look, String>> + Send;

    /// Says that what is announced may begin.
    ///
    /// # Errors
    /// In words, with what was attempted.
    fn acknowledge(&self, id: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// How to listen to a source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listening {
    /// From one look to the next.
    pub(crate) poll: Duration,
    /// Whether to acknowledge what the group has left this appliance for.
    pub(crate) acknowledge: bool,
}

/// Keeps the board in step with a source, for as long as it is not dropped.
pub(crate) async fn listen<S: Source>(
    mut source: S,
    how: Listening,
    board: Board,
    told: watch::Receiver<Told>,
) {
    let (mut failures, mut attempts) = (0_u32, Vec::new());
    let mut before = SourceReport { source: S::SOURCE, state: SourceState::Pending, notices: Vec::new() };
    loop {
        let started = Instant::now();
        let mut now = before.clone();
        match source.look().await {
            Ok(Look { notices, doubt }) => {
                failures = 0;
                now.notices = notices;
                now.state = doubt.map_or(SourceState::Known, |why| SourceState::Unknown { why });
            }
            Err(why) => {
                failures = failures.saturating_add(1);
                debug!(source = %S::SOURCE, failures, why, "a look at notices failed");
                if failures >= FAILURES {
                    now.state = SourceState::Unknown { why };
                }
            }
        }
        say(&before, &now);
        board.post(now.clone());
        attempts.retain(|(id, _)| now.notices.iter().any(|notice| notice.id == *id));
        if how.acknowledge && told.borrow().left() {
            acknowledge(&source, &now.notices, &mut attempts).await;
        }
        before = now;
        let pause = how.poll.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE.max(how.poll));
        tokio::time::sleep_until(started + pause).await;
    }
}

/// Logs what is new.
fn say(before: &SourceReport, now: &SourceReport) {
    let source = now.source;
    for notice in &now.notices {
        if !before.notices.iter().any(|known| known.id == notice.id) {
            let Notice { id, kind, about, .. } = notice;
            warn!(%source, %kind, id, about, "something is announced to happen to this machine");
        }
    }
    match (&before.state, &now.state) {
        // In other words it is the same silence.
        (SourceState::Unknown { .. }, SourceState::Unknown { .. }) => {}
        (_, SourceState::Unknown { why }) => {
            warn!(%source, why, "it is not known what is announced for this machine");
        }
        (SourceState::Pending | SourceState::Unknown { .. }, SourceState::Known) => {
            info!(%source, notices = now.notices.len(), "notices are heard");
        }
        _ => {}
    }
}

/// Acknowledges what has not begun, each a few times at most.
async fn acknowledge<S: Source>(source: &S, notices: &[Notice], attempts: &mut Vec<(String, u32)>) {
    for notice in notices.iter().filter(|notice| !notice.started) {
        let id = &notice.id;
        let tried = attempts.iter().find(|(known, _)| known == id).map_or(0, |(_, tried)| *tried);
        if tried >= ATTEMPTS {
            continue;
        }
        let tried = match source.acknowledge(id).await {
            Ok(()) => {
                info!(source = %S::SOURCE, id, "acknowledged: it may begin");
                ATTEMPTS
            }
            Err(why) => {
                warn!(source = %S::SOURCE, id, why, "not acknowledged: it begins when it was announced for");
                tried + 1
            }
        };
        attempts.retain(|(known, _)| known != id);
        attempts.push((id.clone(), tried));
    }
}

#[cfg(test)]
mod tests;
