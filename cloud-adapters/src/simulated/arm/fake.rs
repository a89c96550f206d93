//! All of it, behind one handle.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cloud::{Answer, ArmCloud};
use super::faults::{ArmFault, ArmFaults, Fate};
use super::identity::{Identities, expired};
use super::metadata::Events;
use crate::azure::resource_id::short_of_path;
use crate::azure::transport::{HttpRequest, HttpResponse, Transport, TransportError};
use crate::simulated::model::CallSeen;

/// Most calls kept; the oldest go first.
const CALLS: usize = 20_000;
/// How long a caller is kept waiting who is never answered: longer than any of ours waits.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// A fake ARM. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct FakeArm {
    started: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    cloud: ArmCloud,
    identities: Identities,
    events: Events,
    faults: ArmFaults,
    arrived: u64,
    writes: u64,
    calls: VecDeque<CallSeen>,
}

/// What a call came to.
pub(super) enum Outcome {
    Answered(Answer),
    /// No answer: the connection ends.
    Lost,
    /// No answer, ever.
    Silent,
}

impl Default for FakeArm {
    fn default() -> Self {
        FakeArm { started: Instant::now(), inner: Arc::default() }
    }
}

impl FakeArm {
    /// An ARM with nothing in it. Its clock is the runtime's.
    pub fn new() -> Self {
        FakeArm::default()
    }

    /// Looks at the cloud, or changes it behind everybody's back.
    pub fn with<T>(&self, look: impl FnOnce(&mut ArmCloud) -> T) -> T {
        let now = self.elapsed();
        let mut inner = self.lock();
        inner.cloud.advance(now);
        look(&mut inner.cloud)
    }

    /// Replaces the fault plan, for calls that arrive from now on.
    pub fn set_faults(&self, faults: ArmFaults) {
        self.lock().faults = faults;
    }

    /// How long tokens are good, and which client secret is the right one, if only one is.
    pub fn set_identity(&self, life: Duration, secret: Option<&str>) {
        self.lock().identities.set(life, secret);
    }

    /// Takes back every token that was given out.
    pub fn revoke_tokens(&self) {
        self.lock().identities.revoke();
    }

    /// How many tokens were given out.
    pub fn tokens_given(&self) -> u64 {
        self.lock().identities.serial()
    }

    /// Announces an event to the machines that it names; it replaces the one of the same id. See
    /// [`scheduled_event`](super::documents::scheduled_event).
    pub fn announce(&self, event: serde_json::Value) {
        self.lock().events.announce(event);
    }

    /// Takes an event off the list.
    pub fn withdraw(&self, id: &str) {
        self.lock().events.withdraw(id);
    }

    /// The status of a listed event: `Scheduled` or `Started`.
    pub fn event_status(&self, id: &str) -> Option<String> {
        self.lock().events.status(id)
    }

    /// How often the list of events was asked for.
    pub fn events_asked(&self) -> u64 {
        self.lock().events.asked()
    }

    /// Has the list of events be answered with this instead; `None` ends that.
    pub fn break_events(&self, answer: Option<Answer>) {
        self.lock().events.instead(answer);
    }

    /// The calls of ARM, oldest first, and those that start events; not those for tokens.
    pub fn calls(&self) -> Vec<CallSeen> {
        self.lock().calls.iter().cloned().collect()
    }

    /// Calls of ARM that have arrived so far.
    pub fn calls_arrived(&self) -> u64 {
        self.lock().arrived
    }

