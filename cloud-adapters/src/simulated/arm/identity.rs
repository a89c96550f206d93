//! The token endpoint of an authority, and the metadata service of a machine.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::time::Instant;

use super::cloud::Answer;

/// Tokens that were given out, and who may have one.
#[derive(Debug)]
pub(super) struct Identities {
    /// Until when each token is good.
    given: BTreeMap<String, Instant>,
    serial: u64,
    life: Duration,
    /// What a client secret must be; none means that any is taken.
    secret: Option<String>,
}

impl Default for Identities {
    fn default() -> Self {
        Identities { given: BTreeMap::new(), serial: 0, life: Duration::from_secs(3600), secret: None }
    }
}

impl Identities {
    pub(super) fn set(&mut self, life: Duration, secret: Option<&str>) {
        self.life = life;
        self.secret = secret.map(str::to_owned);
    }

    /// How many tokens were given out.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// The answer, if the path is one of the two.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Answer> {
        if path == "/metadata/identity/oauth2/token" {
            if headers.get("metadata").is_none_or(|value| value != "true") {
                return Some(Answer::error(400, "bad_request_102", "Required metadata header not specified"));
            }
            return Some(self.give(now, true));
        }
        if method != "POST" || !path.ends_with("/oauth2/v2.0/token") {
            return None;
        }
        let form: BTreeMap<String, String> = fields(body);
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let proof = !field("client_secret").is_empty() || field("client_assertion").split('.').count() == 3;
        if field("grant_type") != "client_credentials" || !field("scope").ends_with("/.default") || !proof {
            return Some(refused(400, "invalid_request", "AADSTS900144: a field is missing."));
        }
        match &self.secret {
            Some(secret) if field("client_secret") != secret => Some(refused(
                401,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 0\r\nTimestamp: 0",
            )),
            _ => Some(self.give(now, false)),
        }
    }

    fn give(&mut self, now: Instant, imds: bool) -> Answer {
        self.serial += 1;
        let token = format!("token-{}", self.serial);
        self.given.retain(|_, until| *until > now);
        self.given.insert(token.clone(), now + self.life);
        let life = self.life.as_secs();
        let expires = if imds { json!(life.to_string()) } else { json!(life) };
        let body = json!({ "token_type": "Bearer", "expires_in": expires, "access_token": token });
        Answer { status: 200, headers: Vec::new(), body }
    }

    /// The refusal of a call that shows no good token.
    pub(super) fn check(&self, now: Instant, headers: &HeaderMap) -> Result<(), Answer> {
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = shown.and_then(|value| value.strip_prefix("Bearer "));
        match token.and_then(|token| self.given.get(token)) {
            Some(until) if *until > now => Ok(()),
            _ => Err(expired()),
        }
    }

    /// Takes back every token.
    pub(super) fn revoke(&mut self) {
        self.given.clear();
    }
}

pub(super) fn expired() -> Answer {
    Answer::error(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")
}

fn refused(status: u16, error: &str, description: &str) -> Answer {
    let body = json!({ "error": error, "error_description": description });
    Answer { status, headers: Vec::new(), body }
}

fn fields(form: &[u8]) -> BTreeMap<String, String> {
    let mut url = reqwest::Url::parse("http://form.invalid/").ok();
    if let Some(url) = &mut url {
        url.set_query(std::str::from_utf8(form).ok());
    }
    url.iter().flat_map(|url| url.query_pairs().into_owned()).collect()
}
