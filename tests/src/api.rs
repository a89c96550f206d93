//! A client of the operators' API that hides nothing: no retries, and a lost answer is told apart
//! from a refusal.

use std::time::Duration;

use anyhow::{Context, Result};
use coordinator_api::v1::{
    ClusterStatus, Cursor, GroupStatus, HistoryEvent, HistoryPage, OperationList, Problem,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long one request may take: longer than any limit of the server.
const DEADLINE: Duration = Duration::from_secs(20);

/// The operators' listener of one coordinator.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
    deadline: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The server said no.
    #[error("{} {}: {}", .0.status, .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// No connection: nothing was done.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// No whole answer: a change may have been made.
    #[error("no answer: {0}")]
    Lost(String),
}

impl Api {
    /// The listener at `base`, for instance `https://127.0.0.1:7400`.
    pub fn new(client: reqwest::Client, base: String, token: String) -> Api {
        Api { client, base, token, deadline: DEADLINE }
    }

    /// The same, with a limit on each request of its own.
    pub fn with_deadline(self, deadline: Duration) -> Api {
        Api { deadline, ..self }
    }

    /// `GET path`, as this node has it: without asking the leader.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn stale<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let separator = if path.contains('?') { '&' } else { '?' };
        self.get(&format!("{path}{separator}consistency=stale")).await
    }

    /// `GET path`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.answer(self.client.get(format!("{}{path}", self.base))).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.answer(self.client.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// The cluster as this node has it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn status(&self) -> Result<ClusterStatus, Failure> {
        self.stale("/v1/status").await
    }

    /// A group, as the leader has it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn group(&self, name: &str) -> Result<GroupStatus, Failure> {
        self.get(&format!("/v1/groups/{name}")).await
    }

    /// The operations, as the leader has them.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn operations(&self) -> Result<OperationList, Failure> {
        self.get("/v1/operations").await
    }

    /// This node's own whole history, oldest first, all pages.
    ///
    /// # Errors
    /// [`Failure`], or pages that do not go back in time.
    pub async fn own_history(&self) -> Result<Vec<HistoryEvent>> {
        self.history("stale").await
    }

    /// The cluster's whole history, oldest first, all pages.
    ///
    /// # Errors
    /// [`Failure`], or pages that do not go back in time.
    pub async fn cluster_history(&self) -> Result<Vec<HistoryEvent>> {
        self.history("linearizable").await
    }

    async fn history(&self, consistency: &str) -> Result<Vec<HistoryEvent>> {
        let mut all: Vec<HistoryEvent> = Vec::new();
        let mut before: Option<Cursor> = None;
        loop {
            let from = before.map(|cursor| format!("&before={cursor}")).unwrap_or_default();
            let page: HistoryPage =
                self.get(&format!("/v1/history?limit=500{from}&consistency={consistency}")).await?;
            for event in page.events {
                anyhow::ensure!(
                    all.last().is_none_or(|last| event.id < last.id),
                    "{} is out of order",
                    event.id
                );
                all.push(event);
            }
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        all.reverse();
        Ok(all)
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, Failure> {
        let lost = |error: reqwest::Error| {
            let unreachable = error.is_connect();
            let said = format!("{:#}", anyhow::Error::new(error));
            if unreachable { Failure::Unreachable(said) } else { Failure::Lost(said) }
        };
        let response = request.bearer_auth(&self.token).timeout(self.deadline).send().await.map_err(lost)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(lost)?;
        let unreadable = |error: serde_json::Error| {
            Failure::Lost(format!("{status}, {error} in {:?}", String::from_utf8_lossy(&bytes)))
        };
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(unreadable);
        }
        Err(Failure::Problem(serde_json::from_slice(&bytes).map_err(unreadable)?))
    }
}

/// A client that trusts the cluster's authority alone.
///
/// # Errors
/// When the file is unreadable or holds no authority.
pub fn client(ca: &std::path::Path) -> Result<reqwest::Client> {
    let pem = std::fs::read(ca).with_context(|| format!("could not read {}", ca.display()))?;
    Ok(coordinator_api::tls::operator_client(&pem)?)
}
