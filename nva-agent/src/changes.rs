//! Waiting for news at one coordinator, so that the next report does not wait for its interval.
//!
//! What comes back carries no instruction and changes nothing here: it is a cue, and a lost one
//! costs an interval.

use std::sync::Arc;
use std::time::Duration;

use coordinator_api::agent::{CHANGES_HOLD, CHANGES_PATH, ChangesRequest, Stamp};
use coordinator_core::ids::ApplianceName;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::reporter::{ReportError, answer};

/// Beyond the coordinator's own limit, for the way there and back.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two questions with the same answer, however soon that came.
const BREATH: Duration = Duration::from_millis(50);
/// After a failure. The reports themselves say and log that a coordinator is not reached.
const PAUSE: Duration = Duration::from_secs(1);

/// A running wait; dropping it ends it.
pub(crate) struct Changes(JoinHandle<()>);

impl Drop for Changes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Changes {
    /// Waits for news of `appliance` at the coordinator below `base_url`, over and over, and
    /// wakes `told` each time there is some.
    pub(crate) fn watch(
        client: reqwest::Client,
        base_url: &str,
        appliance: ApplianceName,
        told: Arc<Notify>,
    ) -> Changes {
        let url = format!("{base_url}{CHANGES_PATH}");
        Changes(tokio::spawn(async move {
            let mut request = ChangesRequest { appliance, seen: None };
            loop {
                match ask(&client, &url, &request).await {
                    Ok(stamp) => {
                        match request.seen.replace(stamp) {
                            Some(seen) if seen != stamp => told.notify_one(),
                            // The time was up, or the coordinator is stopping and waits no more.
                            _ => tokio::time::sleep(BREATH).await,
                        }
                    }
                    Err(error) => {
                        debug!(%url, %error, "no news");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }))
    }
}

async fn ask(client: &reqwest::Client, url: &str, request: &ChangesRequest) -> Result<Stamp, ReportError> {
    answer(client.post(url).timeout(CHANGES_HOLD + PATIENCE).json(request)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::post;
    use axum::{Json, Router};
    use coordinator_core::ids::Token;
    use tokio::sync::mpsc;

    /// Answers with what the test sends, one after the other, and says what was asked.
    async fn coordinator() -> (String, mpsc::Sender<Stamp>, mpsc::Receiver<Option<Stamp>>) {
        let (stamps, receiver) = mpsc::channel(8);
        let (asked, questions) = mpsc::channel(8);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let route = post(move |Json(request): Json<ChangesRequest>| async move {
            asked.send(request.seen).await.unwrap();
            Json(receiver.lock().await.recv().await.unwrap())
        });
        tokio::spawn(async move {
            axum::serve(listener, Router::new().route(CHANGES_PATH, route)).await.unwrap();
        });
        (url, stamps, questions)
    }

    fn stamp(token: u64) -> Stamp {
        Stamp { token: Token(token), ..Stamp::default() }
    }

    #[tokio::test]
    async fn only_a_stamp_that_differs_from_the_one_known_is_news() {
        coordinator_api::tls::install_provider();
        let (url, stamps, mut questions) = coordinator().await;
        let told = Arc::new(Notify::new());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let _changes = Changes::watch(client, &url, "fw-a".parse().unwrap(), told.clone());
        let limit = Duration::from_secs(10);
        for (asked, answered) in [(None, 3), (Some(3), 3), (Some(3), 7)] {
            let question = tokio::time::timeout(limit, questions.recv()).await.unwrap().unwrap();
            assert_eq!(question, asked.map(stamp));
            stamps.send(stamp(answered)).await.unwrap();
        }
        // The next question shows that the last answer was taken in: one piece of news so far.
        let question = tokio::time::timeout(limit, questions.recv()).await.unwrap().unwrap();
        assert_eq!(question, Some(stamp(7)));
        tokio::time::timeout(limit, told.notified()).await.unwrap();
        assert!(futures::FutureExt::now_or_never(told.notified()).is_none(), "told once only");
    }
}
