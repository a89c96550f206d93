//! The token in use.
//!
//! Every coordinator holds one all the time, so that a new leader's first call is not a request
//! for a token: the token endpoint may be what is slow today.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::time::Instant;
use tracing::{info, warn};

use super::source::{Fresh, TokenError, TokenSource};
use crate::contract::Backoff;

/// A token is not used in its last minute: a request may be under way for as long.
const MARGIN: Duration = Duration::from_secs(60);
/// Between attempts to renew a token in the background.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A token, as it stands in the `Authorization` header. Shown nowhere.
#[derive(Clone)]
pub struct Bearer {
    header: HeaderValue,
    serial: u64,
}

impl Bearer {
    /// The header's value, marked as sensitive.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bearer #{} (not shown)", self.serial)
    }
}

/// The token in use. Fetched when there is none, renewed ahead of need.
#[derive(Debug)]
pub struct Tokens {
    source: TokenSource,
    held: Mutex<Option<Held>>,
    /// One request for a token at a time, however many calls wait for it.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Held {
    bearer: Bearer,
    good_until: Instant,
    renew_at: Instant,
}

impl Tokens {
    /// Holds none yet.
    pub fn new(source: TokenSource) -> Self {
        Tokens { source, held: Mutex::new(None), fetching: tokio::sync::Mutex::new(()) }
    }

    /// A token that is good now; fetched if need be.
    ///
    /// # Errors
    /// [`TokenError`] when there is none and none can be had.
    pub async fn bearer(&self) -> Result<Bearer, TokenError> {
        if let Some(held) = self.good() {
            return Ok(held.bearer);
        }
        let _turn = self.fetching.lock().await;
        match self.good() {
            // Another call fetched it meanwhile.
            Some(held) => Ok(held.bearer),
            None => self.fetch().await,
        }
    }

    /// A token other than `refused`, which ARM would not take.
    ///
    /// # Errors
    /// [`TokenError`] when none can be had.
    pub async fn instead_of(&self, refused: &Bearer) -> Result<Bearer, TokenError> {
        let _turn = self.fetching.lock().await;
        match self.good() {
            Some(held) if held.bearer.serial != refused.serial => Ok(held.bearer),
            _ => self.fetch().await,
        }
    }

    /// Keeps a good token for as long as somebody else holds `tokens`.
    pub async fn keep_fresh(tokens: Weak<Tokens>) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut failing = false;
        loop {
            let Some(this) = tokens.upgrade() else { return };
            let wait = match this.renew_if_due().await {
                Ok(renew_at) => {
                    if std::mem::take(&mut failing) {
                        info!("a token for Azure is there again");
                    }
                    backoff.reset();
                    renew_at.saturating_duration_since(Instant::now()).max(RETRY.0)
                }
                Err(error) => {
                    let cause = chain(&error);
                    // Once, and then at the pace of an operator who is looking for it.
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = cause, "no new token for Azure; trying on");
                    } else {
                        tracing::debug!(error = cause, "still no new token for Azure");
                    }
                    backoff.next_wait(None)
                }
            };
            drop(this);
            tokio::time::sleep(wait).await;
        }
    }

    async fn renew_if_due(&self) -> Result<Instant, TokenError> {
        let due = |held: &Option<Held>| held.as_ref().is_none_or(|held| held.renew_at <= Instant::now());
        if due(&self.held()) {
            let _turn = self.fetching.lock().await;
            if due(&self.held()) {
                self.fetch().await?;
            }
        }
        Ok(self.held().map_or_else(Instant::now, |held| held.renew_at))
    }

    /// With `fetching` held.
    async fn fetch(&self) -> Result<Bearer, TokenError> {
        let asked = Instant::now();
        let Fresh { header, valid, renew_in } = self.source.fetch().await?;
        let serial = self.held().map_or(0, |held| held.bearer.serial) + 1;
        let bearer = Bearer { header, serial };
        // At three quarters of its life at the latest: a token endpoint that is down for a
        // quarter of an hour then costs nothing.
        let renew_in = renew_in.unwrap_or(valid).min(valid.mul_f64(0.75));
        let held = Held {
            bearer: bearer.clone(),
            good_until: asked + valid.saturating_sub(MARGIN),
            renew_at: asked + renew_in,
        };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(bearer)
    }

    fn good(&self) -> Option<Held> {
        self.held().filter(|held| Instant::now() < held.good_until)
    }

    fn held(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Keeps a token fresh in a task that ends when `tokens` is dropped.
pub(in crate::azure) fn spawn_keeper(tokens: &Arc<Tokens>) {
    tokio::spawn(Tokens::keep_fresh(Arc::downgrade(tokens)));
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
