//! `GET url` answers with the expected status and text.

use std::time::Duration;

use coordinator_core::model::Trust;
use coordinator_core::observe::Outcome;
use reqwest::Client;

use super::Sample;
use super::tcp::is_answer;

/// Most bytes of a body that are searched for the expected text.
const MAX_BODY: usize = 64 * 1024;

/// The clients that HTTP probes use: one per kind of trust.
#[derive(Debug, Clone)]
pub(crate) struct HttpProbes {
    pub(crate) cluster: Client,
    pub(crate) any: Client,
}

impl HttpProbes {
    pub(super) async fn probe(
        &self,
        url: &str,
        status: u16,
        body_contains: Option<&str>,
        trust: Trust,
        timeout: Duration,
    ) -> Sample {
        let client = match trust {
            Trust::Cluster => &self.cluster,
            Trust::Any => &self.any,
        };
        match tokio::time::timeout(timeout, get(client, url, status, body_contains)).await {
            Ok(sample) => sample,
            Err(_) => Sample::silent(format!("no answer within {} ms", timeout.as_millis())),
        }
    }
}

async fn get(client: &Client, url: &str, status: u16, body_contains: Option<&str>) -> Sample {
    let mut response = match client.get(url).send().await {
        Ok(response) => response,
        Err(error) => return failed(&error),
    };
    let got = response.status().as_u16();
    if got != status {
        return Sample::fail(format!("status {got}, expected {status}"));
    }
    let Some(text) = body_contains else {
        return Sample::pass(format!("status {got}"));
    };
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY - body.len())]),
            Ok(None) => break,
            Err(error) => return failed(&error),
        }
        if body.len() >= MAX_BODY {
            break;
        }
    }
    if String::from_utf8_lossy(&body).contains(text) {
        Sample::pass(format!("status {got} and the expected text"))
    } else {
        Sample::fail(format!("status {got} without the text {text:?}"))
    }
}

/// The innermost cause: "connection refused" says more than "error sending request". What went
/// wrong once a connection stood is the other end's word.
fn failed(error: &reqwest::Error) -> Sample {
    let mut cause: &dyn std::error::Error = error;
    let mut answered = !error.is_connect();
    while let Some(next) = cause.source() {
        cause = next;
        answered |= cause.downcast_ref().is_some_and(is_answer);
    }
    let outcome = if answered { Outcome::Fail } else { Outcome::Silent };
    Sample::new(outcome, cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get as route;

    async fn serve(body: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        let app = Router::new().route("/health", route(move || async move { body }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn probes() -> HttpProbes {
        coordinator_api::tls::install_provider();
        let client = Client::builder().no_proxy().build().unwrap();
        HttpProbes { cluster: client.clone(), any: client }
    }

    async fn run(url: &str, status: u16, text: Option<&str>) -> Sample {
        probes().probe(url, status, text, Trust::Any, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn status_and_text_must_both_be_as_expected() {
        let url = serve("I am ready").await;
        assert_eq!(run(&url, 200, None).await.outcome, Outcome::Pass);
        assert_eq!(run(&url, 200, Some("ready")).await.outcome, Outcome::Pass);
        assert_eq!(run(&url, 204, None).await.outcome, Outcome::Fail);
        let wrong = run(&url, 200, Some("steady")).await;
        assert_eq!(wrong.outcome, Outcome::Fail);
        assert!(wrong.detail.ends_with("without the text \"steady\""), "{}", wrong.detail);
    }

    #[tokio::test]
    async fn nothing_listening_fails_with_the_innermost_cause() {
        let sample = run("http://127.0.0.1:1/", 200, None).await;
        assert_eq!(sample.outcome, Outcome::Fail, "a refusal is an answer");
        assert!(sample.detail.to_lowercase().contains("refused"), "{}", sample.detail);
    }
}
