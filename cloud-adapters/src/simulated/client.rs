//! The HTTP side of the adapter: one request, its journal entry, and what its failure means.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::header::{ETAG, IF_MATCH, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use super::model::ErrorBody;
use crate::contract::{AdapterError, Journal};

/// One call takes no longer; a real cloud's adapter would allow more.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of an answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why an adapter of the simulated cloud could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SimulatedAdapterError {
    /// The address is not one that the simulated cloud can be at.
    #[error(
        "{url:?} is not `http://` with a loopback address and a port, and the simulated cloud is served nowhere else"
    )]
    Url {
        /// As given.
        url: String,
    },
    /// The token has characters that no header can carry.
    #[error("the bearer token has characters that are not allowed in one")]
    Token,
    /// The TLS library refused its own defaults.
    #[error("could not set up TLS")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be built.
    #[error("could not build the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// A client of the simulated cloud's API. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct CloudClient {
    http: Client,
    base: Url,
}

/// A document with the version that it was read at.
#[derive(Debug)]
pub(super) struct Versioned {
    pub(super) etag: String,
    pub(super) document: Value,
}

impl CloudClient {
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self, SimulatedAdapterError> {
        let refused = || SimulatedAdapterError::Url { url: url.to_owned() };
        let base: Url = url.parse().map_err(|_| refused())?;
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).parse::<IpAddr>();
        let loopback = host.is_ok_and(|ip| ip.is_loopback());
        if base.scheme() != "http" || !loopback || base.port_or_known_default().is_none() {
            return Err(refused());
        }
        Ok(CloudClient { http: http_client(token)?, base })
    }

    pub(super) async fn get(
        &self,
        id: &str,
        attempt: &str,
        journal: &Journal,
    ) -> Result<Versioned, AdapterError> {
        self.call(Method::GET, id, None, attempt, journal).await
    }

    /// Replaces the whole document if it is still at version `etag`.
    pub(super) async fn put(
        &self,
        id: &str,
        etag: &str,
        document: &Value,
        attempt: &str,
        journal: &Journal,
    ) -> Result<Versioned, AdapterError> {
        self.call(Method::PUT, id, Some((etag, document)), attempt, journal).await
    }

    async fn call(
        &self,
        method: Method,
        id: &str,
        write: Option<(&str, &Value)>,
        attempt: &str,
        journal: &Journal,
    ) -> Result<Versioned, AdapterError> {
        let started = Instant::now();
        let outcome = self.exchange(method.clone(), id, write).await;
        let result = match &outcome {
            Ok(_) => "200".to_owned(),
            Err(failure) => failure.to_string(),
        };
        journal.record(format!("{method} {id}"), result, started.elapsed());
        outcome.map_err(|failure| failure.classify(attempt))
    }

    async fn exchange(
        &self,
        method: Method,
        id: &str,
        write: Option<(&str, &Value)>,
    ) -> Result<Versioned, CallFailure> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(id.split('/'));
        }
        let mut request = self.http.request(method, url);
        if let Some((etag, document)) = write {
            request = request.header(IF_MATCH, etag).json(document);
        }
        let mut response = request.send().await.map_err(CallFailure::NoAnswer)?;
        let status = response.status();
        let etag = header(&response, ETAG.as_str());
        let retry_after = header(&response, RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        let body = read_body(&mut response).await?;
        if status.is_success() {
            let document = serde_json::from_slice(&body).map_err(CallFailure::NotJson)?;
            return Ok(Versioned { etag: etag.ok_or(CallFailure::NoEtag)?, document });
        }
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| ErrorBody {
            code: "NoErrorBody".to_owned(),
            message: "the answer had no error that could be read".to_owned(),
        });
        Err(CallFailure::Status { status, body, retry_after: retry_after.map(Duration::from_secs) })
    }
}

/// For loopback without TLS. The TLS part is configured, with no roots, only because the client
/// wants one: without it, it would look for a process-wide provider and panic if there is none.
fn http_client(token: Option<&str>) -> Result<Client, SimulatedAdapterError> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SimulatedAdapterError::Tls)?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut headers = reqwest::header::HeaderMap::new();
    if let Some(token) = token {
        let mut value = reqwest::header::HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| SimulatedAdapterError::Token)?;
        value.set_sensitive(true);
        headers.insert(reqwest::header::AUTHORIZATION, value);
    }
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .default_headers(headers)
        // A proxy from the environment would be asked for a loopback address.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .build()?;
    Ok(client)
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

async fn read_body(response: &mut Response) -> Result<Vec<u8>, CallFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(CallFailure::NoAnswer)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(CallFailure::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why one call failed.
#[derive(Debug, thiserror::Error)]
enum CallFailure {
    #[error("{} {}: {}", status.as_u16(), body.code, body.message)]
    Status { status: StatusCode, body: ErrorBody, retry_after: Option<Duration> },
    #[error("{}", no_answer(.0))]
    NoAnswer(#[source] reqwest::Error),
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("the answer is not JSON")]
    NotJson(#[source] serde_json::Error),
    #[error("the answer has no ETag")]
    NoEtag,
}

fn no_answer(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "could not connect"
    } else {
        "the connection ended without an answer"
    }
}

impl CallFailure {
    fn classify(self, attempt: &str) -> AdapterError {
        let attempt = attempt.to_owned();
        let CallFailure::Status { status, body, retry_after } = &self else {
            // No answer: it may have taken effect. A strange answer: something on the way.
            return AdapterError::transient(attempt, self);
        };
        match *status {
            StatusCode::PRECONDITION_FAILED => AdapterError::conflict(attempt, self),
            StatusCode::CONFLICT if body.code != super::cloud::OPERATION_IN_PROGRESS => {
                AdapterError::conflict(attempt, self)
            }
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                AdapterError::Transient { attempt, retry_after: *retry_after, cause: self.into() }
            }
            status if status.is_server_error() => {
                AdapterError::Transient { attempt, retry_after: *retry_after, cause: self.into() }
            }
            _ => AdapterError::permanent(attempt, self),
        }
    }
}