    /// Time since it was made.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Carries out a request as its fate will have it. It goes on when the caller goes away.
    pub(super) async fn carry_out(
        &self,
        method: &str,
        url: &Url,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Outcome {
        if let Some(answer) = self.metadata(method, url, headers, &body) {
            return Outcome::Answered(answer);
        }
        let (number, fate) = self.arrive(method, url.path());
        let (done, outcome) = oneshot::channel();
        let (this, method) = (self.clone(), method.to_owned());
        let (url, headers) = (url.clone(), headers.clone());
        tokio::spawn(async move {
            let outcome = this.fulfil(number, fate, &method, &url, &headers, &body).await;
            // Nobody may be waiting any more.
            let _ = done.send(outcome);
        });
        outcome.await.unwrap_or(Outcome::Lost)
    }

    /// What does not go to ARM: no fault meets it, and only a change is kept.
    fn metadata(&self, method: &str, url: &Url, headers: &HeaderMap, body: &[u8]) -> Option<Answer> {
        let (now, at, path) = (Instant::now(), self.elapsed(), url.path());
        let mut inner = self.lock();
        if let Some(token) = inner.identities.answer(now, method, path, headers, body) {
            return Some(token);
        }
        let answer = inner.events.answer(method, path, headers, body)?;
        if method == "POST" {
            let number = inner.arrived;
            let (call, result) = (format!("POST {path}"), answer.status.to_string());
            inner.calls.push_back(CallSeen { number, at, call, result });
        }
        Some(answer)
    }

    fn arrive(&self, method: &str, path: &str) -> (u64, Fate) {
        let at = self.elapsed();
        let mut inner = self.lock();
        inner.arrived += 1;
        let is_write = method != "GET";
        inner.writes += u64::from(is_write);
        let (number, write) = (inner.arrived, is_write.then_some(inner.writes));
        let call = format!("{method} {}", short_of_path(path));
        inner.calls.push_back(CallSeen { number, at, call, result: "under way".to_owned() });
        if inner.calls.len() > CALLS {
            inner.calls.pop_front();
        }
        (number, inner.faults.fate(number, write))
    }

    async fn fulfil(
        &self,
        number: u64,
        fate: Fate,
        method: &str,
        url: &Url,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Outcome {
        tokio::time::sleep(fate.latency).await;
        let apply = |suffix: &str| {
            let answer = self.apply(fate, method, url, headers, body);
            self.note(number, &answer, suffix);
            answer
        };
        let refuse = |answer: Answer| {
            self.note(number, &answer, " (injected)");
            Outcome::Answered(answer)
        };
        match fate.fault {
            Some(ArmFault::Throttle { retry_after }) => refuse(
                Answer::error(429, "SubscriptionRequestsThrottled", "Number of requests exceeded the limit.")
                    .with("Retry-After", retry_after.to_string()),
            ),
            Some(ArmFault::Locked) => {
                let message = "Operation PutVirtualMachineOperation (0) is updating the resource.";
                refuse(Answer::retryable("RetryableErrorDueToAnotherOperation", message))
            }
            Some(ArmFault::AnotherOperation) => {
                let message = "Another operation on this or dependent resource is in progress.";
                refuse(Answer::error(409, "AnotherOperationInProgress", message))
            }
            Some(ArmFault::NotProvisioned) => {
                let message = "Cannot proceed because a referenced resource is in Updating state.";
                refuse(Answer::retryable("ReferencedResourceNotProvisioned", message))
            }
            Some(ArmFault::ServerError) => {
                refuse(Answer::error(500, "InternalServerError", "An error occurred."))
            }
            Some(ArmFault::Unavailable) => {
                let answer = Answer::error(503, "ServiceUnavailable", "The service is unavailable.");
                refuse(answer.with("Retry-After", "1"))
            }
            Some(ArmFault::ExpireToken) => {
                self.lock().identities.revoke();
                refuse(expired())
            }
            Some(ArmFault::Drop) => {
                self.note(number, &Answer::error(0, "dropped", ""), "");
                Outcome::Lost
            }
            Some(ArmFault::Dead) => {
                self.note(number, &Answer::error(0, "dead", ""), "");
                Outcome::Silent
            }
            Some(ArmFault::LoseReply) => {
                apply(" (reply lost)");
                Outcome::Lost
            }
            Some(ArmFault::Silent) => {
                apply(" (never answered)");
                Outcome::Silent
            }
            Some(ArmFault::ApplyLate(by)) => {
                let (this, method, url) = (self.clone(), method.to_owned(), url.clone());
                let (headers, body) = (headers.clone(), body.to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    let answer = this.apply(fate, &method, &url, &headers, &body);
                    this.note(number, &answer, " (late, reply lost)");
                });
                Outcome::Lost
            }
            Some(ArmFault::ChangedMeanwhile) => {
                self.lock().cloud.meddle(url.path(), |_| {});
                Outcome::Answered(apply(""))
            }
            Some(ArmFault::FailOperation | ArmFault::SlowOperation(_)) | None => Outcome::Answered(apply("")),
        }
    }

    fn apply(&self, fate: Fate, method: &str, url: &Url, headers: &HeaderMap, body: &[u8]) -> Answer {
        let now = self.elapsed();
        let mut inner = self.lock();
        if let Err(refused) = inner.identities.check(Instant::now(), headers) {
            return refused;
        }
        // Every call names the version of the API that it is shaped for.
        if !url.query_pairs().any(|(name, value)| name == "api-version" && !value.is_empty()) {
            return Answer::error(400, "MissingApiVersionParameter", "The api-version is required.");
        }
        let if_match = headers.get("if-match").map(|value| value.to_str().unwrap_or("unreadable"));
        inner.cloud.handle(now, method, url.path(), if_match, body, fate.manner)
    }

    fn note(&self, number: u64, answer: &Answer, suffix: &str) {
        let mut inner = self.lock();
        let code = answer.code();
        let result = match answer.status {
            0 => code.to_owned(),
            status if code.is_empty() => format!("{status}{suffix}"),
            status => format!("{status} {code}{suffix}"),
        };
        if let Some(call) = inner.calls.iter_mut().rev().find(|call| call.number == number) {
            call.result = result;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for FakeArm {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        async move {
            let HttpRequest { method, url, headers, body, timeout } = request;
            let call = self.carry_out(method.as_str(), &url, &headers, body.unwrap_or_default());
            match tokio::time::timeout(timeout, call).await {
                Ok(Outcome::Answered(answer)) => Ok(response(answer)),
                Ok(Outcome::Lost) => Err(TransportError::Broken("a fault was injected".into())),
                Ok(Outcome::Silent) => {
                    tokio::time::sleep(timeout.min(NEVER)).await;
                    Err(TransportError::TimedOut)
                }
                Err(_) => Err(TransportError::TimedOut),
            }
        }
        .boxed()
    }
}

fn response(answer: Answer) -> HttpResponse {
    let headers = answer.headers.into_iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name.to_ascii_lowercase()).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    });
    let body = if answer.body.is_null() { Vec::new() } else { answer.body.to_string().into_bytes() };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse { status, headers: headers.collect(), body }
}
