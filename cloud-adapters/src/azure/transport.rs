//! One HTTP exchange, and nothing else: no retry, no meaning.
//!
//! A trait, so that everything above it runs against a cloud in the same process and on paused
//! time: thousands of failing moves in seconds, and the same ones every time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Most bytes of an answer. A full route table of 400 routes is some 150 kB.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A request. Headers and body may hold secrets, so neither is shown.
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: Url,
    /// All headers but those that follow from the rest.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// How long the exchange may take.
    pub timeout: Duration,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url.path())
    }
}

/// An answer.
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty if there was none.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Retry-After` in seconds. A date, which ARM does not send, counts as none.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}

/// Why there was no answer. Whether the request took effect is not known, except that nothing
/// was sent when no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection.
    #[error("could not connect")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("timed out")]
    TimedOut,
    /// The connection ended before the answer did.
    #[error("the connection ended without a whole answer")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More than [`HttpTransport`] reads.
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
}

/// Carries requests.
pub trait Transport: Send + Sync {
    /// One exchange, within the request's timeout.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>>;
}

/// Why the HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TransportSetupError {
    /// The extra authority is not a PEM certificate.
    #[error("the authority in {file} is no PEM certificate")]
    Authority {
        /// The file.
        file: String,
    },
    /// The file could not be read.
    #[error("could not read {file}")]
    Read {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The TLS library refused its own defaults.
    #[error("could not set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP client could not be built.
    #[error("could not build the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// HTTP/1.1 and 2 over TCP, with TLS for `https`. Follows no redirect and uses no proxy: a token
/// goes where the configuration says and nowhere else.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: Client,
}

impl HttpTransport {
    /// Trusts the system's authorities, and those in the PEM file `ca` beside them.
    ///
    /// # Errors
    /// [`TransportSetupError`].
    pub fn new(ca: Option<&std::path::Path>) -> Result<Self, TransportSetupError> {
        let mut roots = RootCertStore::empty();
        // What the system trusts and rustls cannot read is not needed here.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca {
            let file = path.display().to_string();
            let pem = std::fs::read(path)
                .map_err(|source| TransportSetupError::Read { file: file.clone(), source })?;
            let extra: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let extra = extra.ok().filter(|certificates| !certificates.is_empty());
            let (added, _) = roots.add_parsable_certificates(extra.unwrap_or_default());
            if added == 0 {
                return Err(TransportSetupError::Authority { file });
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A connection that went dead unnoticed is found out before it is needed.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(3))
            .pool_idle_timeout(Duration::from_secs(60))
            .build()?;
        Ok(HttpTransport { client })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        async move {
            let HttpRequest { method, url, headers, body, timeout } = request;
            let mut outgoing = self.client.request(method, url).headers(headers).timeout(timeout);
            if let Some(body) = body {
                outgoing = outgoing.body(body);
            }
            let mut answer = outgoing.send().await.map_err(failed)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err(TransportError::TooLong);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(HttpResponse { status, headers, body })
        }
        .boxed()
    }
}

fn failed(error: reqwest::Error) -> TransportError {
    // A URL may hold what belongs in no log: a polling URL is signed.
    let error = error.without_url();
    if error.is_connect() {
        TransportError::Connect(error.into())
    } else if error.is_timeout() {
        TransportError::TimedOut
    } else {
        TransportError::Broken(error.into())
    }
}
