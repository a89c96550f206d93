//! Where tokens come from: the token endpoint (OAuth 2.0 client credentials), or the machine's
//! metadata service.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::assertion::{self, AssertionError};
use super::secret::{SecretError, read_file};
use crate::azure::options::{Application, Endpoints, Identity};
use crate::azure::transport::{HttpRequest, HttpResponse, Transport, TransportError};

/// How long one request for a token may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The version of the metadata service's token API; the oldest that every region has.
const IMDS_VERSION: &str = "2018-02-01";
/// Most of an error's description that is kept: its first sentences say what is wrong.
const DESCRIPTION: usize = 300;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The secret that proves who we are could not be read.
    #[error("could not read the identity's secret")]
    Secret(#[from] SecretError),
    /// The certificate or key is of no use.
    #[error("could not sign a client assertion")]
    Assertion(#[from] AssertionError),
    /// The endpoint answered that we are not who we say, or may not.
    #[error("the token endpoint refused: {status} {code}: {description}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// For instance `invalid_client`.
        code: String,
        /// What it says, cut to a few sentences.
        description: String,
    },
    /// No answer.
    #[error("the token endpoint at {host} did not answer")]
    NoAnswer {
        /// Where.
        host: String,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// It has troubles of its own.
    #[error("the token endpoint is in trouble: {status} {code}")]
    Busy {
        /// HTTP status.
        status: u16,
        /// Its error, if it gave one.
        code: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// A success without a token.
    #[error("the token endpoint's answer holds no token that can be used")]
    Answer,
}

impl TokenError {
    /// Whether trying again may help without anybody changing something.
    pub fn is_transient(&self) -> bool {
        matches!(self, TokenError::NoAnswer { .. } | TokenError::Busy { .. } | TokenError::Answer)
    }
}

/// A token as it came.
pub(super) struct Fresh {
    /// What stands in the header.
    pub(super) header: HeaderValue,
    /// For how long from when it was asked for.
    pub(super) valid: Duration,
    /// When the endpoint suggests to renew it, counted likewise.
    pub(super) renew_in: Option<Duration>,
}

/// A place that gives tokens.
pub struct TokenSource {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) endpoints: Endpoints,
    pub(super) identity: Identity,
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// A source of tokens for `identity`.
    pub fn new(transport: Arc<dyn Transport>, endpoints: Endpoints, identity: Identity) -> Self {
        TokenSource { transport, endpoints, identity }
    }

    pub(super) async fn fetch(&self) -> Result<Fresh, TokenError> {
        let request = self.request().await?;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let answer = self.transport.send(request).await;
        let answer = answer.map_err(|source| TokenError::NoAnswer { host, source })?;
        if answer.status.is_success() { token_in(&answer) } else { Err(self.refusal(&answer)) }
    }

    async fn request(&self) -> Result<HttpRequest, TokenError> {
        match &self.identity {
            Identity::ManagedIdentity { client_id } => Ok(self.imds(client_id.as_deref())),
            Identity::ClientSecret { application, secret } => {
                let secret = secret.read().await?;
                Ok(self.post(application, &[("client_secret", secret.expose())]))
            }
            Identity::WorkloadIdentity { application, token_file } => {
                let token = read_file(token_file).await?;
                Ok(self.post(application, &assertion_fields(token.expose().trim())))
            }
            Identity::ClientCertificate { application, certificate, key, signature } => {
                let certificate = read_file(certificate).await?;
                let key = key.read().await?;
                let audience = self.token_url(application).to_string();
                let (client, signature) = (application.client_id.clone(), *signature);
                // An RSA signature takes a millisecond or more, which is long for an async task.
                let signing = tokio::task::spawn_blocking(move || {
                    let certificate = certificate.expose().as_bytes();
                    assertion::sign(certificate, &key, signature, &client, &audience, SystemTime::now())
                });
                let token = signing.await.map_err(|_| AssertionError::Random)??;
                Ok(self.post(application, &assertion_fields(&token)))
            }
        }
    }

    fn token_url(&self, application: &Application) -> Url {
        let mut url = self.endpoints.authority.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([application.tenant.as_str(), "oauth2", "v2.0", "token"]);
        }
        url
    }

    fn post(&self, application: &Application, proof: &[(&str, &str)]) -> HttpRequest {
        let scope = format!("{}/.default", self.endpoints.audience.trim_end_matches('/'));
        let mut form = self.endpoints.authority.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &application.client_id)
            .append_pair("scope", &scope)
            .extend_pairs(proof);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        HttpRequest {
            method: Method::POST,
            url: self.token_url(application),
            headers,
            body: Some(form.query().unwrap_or_default().as_bytes().to_vec()),
            timeout: TIMEOUT,
        }
    }

    fn imds(&self, client_id: Option<&str>) -> HttpRequest {
        let mut url = self.endpoints.imds.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["metadata", "identity", "oauth2", "token"]);
        }
        url.query_pairs_mut()
            .append_pair("api-version", IMDS_VERSION)
            .append_pair("resource", &self.endpoints.audience)
            .extend_pairs(client_id.map(|id| ("client_id", id)));
        // Without it the service refuses: a page that makes a browser ask cannot set it.
        let headers =
            [(HeaderName::from_static("metadata"), HeaderValue::from_static("true"))].into_iter().collect();
        HttpRequest { method: Method::GET, url, headers, body: None, timeout: TIMEOUT }
    }

    fn refusal(&self, answer: &HttpResponse) -> TokenError {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
        let (status, code) = (answer.status.as_u16(), text("error").to_owned());
        let imds = matches!(self.identity, Identity::ManagedIdentity { .. });
        let busy = answer.status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&answer.status)
            // The metadata service answers so while it is being updated.
            || imds && [StatusCode::NOT_FOUND, StatusCode::GONE].contains(&answer.status);
        if busy {
            return TokenError::Busy { status, code, retry_after: answer.retry_after() };
        }
        // The first line; the others are trace ids and a timestamp.
        let description = text("error_description").lines().next().unwrap_or_default();
        TokenError::Refused { status, code, description: description.chars().take(DESCRIPTION).collect() }
    }
}

fn assertion_fields(token: &str) -> [(&'static str, &str); 2] {
    [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", token),
    ]
}

/// Both endpoints' answers; the metadata service writes its numbers as strings.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Value,
    #[serde(default)]
    refresh_in: Value,
}

fn token_in(answer: &HttpResponse) -> Result<Fresh, TokenError> {
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| TokenError::Answer)?;
    let seconds = |value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        // A token for longer than a week is a mistake, and would overflow a clock.
        Some(Duration::from_secs(number.min(7 * 24 * 3600)))
    };
    let mut header =
        HeaderValue::try_from(format!("Bearer {}", answer.access_token)).map_err(|_| TokenError::Answer)?;
    header.set_sensitive(true);
    Ok(Fresh {
        header,
        valid: seconds(&answer.expires_in).ok_or(TokenError::Answer)?,
        renew_in: seconds(&answer.refresh_in),
    })
}
