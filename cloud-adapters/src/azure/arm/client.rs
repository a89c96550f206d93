//! One call of ARM.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::failure::{CallError, CallFailure, Class};
use super::operation::Watchers;
use super::throttle::{Bucket, Throttle};
use crate::azure::identity::{Bearer, TokenError, Tokens};
use crate::azure::options::Pace;
use crate::azure::resource_id::{AllowList, ResourceId, short_of_path};
use crate::azure::transport::{HttpRequest, HttpResponse, Transport, TransportError};
use crate::contract::{Backoff, Journal};

/// The version of Microsoft.Network that requests are shaped for.
pub(in crate::azure) const NETWORK: &str = "2024-03-01";
/// Waits between attempts at one read double up to this.
const READ_RETRY_LONGEST: Duration = Duration::from_secs(1);

/// A client of ARM for one identity.
pub struct ArmClient {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) base: Url,
    pub(super) pace: Pace,
    pub(super) allow: AllowList,
    pub(super) throttle: Throttle,
    pub(super) breaker: Breaker,
    /// Operations under way that are being looked at.
    pub(super) watched: Watchers,
}

impl std::fmt::Debug for ArmClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArmClient").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// A success.
#[derive(Debug)]
pub struct Reply {
    /// 200, 201, 202 or 204.
    pub status: StatusCode,
    /// The body; `Null` if there was none.
    pub body: Value,
    /// Where to ask how a long-running operation goes.
    pub(super) operation: Option<Url>,
    /// Where its result will be.
    pub(super) location: Option<Url>,
}

/// One request, to be sent once or more.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) if_match: Option<&'a str>,
    pub(super) body: Option<&'a Value>,
    pub(super) timeout: Duration,
}

impl ArmClient {
    /// A client of the ARM at `base`.
    pub fn new(
        transport: Arc<dyn Transport>,
        tokens: Arc<Tokens>,
        base: Url,
        pace: Pace,
        allow: AllowList,
    ) -> Self {
        let (throttle, breaker) = (Throttle::default(), Breaker::default());
        let watched = Watchers::default();
        ArmClient { transport, tokens, base, pace, allow, throttle, breaker, watched }
    }

    /// Reads a resource of Microsoft.Network.
    ///
    /// # Errors
    /// [`CallFailure`], after several attempts if it is one that may pass.
    pub async fn get(&self, id: &ResourceId, journal: &Journal) -> Result<Reply, CallFailure> {
        self.read(self.url(id.as_str(), NETWORK), journal).await
    }

    /// Reads anything below a resource, or what another provider says of it.
    ///
    /// # Errors
    /// As [`ArmClient::get`].
    pub async fn get_path(
        &self,
        path: &str,
        api_version: &str,
        journal: &Journal,
    ) -> Result<Reply, CallFailure> {
        self.read(self.url(path, api_version), journal).await
    }

    /// Replaces a resource if it is still at version `etag`, and waits until that is done.
    /// Never repeated.
    ///
    /// # Errors
    /// [`CallFailure`]; with [`Class::Transient`] it may have taken effect.
    pub async fn put(
        &self,
        id: &ResourceId,
        etag: &str,
        document: &Value,
        journal: &Journal,
    ) -> Result<(), CallFailure> {
        self.check_allowed(id)?;
        let call = Call {
            method: Method::PUT,
            url: self.url(id.as_str(), NETWORK),
            if_match: Some(etag),
            body: Some(document),
            timeout: self.pace.write_timeout,
        };
        let accepted = self.call(&call, journal).await?;
        self.finish(accepted, Some(id), journal).await.map(|_| ())
    }

    /// Asks a resource for an action, and waits for its result. Never repeated.
    ///
    /// # Errors
    /// As [`ArmClient::put`].
    pub async fn post(
        &self,
        id: &ResourceId,
        action: &str,
        query: &[(&str, &str)],
        api_version: &str,
        journal: &Journal,
    ) -> Result<Value, CallFailure> {
        self.check_allowed(id)?;
        let mut url = self.url(&format!("{}/{action}", id.as_str()), api_version);
        url.query_pairs_mut().extend_pairs(query);
        self.act(url, journal).await
    }

