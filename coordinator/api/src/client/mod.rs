//! The typed client of the operator API.
//!
//! It knows every coordinator and asks them in turn: whichever answers first will do, since a
//! follower passes on to the leader what must be answered there. A change is repeated elsewhere
//! only when it certainly did not arrive.

mod calls;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::tls::{self, TlsError};
use crate::v1::{Code, Problem};

/// By so much longer than a coordinator's own limit, so that its answer arrives.
const MARGIN: Duration = Duration::from_secs(2);

/// For all but what says otherwise.
const LIMIT: Duration = Duration::from_secs(12);

/// Most bytes of an answer.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A client of one cluster. Asks the endpoint that answered last first.
pub struct Client {
    http: reqwest::Client,
    endpoints: Vec<String>,
    token: String,
    /// Index of the endpoint that answered last.
    preferred: AtomicUsize,
}

/// Why there is no answer, or none that was wished for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The certificate authority cannot be used.
    #[error("could not make a client that trusts the cluster's authority")]
    Tls(#[from] TlsError),
    /// No endpoint is configured.
    #[error("no coordinator is configured to be asked")]
    NoEndpoints,
    /// A coordinator refused the request or could not do it.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// No coordinator could be reached. Nothing was done.
    #[error("no coordinator could be reached: {}", listed(.tried))]
    Unreachable {
        /// Each endpoint and what went wrong there.
        tried: Vec<(String, String)>,
    },
    /// A change was sent, but the connection broke before the answer.
    #[error(
        "{endpoint} gave no answer ({cause}), so the change may have been made: look at the status before asking again"
    )]
    OutcomeUnknown {
        /// Whom it was sent to.
        endpoint: String,
        /// What went wrong.
        cause: String,
    },
    /// What answered does not speak this protocol.
    #[error("{endpoint} gave an answer that is not understood: {cause}")]
    BadAnswer {
        /// Who answered.
        endpoint: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl ClientError {
    /// The problem, if a coordinator sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The problem's code, if a coordinator sent one.
    pub fn code(&self) -> Option<&Code> {
        self.problem().map(|problem| &problem.code)
    }
}

fn listed(tried: &[(String, String)]) -> String {
    let each = tried.iter().map(|(endpoint, cause)| format!("{endpoint} ({cause})"));
    each.collect::<Vec<_>>().join(", ")
}

impl Client {
    /// `endpoints` are base URLs such as `https://10.0.0.11:7400`, asked in this order; `ca_pem` is
    /// the cluster's authority, the only one that is trusted.
    ///
    /// # Errors
    /// [`ClientError::NoEndpoints`], [`ClientError::Tls`].
    pub fn new(
        endpoints: Vec<String>,
        ca_pem: &[u8],
        token: impl Into<String>,
    ) -> Result<Client, ClientError> {
        Client::with_http(endpoints, tls::operator_client(ca_pem)?, token)
    }

    /// With an HTTP client of the caller's making.
    ///
    /// # Errors
    /// [`ClientError::NoEndpoints`].
    pub fn with_http(
        endpoints: Vec<String>,
        http: reqwest::Client,
        token: impl Into<String>,
    ) -> Result<Client, ClientError> {
        if endpoints.is_empty() {
            return Err(ClientError::NoEndpoints);
        }
        Ok(Client { http, endpoints, token: token.into(), preferred: AtomicUsize::new(0) })
    }

    async fn get<Q: Serialize, T: DeserializeOwned>(&self, path: &str, query: &Q) -> Result<T, ClientError> {
        self.ask(Method::GET, path, |request| request.query(query)).await
    }

    async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.ask(method, path, |request| request.json(body)).await
    }

    async fn send_empty<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, ClientError> {
        self.ask(method, path, |request| request).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, ClientError> {
        let read = method == Method::GET;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        let mut declined = None;
        for i in (0..self.endpoints.len()).map(|i| (first + i) % self.endpoints.len()) {
            let endpoint = &self.endpoints[i];
            let request = self.http.request(method.clone(), format!("{endpoint}{path}"));
            let request = fill(request.timeout(LIMIT)).bearer_auth(&self.token);
            match answer(endpoint, request).await {
                Ok(value) => {
                    self.preferred.store(i, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(Failed::NotSent(cause)) => tried.push((endpoint.clone(), cause)),
                Err(Failed::Broken(cause)) if read => tried.push((endpoint.clone(), cause)),
                Err(Failed::Broken(cause)) => {
                    return Err(ClientError::OutcomeUnknown { endpoint: endpoint.clone(), cause });
                }
                // This one did nothing and cannot; another may be better connected.
                Err(Failed::Error(ClientError::Problem(problem))) if elsewhere(&problem.code) => {
                    declined = Some(ClientError::Problem(problem));
                }
                Err(Failed::Error(error)) => return Err(error),
            }
        }
        Err(declined.unwrap_or(ClientError::Unreachable { tried }))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// Whether another coordinator may do what this one did not start.
fn elsewhere(code: &Code) -> bool {
    matches!(code, Code::NoLeader | Code::ShuttingDown | Code::Overloaded)
}

enum Failed {
    NotSent(String),
    Broken(String),
    Error(ClientError),
}

async fn answer<T: DeserializeOwned>(endpoint: &str, request: RequestBuilder) -> Result<T, Failed> {
    let broken = |error: reqwest::Error| {
        let cause = root_cause(&error);
        if error.is_connect() || error.is_builder() { Failed::NotSent(cause) } else { Failed::Broken(cause) }
    };
    let mut response = request.send().await.map_err(broken)?;
    let body = body(&mut response).await.map_err(broken)?;
    let status = response.status();
    let bad = |cause: String| Failed::Error(ClientError::BadAnswer { endpoint: endpoint.to_owned(), cause });
    let Some(body) = body else { return Err(bad(format!("it is over {MAX_ANSWER} bytes long"))) };
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| bad(error.to_string()));
    }
    match serde_json::from_slice(&body) {
        Ok(problem) => Err(Failed::Error(ClientError::Problem(Box::new(problem)))),
        Err(_) => Err(bad(format!("HTTP {status} without a problem"))),
    }
}

async fn body(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The innermost cause: what reqwest wraps around it tells an operator nothing.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}
