//! Long-running operations: ARM accepts a change at once and works on it for seconds or minutes.
//!
//! It says so in four ways: 201 or 202, or 200 with the state `Updating`, with a URL in
//! `Azure-AsyncOperation`, in `Location`, in both, or in none. The first is asked first, because
//! it alone tells success from failure; with none of them the resource itself is asked.
//!
//! Where to ask is told to the journal, so that a leader that takes over goes on asking there. It
//! does not need to: the resource is in the state `Updating` for exactly as long, and the driver
//! waits for that to end before it plans.

mod place;
mod watched;

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::client::{ArmClient, Call, NETWORK, Refused, Reply, told};
use super::failure::{CallError, CallFailure, Class};
use crate::azure::documents::State;
use crate::azure::options::Pace;
use crate::azure::resource_id::{Kind, ResourceId, short_of_path};
use crate::contract::{Journal, UnderWay};

pub(super) use watched::Watchers;

/// Looks in a row that may fail before it is left to the next round.
const FAILED_LOOKS: u32 = 8;

impl ArmClient {
    /// Waits until what was accepted is done. Returns the result, if there is one.
    pub(super) async fn finish(
        &self,
        accepted: Reply,
        resource: Option<&ResourceId>,
        journal: &Journal,
    ) -> Result<Value, CallFailure> {
        if let Some(id) = resource
            && let Some(place) = place::of(&accepted, &self.base)
        {
            journal.accepted(UnderWay { resource: id.key().to_owned(), place });
        }
        let Reply { status, body, operation, location } = accepted;
        if let Some(url) = operation {
            return match self.watch(url, Look::Operation, resource, journal).await {
                // ARM has forgotten the operation; the resource knows what became of it.
                Err(failure) if failure.class == Class::Gone => self.watch_resource(resource, journal).await,
                // For the result of an action one more look is needed.
                Ok(_) if resource.is_none() && location.is_some() => match location {
                    Some(url) => self.watch(url, Look::Location, resource, journal).await,
                    None => Ok(Value::Null),
                },
                ended => ended,
            };
        }
        match location.filter(|_| status != StatusCode::OK) {
            Some(url) => match self.watch(url, Look::Location, resource, journal).await {
                Err(failure) if failure.class == Class::Gone => self.watch_resource(resource, journal).await,
                ended => ended,
            },
            None if status == StatusCode::ACCEPTED || State::of(&body) == State::Updating => {
                self.watch_resource(resource, journal).await
            }
            None => Ok(body),
        }
    }

    /// Goes on waiting at a place that [`finish`](Self::finish) told. It ends when the change has
    /// ended, and when the place is none of ARM's, not that resource's, or not known any more.
    pub(in crate::azure) async fn resume(&self, id: &ResourceId, place: &str, journal: &Journal) {
        if self.check_allowed(id).is_err() {
            return;
        }
        if let Some((url, look)) = place::url(place, id, &self.base) {
            // However it ended: the resource says what became of it.
            let _ = self.watch(url, look, Some(id), journal).await;
        }
    }

    async fn watch_resource(
        &self,
        resource: Option<&ResourceId>,
        journal: &Journal,
    ) -> Result<Value, CallFailure> {
        match resource {
            Some(id) => {
                let url = self.url(id.as_str(), NETWORK);
                self.watch(url, Look::Resource, resource, journal).await
            }
            None => {
                let why = "ARM accepted the request and does not say where its result will be";
                Err(CallFailure::new(Class::Transient, CallError::Strange(why)))
            }
        }
    }