    /// Asks a resource something by `POST` that changes nothing, and waits for the answer.
    ///
    /// # Errors
    /// As [`ArmClient::put`].
    pub async fn ask(
        &self,
        id: &ResourceId,
        question: &str,
        api_version: &str,
        journal: &Journal,
    ) -> Result<Value, CallFailure> {
        self.act(self.url(&format!("{}/{question}", id.as_str()), api_version), journal).await
    }

    async fn act(&self, url: Url, journal: &Journal) -> Result<Value, CallFailure> {
        let call =
            Call { method: Method::POST, url, if_match: None, body: None, timeout: self.pace.write_timeout };
        let accepted = self.call(&call, journal).await?;
        self.finish(accepted, None, journal).await
    }

    /// See [`Pace::watch_reads_per_hour`]; never 0.
    pub(in crate::azure) fn watch_reads_per_hour(&self) -> u32 {
        self.pace.watch_reads_per_hour.max(60)
    }

    /// Whether writes to `id` are allowed at all.
    pub(in crate::azure) fn check_allowed(&self, id: &ResourceId) -> Result<(), CallFailure> {
        if self.allow.allows(id) {
            return Ok(());
        }
        Err(CallFailure::new(Class::Permanent, CallError::NotAllowed(id.to_string())))
    }

    /// A resource's URL. Its id needs no escaping: see [`ResourceId::parse`].
    pub(super) fn url(&self, path: &str, api_version: &str) -> Url {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.query_pairs_mut().append_pair("api-version", api_version);
        url
    }

    async fn read(&self, url: Url, journal: &Journal) -> Result<Reply, CallFailure> {
        let call =
            Call { method: Method::GET, url, if_match: None, body: None, timeout: self.pace.read_timeout };
        let mut backoff = Backoff::new(self.pace.read_retry_first, READ_RETRY_LONGEST);
        let mut left = self.pace.read_attempts.max(1);
        loop {
            left -= 1;
            match self.call(&call, journal).await {
                // What was not tried is not tried again here: the caller decides how long to wait.
                Err(failure @ CallFailure { class: Class::Transient | Class::Throttled, .. })
                    if left > 0
                        && !matches!(*failure.error, CallError::Paused(_) | CallError::Throttled(_)) =>
                {
                    tokio::time::sleep(backoff.next_wait(None)).await;
                }
                ended => return ended,
            }
        }
    }

    /// One call, in the journal. A token that is refused is replaced, and the call made again,
    /// once: ARM checks the token before it does anything.
    pub(super) async fn call(&self, call: &Call<'_>, journal: &Journal) -> Result<Reply, CallFailure> {
        let started = Instant::now();
        let name = format!("{} {}", call.method, short_of_path(call.url.path()));
        let result = self.exchange(call).await;
        journal.record(name, told(&result), started.elapsed());
        match result {
            Err(Refused::Token(refused)) => {
                let bearer = self.tokens.instead_of(&refused).await.map_err(no_token)?;
                let started = Instant::now();
                let result = self.exchange_as(call, &bearer).await;
                let name = format!("{} {}", call.method, short_of_path(call.url.path()));
                journal.record(name, told(&result), started.elapsed());
                result.map_err(Refused::into_failure)
            }
            other => other.map_err(Refused::into_failure),
        }
    }

    /// One exchange, when neither the breaker nor the subscription is against it.
    pub(super) async fn exchange(&self, call: &Call<'_>) -> Result<Reply, Refused> {
        self.wait_for_turn(call).await?;
        let bearer = self.tokens.bearer().await.map_err(|error| Refused::Call(no_token(error)))?;
        self.exchange_as(call, &bearer).await
    }

