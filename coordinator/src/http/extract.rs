//! Extractors whose refusals are problems.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use coordinator_api::v1::{Code, MAX_REASON};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::{ApiError, chain};

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = axum::Json::<T>::from_request(request, state).await;
        body.map(|axum::Json(value)| Body(value)).map_err(|rejection| {
            let code = match &rejection {
                JsonRejection::MissingJsonContentType(_) => Code::UnsupportedMediaType,
                JsonRejection::BytesRejection(inner)
                    if inner.status() == http::StatusCode::PAYLOAD_TOO_LARGE =>
                {
                    Code::BodyTooLarge
                }
                _ => Code::BadRequest,
            };
            ApiError::new(code, chain(&rejection))
        })
    }
}

/// The query string.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|rejection: QueryRejection| ApiError::new(Code::BadRequest, chain(&rejection)))
    }
}

/// The names in the path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Path(value))
            .map_err(|rejection| ApiError::new(Code::BadRequest, chain(&rejection)))
    }
}

/// An operator's reason: needed, bounded, one line.
pub(super) fn reason(text: String) -> Result<String, ApiError> {
    let unusable = |rule: &str| Err(ApiError::new(Code::Unprocessable, format!("the reason {rule}")));
    if text.trim().is_empty() {
        return unusable("is empty: say why, it is recorded");
    }
    if text.len() > MAX_REASON {
        return unusable(&format!("is {} bytes long; the limit is {MAX_REASON}: shorten it", text.len()));
    }
    if text.chars().any(char::is_control) {
        return unusable("has control characters: write it in one line of plain text");
    }
    Ok(text)
}