    /// Looks again and again, for as long as the caller lets it.
    async fn watch(
        &self,
        url: Url,
        look: Look,
        resource: Option<&ResourceId>,
        journal: &Journal,
    ) -> Result<Value, CallFailure> {
        let mut note = Note::new(short_of_path(url.path()), journal);
        let nic = resource.is_some_and(|id| id.is(Kind::Nic));
        let _watched = self.watched.one_more(nic);
        let started = Instant::now();
        let (mut wish, mut failed) = (None, 0);
        let mut call =
            Call { method: Method::GET, url, if_match: None, body: None, timeout: self.pace.read_timeout };
        loop {
            tokio::time::sleep(self.until_next_look(started.elapsed(), wish.take(), nic)).await;
            let result = self.look_once(&call).await;
            note.looked(&result);
            match result {
                Ok(reply) => {
                    failed = 0;
                    match look.verdict(&reply) {
                        Verdict::Working => {
                            // ARM may move the place to look at.
                            if let Some(next) = reply.location.filter(|_| look == Look::Location) {
                                call.url = next;
                            }
                        }
                        Verdict::Done => return Ok(reply.body),
                        Verdict::Failed(error) => return Err(CallFailure::of_operation(&error)),
                    }
                }
                Err(Refused::Call(failure)) => {
                    failed += 1;
                    let passes = matches!(failure.class, Class::Transient | Class::Throttled | Class::Busy);
                    if !passes || failed > FAILED_LOOKS {
                        return Err(failure);
                    }
                    wish = failure.retry_after;
                }
                Err(refused) => return Err(refused.into_failure()),
            }
        }
    }

    /// How long to wait before the next look at an operation that is that old. `wish` is what ARM
    /// asked for when it refused a look.
    fn until_next_look(&self, age: Duration, wish: Option<Duration>, nic: bool) -> Duration {
        let Pace { poll_first, poll_longest, polls_per_second, .. } = self.pace;
        let own = (age / 16).max(wish.unwrap_or_default()).min(poll_longest).max(poll_first);
        // Together they must not use up what ARM lets a subscription read.
        own.max(self.watched.share(nic, polls_per_second, poll_first))
    }

    /// Outside the journal, which has one line for all looks at one operation.
    async fn look_once(&self, call: &Call<'_>) -> Result<Reply, Refused> {
        match self.exchange(call).await {
            Err(Refused::Token(refused)) => match self.tokens.instead_of(&refused).await {
                Ok(_) => self.exchange(call).await,
                Err(_) => Err(Refused::Token(refused)),
            },
            other => other,
        }
    }
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Operation,
    Location,
    Resource,
}

enum Verdict {
    Working,
    Done,
    Failed(Value),
}

impl Look {
    fn verdict(self, reply: &Reply) -> Verdict {
        match self {
            Look::Operation => match reply.body.get("status").and_then(Value::as_str) {
                Some("Succeeded") => Verdict::Done,
                Some("Failed" | "Canceled") => Verdict::Failed(error_in(&reply.body)),
                _ => Verdict::Working,
            },
            Look::Location if reply.status == StatusCode::ACCEPTED => Verdict::Working,
            Look::Location => Verdict::Done,
            Look::Resource => match State::of(&reply.body) {
                State::Updating => Verdict::Working,
                State::Succeeded => Verdict::Done,
                State::Failed => Verdict::Failed(Value::Null),
            },
        }
    }
}

fn error_in(body: &Value) -> Value {
    let error = body.get("error").cloned();
    error.unwrap_or_else(|| serde_json::json!({ "code": body.get("status") }))
}

/// One line of the journal for all looks at one operation. It is written when the looking ends,
/// in whatever way, also when the move is cut.
struct Note<'a> {
    what: String,
    looks: u32,
    newest: String,
    started: Instant,
    journal: &'a Journal,
}

impl<'a> Note<'a> {
    fn new(what: String, journal: &'a Journal) -> Self {
        Note { what, looks: 0, newest: String::new(), started: Instant::now(), journal }
    }

    fn looked(&mut self, result: &Result<Reply, Refused>) {
        self.looks += 1;
        let status = result.as_ref().ok().and_then(|reply| reply.body.get("status")).and_then(Value::as_str);
        self.newest = status.map_or_else(|| told(result), str::to_owned);
    }
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if self.looks > 0 {
            let call = format!("GET {} ×{}", self.what, self.looks);
            self.journal.record(call, std::mem::take(&mut self.newest), self.started.elapsed());
        }
    }
}