    async fn wait_for_turn(&self, call: &Call<'_>) -> Result<(), Refused> {
        let (subscription, bucket) = (subscription_in(call.url.path()), Bucket::of(&call.method));
        let wait = self.throttle.wait(subscription, bucket, Instant::now());
        let refuse = |class, error, wait| {
            Err(Refused::Call(CallFailure { retry_after: Some(wait), ..CallFailure::new(class, error) }))
        };
        if wait > self.pace.longest_throttle {
            return refuse(Class::Throttled, CallError::Throttled(wait), wait);
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        match self.breaker.admit(Instant::now()) {
            Ok(()) => Ok(()),
            Err(wait) => refuse(Class::Transient, CallError::Paused(wait), wait),
        }
    }

    async fn exchange_as(&self, call: &Call<'_>, bearer: &Bearer) -> Result<Reply, Refused> {
        let request = request(call, bearer).ok_or_else(|| {
            Refused::Call(CallFailure::new(
                Class::Permanent,
                CallError::Strange("the ETag cannot stand in a header"),
            ))
        })?;
        let answer = self.transport.send(request).await;
        let now = Instant::now();
        let answered = answer.as_ref().is_ok_and(|answer| !answer.status.is_server_error());
        self.breaker.record(now, answered);
        let answer = answer.map_err(|error| Refused::Call(no_answer(error)))?;
        if answer.status.is_success() {
            return self.reply(&answer).map_err(Refused::Call);
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(Refused::Token(bearer.clone()));
        }
        let mut failure = CallFailure::of_answer(&answer);
        if failure.class == Class::Throttled {
            let subscription = subscription_in(call.url.path());
            let bucket = Bucket::of(&call.method);
            failure.retry_after = Some(self.throttle.hush(subscription, bucket, failure.retry_after, now));
        }
        Err(Refused::Call(failure))
    }

    fn reply(&self, answer: &HttpResponse) -> Result<Reply, CallFailure> {
        let body = if answer.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&answer.body).map_err(|_| {
                CallFailure::new(Class::Transient, CallError::Strange("ARM's answer is not JSON"))
            })?
        };
        let url = |name: &str| answer.header(name).and_then(|text| self.trusted(text));
        Ok(Reply {
            status: answer.status,
            body,
            operation: url("azure-asyncoperation"),
            location: url("location"),
        })
    }

    /// A URL of ARM's own. The token goes nowhere else, whatever a header says.
    fn trusted(&self, text: &str) -> Option<Url> {
        let url = self.base.join(text).ok()?;
        (url.origin() == self.base.origin()).then_some(url)
    }
}

/// Why an exchange gave no reply.
pub(super) enum Refused {
    /// ARM refused this token.
    Token(Bearer),
    /// Anything else.
    Call(CallFailure),
}

impl Refused {
    pub(super) fn into_failure(self) -> CallFailure {
        match self {
            Refused::Call(failure) => failure,
            Refused::Token(_) => CallFailure::new(
                Class::Denied,
                CallError::Refused {
                    status: 401,
                    code: "Unauthorized".to_owned(),
                    message: "ARM refused a new token as well: the identity's tenant, the audience and \
                              this machine's clock must be right"
                        .to_owned(),
                },
            ),
        }
    }
}

fn request(call: &Call<'_>, bearer: &Bearer) -> Option<HttpRequest> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, bearer.header());
    if let Some(etag) = call.if_match {
        headers.insert(IF_MATCH, HeaderValue::try_from(etag).ok()?);
    }
    let body = match call.body {
        Some(body) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Some(serde_json::to_vec(body).ok()?)
        }
        // ARM wants a length on every POST.
        None => (call.method == Method::POST).then(Vec::new),
    };
    Some(HttpRequest {
        method: call.method.clone(),
        url: call.url.clone(),
        headers,
        body,
        timeout: call.timeout,
    })
}

fn no_answer(error: TransportError) -> CallFailure {
    CallFailure::new(Class::Transient, CallError::NoAnswer(error))
}

fn no_token(error: TokenError) -> CallFailure {
    let class = if error.is_transient() { Class::Transient } else { Class::Denied };
    CallFailure::new(class, CallError::Token(error))
}

/// For the journal.
pub(super) fn told(result: &Result<Reply, Refused>) -> String {
    match result {
        Ok(reply) => {
            let status = reply.status.as_u16().to_string();
            let state = reply.body.pointer("/properties/provisioningState").and_then(Value::as_str);
            state
                .filter(|state| *state != "Succeeded")
                .map_or(status.clone(), |state| format!("{status} {state}"))
        }
        Err(Refused::Token(_)) => "401 (the token is renewed)".to_owned(),
        Err(Refused::Call(failure)) => failure.error.to_string(),
    }
}

pub(super) fn subscription_in(path: &str) -> &str {
    let mut parts = path.split('/').skip_while(|part| !part.eq_ignore_ascii_case("subscriptions"));
    parts.nth(1).unwrap_or_default()
}
