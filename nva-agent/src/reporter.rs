//! Reports to the coordinators: one task for each, so that one that hangs delays no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coordinator_api::agent::{AgentReply, AgentReport, Instruction, MAX_BODY, REPORT_PATH, SourceReport};
use coordinator_core::ids::{ApplianceName, NodeId};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::changes::Changes;
use crate::clock;
use crate::contacts::Contacts;
use crate::holder::Answer;
use crate::notices::{Board, Told};
use crate::peer::link::Links;
use crate::service::{Coordinator, LONGEST_INTERVAL, SHORTEST_INTERVAL};
use crate::standing::Standing;

/// A report waits at most this long for its reply, or a third of the lease where that is less,
/// but long enough for a TLS handshake on a busy machine.
const LONGEST_WAIT: Duration = Duration::from_millis(1_000);
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
/// Most faults in a report, and most characters of each: far below [`MAX_BODY`].
const MAX_FAULTS: usize = 32;
const MAX_FAULT_CHARS: usize = 500;

/// What every report of this life has in common.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) appliance: ApplianceName,
    pub(crate) boot: u64,
    pub(crate) seq: AtomicU64,
    pub(crate) interval: Duration,
    /// What is announced to happen to this machine.
    pub(crate) board: Board,
    /// What the leader says to that.
    pub(crate) told: watch::Sender<Told>,
}

/// Why a report was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("no reply within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{}", chain(.0))]
    Http(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("the reply is longer than {MAX_BODY} bytes")]
    TooLong,
    #[error("the reply is not understood: {0}")]
    Garbled(#[from] serde_json::Error),
    #[error("node {found} answers there; correct `coordinators` in the agent's configuration")]
    OtherNode { found: NodeId },
    #[error("{0} answers there; correct `peer` in the group's declaration")]
    OtherPeer(ApplianceName),
}

/// What a coordinator's tasks share: the one that reports to it on this machine's own way, and
/// the one that does so through peers (`relayed`).
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) coordinator: Coordinator,
    pub(crate) client: reqwest::Client,
    pub(crate) links: Links,
    pub(crate) life: Arc<Life>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) answers: mpsc::Sender<Answer>,
    pub(crate) contacts: Contacts,
    /// Turns true once everything is released: one more report, and the end.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Reporter {
    /// Reports at every interval, and at once when something changed.
    pub(crate) async fn run(mut self) {
        let told = Arc::new(Notify::new());
        let mut notices = self.life.board.watch();
        let (url, appliance) = (&self.coordinator.base_url, self.life.appliance.clone());
        let _changes = Changes::watch(self.client.clone(), url, appliance, told.clone());
        loop {
            // Read before the snapshot, so that the last report has the last standing.
            let closing = *self.closing.borrow_and_update();
            let started = Instant::now();
            let standing = self.standing.borrow_and_update().clone();
            notices.mark_unchanged();
            let interval = self.interval(&standing);
            self.exchange(standing, &self.client, None).await;
            if closing {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(started + interval) => {}
                changed = self.standing.changed() => if changed.is_err() {
                    // The holder is gone: only the last report is left to send.
                    let _ = self.closing.wait_for(|closing| *closing).await;
                },
                () = told.notified() => {}
                Ok(()) = notices.changed() => {}
                _ = self.closing.changed() => {}
            }
        }
    }

    /// From one report to the next.
    pub(crate) fn interval(&self, standing: &Standing) -> Duration {
        self.life.interval.min(ttl_of(standing) / 8).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
    }

    /// One report and its reply, on this machine's own way or through a peer. True when it was
    /// answered.
    pub(crate) async fn exchange(
        &self,
        standing: Standing,
        client: &reqwest::Client,
        via: Option<&ApplianceName>,
    ) -> bool {
        let wait = (ttl_of(&standing) / 3).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        // However long the way through a peer is, the lease counts from here.
        let sent_at = clock::now();
        let notices = self.life.board.all();
        let report = self.report(standing, notices.clone(), client, via);
        let reply = tokio::time::timeout(wait, report).await;
        let reply = reply.unwrap_or(Err(ReportError::Timeout(wait)));
        self.note(&reply, via);
        let answered = reply.is_ok();
        if let Ok(reply) = reply {
            if reply.instruction != Instruction::NotLeader {
                self.hear(&reply, &notices);
            }
            // A full queue means that the holder is busy; the next reply says the same.
            let _ = self.answers.try_send(Answer { sent_at, reply });
        }
        answered
    }

    /// Takes what the leader says of leaving this appliance.
    fn hear(&self, reply: &AgentReply, notices: &[SourceReport]) {
        self.life.told.send_if_modified(|told| {
            let before = told.clone();
            told.take(reply.handover.as_ref(), notices);
            *told != before
        });
    }

    async fn report(
        &self,
        standing: Standing,
        notices: Vec<SourceReport>,
        client: &reqwest::Client,
        via: Option<&ApplianceName>,
    ) -> Result<AgentReply, ReportError> {
        let cut = |fault: String| fault.chars().take(MAX_FAULT_CHARS).collect();
        let report = AgentReport {
            appliance: self.life.appliance.clone(),
            boot: self.life.boot,
            seq: self.life.seq.fetch_add(1, Ordering::Relaxed) + 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            highest: standing.highest,
            holding: standing.holding,
            vips_up: standing.vips_up,
            faults: standing.faults.into_iter().take(MAX_FAULTS).map(cut).collect(),
            revision: standing.acknowledged,
            via: via.cloned(),
            peers: self.links.paths(),
            notices,
        };
        let url = format!("{}{REPORT_PATH}", self.coordinator.base_url);
        let reply: AgentReply = answer(client.post(url).json(&report)).await?;
        if reply.node == self.coordinator.node {
            Ok(reply)
        } else {
            Err(ReportError::OtherNode { found: reply.node })
        }
    }

    /// Keeps the contact up to date, and logs when it changes.
    fn note(&self, reply: &Result<AgentReply, ReportError>, via: Option<&ApplianceName>) {
        let node = self.coordinator.node;
        match (reply, via) {
            (Ok(reply), None) => {
                if self.contacts.answered(node, clock::now(), reply.leader) {
                    info!(node = node.0, "coordinator reached");
                }
            }
            (Ok(reply), Some(via)) => {
                if self.contacts.relayed(node, clock::now(), reply.leader, via) {
                    info!(node = node.0, %via, "coordinator reached through a peer");
                }
            }
            (Err(error), None) => {
                let error = error.to_string();
                if self.contacts.failed(node, &error) {
                    warn!(node = node.0, %error, "coordinator not reached");
                }
            }
            (Err(error), Some(via)) => {
                if self.contacts.not_relayed(node) {
                    warn!(node = node.0, %via, %error, "coordinator no longer reached through a peer");
                }
            }
        }
    }
}

/// The lease by which a report's time is measured; a long one before it is known.
pub(crate) fn ttl_of(standing: &Standing) -> Duration {
    standing.ttl.unwrap_or(LONGEST_INTERVAL * 8)
}

/// Sends a request and reads a bounded answer.
pub(crate) async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, ReportError> {
    let mut response = request.send().await?;
    if !response.status().is_success() {
        return Err(ReportError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY {
            return Err(ReportError::TooLong);
        }
    }
    Ok(serde_json::from_slice(&body)?)
}

/// An HTTP client's error with its causes: the cause is what an operator needs.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
