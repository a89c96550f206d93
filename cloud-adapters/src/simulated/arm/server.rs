//! The fake ARM over HTTP on loopback: for whole coordinators, whose configuration names its URL.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fake::{FakeArm, Outcome};

/// Most bytes of a request.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// A served fake ARM. It stops when dropped.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    /// What the adapter's three URLs are to be: `http://127.0.0.1:port/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeArm {
    /// Serves it on a free port of 127.0.0.1: ARM, the token endpoint and the metadata service.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn serve(&self) -> std::io::Result<Served> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state((self.clone(), address));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::warn!(%error, "the fake ARM stopped serving");
            }
        });
        Ok(Served { address, task })
    }
}

async fn answer(
    State((arm, address)): State<(FakeArm, SocketAddr)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let plain = |status: StatusCode| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    };
    let Ok(url) = Url::parse(&format!("http://{address}{uri}")) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    match arm.carry_out(method.as_str(), &url, &headers, body.to_vec()).await {
        Outcome::Answered(answer) => {
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            let body =
                if answer.body.is_null() { Body::empty() } else { Body::from(answer.body.to_string()) };
            let response = response.header("content-type", "application/json").body(body);
            response.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
        }
        // A proxy on the way that gives up is the nearest that HTTP has to a lost reply.
        Outcome::Lost => plain(StatusCode::GATEWAY_TIMEOUT),
        Outcome::Silent => std::future::pending().await,
    }
}
