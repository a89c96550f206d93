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

/// A hash that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sha256 of token {name:?} is not 64 hexadecimal digits")]
pub struct BadTokenHash {
    /// Which token.
    pub name: String,
}

impl Tokens {
    /// From names and SHA-256 hashes in hexadecimal.
    ///
    /// # Errors
    /// [`BadTokenHash`] for the first that is malformed.
    pub fn from_hex<'a>(
        tokens: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Tokens, BadTokenHash> {
        let decode = |(name, hex): (&str, &str)| {
            let hash = decode_hex(hex).ok_or_else(|| BadTokenHash { name: name.to_owned() })?;
            Ok((name.to_owned(), hash))
        };
        Ok(Tokens { hashes: tokens.into_iter().map(decode).collect::<Result<_, _>>()? })
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

fn decode_hex(hex: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
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

    // SHA-256 of "one" and "two".
    const ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    const TWO: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";

    #[test]
    fn each_token_gives_its_own_name_and_no_other_token_any() {
        let tokens = Tokens::from_hex([("alice", ONE), ("bob", TWO)]).unwrap();
        assert_eq!(tokens.name_of(b"one"), Some("alice"));
        assert_eq!(tokens.name_of(b"two"), Some("bob"));
        for wrong in ["", "on", "one ", "One", ONE] {
            assert_eq!(tokens.name_of(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Tokens::default().name_of(b"one"), None);
    }

    #[test]
    fn a_malformed_hash_is_refused_by_name() {
        for bad in ["", "00", &ONE[1..], &format!("{ONE}00"), &ONE.replace('7', "g")] {
            assert_eq!(Tokens::from_hex([("x", bad)]).unwrap_err().name, "x", "{bad}");
        }
    }

    #[test]
    fn debug_output_shows_names_alone() {
        let tokens = Tokens::from_hex([("alice", ONE)]).unwrap();
        assert_eq!(format!("{tokens:?}"), "[\"alice\"]");
    }
}
