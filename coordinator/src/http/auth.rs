//! Who asks: an operator with a bearer token, or a coordinator on an operator's behalf.

use std::fmt;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coordinator_api::tls::PeerIdentity;
use coordinator_api::v1::Code;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::ApiState;
use super::error::ApiError;

/// Carries the operator's name from the node that checked the token to the leader.
pub(super) const OPERATOR: &str = "x-pointsman-operator";

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 512;
/// Longest operator's name, in bytes.
const MAX_NAME: usize = 128;

/// The operator's name: who a request is recorded as.
#[derive(Debug, Clone)]
pub(super) struct Operator(pub(super) String);

/// The accepted tokens, by name. Only their SHA-256 hashes are ever held.
#[derive(Clone, Default)]
pub struct Tokens {
    hashes: Vec<(String, [u8; 32])>,
}

impl Tokens {
    /// From names and the SHA-256 hashes of the tokens' text.
    pub fn new(tokens: impl IntoIterator<Item = (String, [u8; 32])>) -> Tokens {
        Tokens { hashes: tokens.into_iter().collect() }
    }

    /// The name of the token, if it is an accepted one.
    ///
    /// Compares with every hash, in the same time wherever one matches. That the time depends on
    /// how many tokens are configured reveals nothing about them.
    fn name_of(&self, presented: &[u8]) -> Option<&str> {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        let mut found = u64::MAX;
        for (i, (_, hash)) in (0_u64..).zip(&self.hashes) {
            let same: Choice = hash.as_slice().ct_eq(digest.as_slice());
            found.conditional_assign(&i, same);
        }
        let (name, _) = self.hashes.get(usize::try_from(found).ok()?)?;
        Some(name)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.hashes.iter().map(|(name, _)| name)).finish()
    }
}

/// Lets `/v1` through with an accepted token only, and remembers whose it is.
pub(super) async fn bearer(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path != "/v1" && !path.starts_with("/v1/") {
        return next.run(request).await;
    }
    let Some(name) = presented(&request).and_then(|token| api.tokens.name_of(token)) else {
        return unauthorised();
    };
    let operator = Operator(name.to_owned());
    run_as(operator, request, next).await
}

fn presented(request: &Request) -> Option<&[u8]> {
    let mut values = request.headers().get_all(AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    let (scheme, token) = (value.get(..7)?, value.get(7..)?);
    let usable = values.next().is_none()
        && scheme.eq_ignore_ascii_case(b"bearer ")
        && !token.is_empty()
        && token.len() <= MAX_TOKEN;
    usable.then_some(token)
}

/// The same answer whatever is wrong: no hint.
fn unauthorised() -> Response {
    let error =
        ApiError::new(Code::Unauthorised, "send `Authorization: Bearer <token>` with a configured token");
    let mut response = error.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pointsman\""));
    response
}

/// Lets a request that another coordinator forwards through, on the operator's name it gives: it
/// has checked the token, and its certificate vouches for it.
pub(super) async fn forwarded(request: Request, next: Next) -> Response {
    if !matches!(request.extensions().get(), Some(PeerIdentity::Node(_))) {
        return ApiError::new(Code::Forbidden, "only a coordinator may forward requests").into_response();
    }
    let name = request.headers().get(OPERATOR).and_then(|value| value.to_str().ok());
    let Some(name) = name.filter(|name| (1..=MAX_NAME).contains(&name.len())) else {
        return ApiError::new(Code::BadRequest, format!("the header {OPERATOR} is missing or unusable"))
            .into_response();
    };
    let operator = Operator(name.to_owned());
    run_as(operator, request, next).await
}

async fn run_as(operator: Operator, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(operator.clone());
    let mut response = next.run(request).await;
    // For the log line.
    response.extensions_mut().insert(operator);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(token: &str) -> [u8; 32] {
        Sha256::digest(token.as_bytes()).into()
    }

    #[test]
    fn each_token_gives_its_own_name_and_no_other_token_any() {
        let tokens = Tokens::new([("alice".to_owned(), hash("one")), ("bob".to_owned(), hash("two"))]);
        assert_eq!(tokens.name_of(b"one"), Some("alice"));
        assert_eq!(tokens.name_of(b"two"), Some("bob"));
        for wrong in ["", "on", "one ", "One", "onetwo"] {
            assert_eq!(tokens.name_of(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Tokens::default().name_of(b"one"), None);
    }

    #[test]
    fn debug_output_shows_names_alone() {
        let tokens = Tokens::new([("alice".to_owned(), hash("one"))]);
        assert_eq!(format!("{tokens:?}"), "[\"alice\"]");
    }
}
