//! What a failed call means: errors by class, each with what follows from it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::azure::identity::TokenError;
use crate::azure::transport::{HttpResponse, TransportError};
use crate::contract::AdapterError;

/// Most characters of a message that are kept.
const MESSAGE: usize = 400;

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may work when tried again. Whether it took effect is not known.
    Transient,
    /// The subscription has had enough (429). Nothing was done.
    Throttled,
    /// The resource, or one that it refers to, is being changed. Nothing was done. ARM says so
    /// with 409, and with a 429 that has nothing to do with how much was asked.
    Busy,
    /// The resource is not as it was read.
    Conflict,
    /// ARM does not know us (401, with a new token too) or we lack a permission (403).
    Denied,
    /// There is no such resource.
    Gone,
    /// It will not work until someone changes something.
    Permanent,
}

/// A failed call. Cheap to clone: one read may be for many bindings.
#[derive(Debug, Clone)]
pub struct CallFailure {
    /// What follows.
    pub class: Class,
    /// How long ARM asks to wait.
    pub retry_after: Option<Duration>,
    /// What happened.
    pub error: Arc<CallError>,
}

/// What happened to a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// ARM refused it.
    #[error("{status} {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The most telling code: the innermost one.
        code: String,
        /// What ARM says, cut.
        message: String,
    },
    /// We may not.
    #[error(
        "{status} {code}: the identity lacks the permission {permission}: \
         add it to its role, or assign the role at a scope that covers the resource"
    )]
    Forbidden {
        /// HTTP status.
        status: u16,
        /// For instance `AuthorizationFailed`.
        code: String,
        /// For instance `Microsoft.Network/networkInterfaces/write`.
        permission: String,
    },
    /// A change that ARM had accepted came to nothing.
    #[error("ARM accepted the change and then gave it up: {code}: {message}")]
    OperationFailed {
        /// Its code.
        code: String,
        /// What ARM says, cut.
        message: String,
    },
    /// No answer.
    #[error("no answer from ARM")]
    NoAnswer(#[source] TransportError),
    /// No token.
    #[error("no token for ARM")]
    Token(#[source] TokenError),
    /// Not tried: ARM has not answered for a while.
    #[error("not tried: ARM has not answered lately, and is asked again in {} s", .0.as_secs_f32())]
    Paused(Duration),
    /// Not tried: the subscription asked to be left alone.
    #[error("not tried: the subscription wants no calls for another {} s", .0.as_secs_f32())]
    Throttled(Duration),
    /// Not sent: the resource is not on the allow-list.
    #[error("{0} is not on the adapter's allow-list; add it, or its resource group, to `allow`")]
    NotAllowed(String),
    /// A strange answer.
    #[error("{0}")]
    Strange(&'static str),
}

impl CallFailure {
    /// A failure without a wish of ARM's.
    pub(super) fn new(class: Class, error: CallError) -> Self {
        CallFailure { class, retry_after: None, error: Arc::new(error) }
    }

    /// From an answer that is no success.
    pub(super) fn of_answer(answer: &HttpResponse) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let status = answer.status;
        let Told { codes, code, message } = told(body.get("error").unwrap_or(&Value::Null));
        let class = class_of(status, &codes);
        let status = status.as_u16();
        let error = match missing_permission(&message).filter(|_| status == 403) {
            Some(permission) => CallError::Forbidden { status, code, permission },
            None => CallError::Refused { status, code, message: cut(&message) },
        };
        CallFailure { class, retry_after: answer.retry_after(), error: Arc::new(error) }
    }

    /// From the end of a long-running operation. It left the resource in the state `Failed`,
    /// which the same write resets, so it is worth another round.
    pub(super) fn of_operation(error: &Value) -> Self {
        let Told { codes, code, message } = told(error);
        let class = if codes.iter().any(|code| is_busy(code)) { Class::Busy } else { Class::Transient };
        CallFailure::new(class, CallError::OperationFailed { code, message: cut(&message) })
    }

    /// For the driver; `attempt` follows "could not".
    pub(in crate::azure) fn into_adapter_error(self, attempt: impl Into<String>) -> AdapterError {
        let (attempt, retry_after) = (attempt.into(), self.retry_after);
        match self.class {
            Class::Transient | Class::Throttled => {
                AdapterError::Transient { attempt, retry_after, cause: self.error.into() }
            }
            Class::Busy => AdapterError::Busy { attempt, retry_after, cause: self.error.into() },
            Class::Conflict => AdapterError::conflict(attempt, self.error),
            Class::Denied | Class::Gone | Class::Permanent => AdapterError::permanent(attempt, self.error),
        }
    }
}

/// An ARM error, taken apart.
struct Told {
    codes: Vec<String>,
    code: String,
    message: String,
}

fn told(error: &Value) -> Told {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let outer = text(error, "code").unwrap_or_else(|| "NoErrorBody".to_owned());
    let message = text(error, "message").unwrap_or_else(|| "the answer says no more".to_owned());
    let details: Vec<&Value> =
        error.get("details").and_then(Value::as_array).into_iter().flatten().take(16).collect();
    // The outer pair is often `RetryableError`: "A retryable error occurred." The inner one tells.
    let inner = details.iter().find_map(|d| Some((text(d, "code")?, text(d, "message")?)));
    let codes = [Some(outer.clone())].into_iter().chain(details.iter().map(|d| text(d, "code"))).flatten();
    let codes = codes.collect();
    match inner {
        Some((code, message)) => Told { codes, code, message },
        None => Told { codes, code: outer, message },
    }
}

fn class_of(status: StatusCode, codes: &[String]) -> Class {
    let has = |wanted: &str| codes.iter().any(|code| code == wanted);
    match status {
        StatusCode::PRECONDITION_FAILED => Class::Conflict,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Class::Denied,
        StatusCode::NOT_FOUND | StatusCode::GONE => Class::Gone,
        _ if codes.iter().any(|code| is_busy(code)) => Class::Busy,
        StatusCode::TOO_MANY_REQUESTS => Class::Throttled,
        // A management lock: nobody but its owner can help.
        StatusCode::CONFLICT if has("ScopeLocked") => Class::Permanent,
        StatusCode::CONFLICT => Class::Conflict,
        // The address has gone to another resource since it was read.
        StatusCode::BAD_REQUEST if has("PublicIPAddressInUse") => Class::Conflict,
        StatusCode::REQUEST_TIMEOUT => Class::Transient,
        status if status.is_server_error() => Class::Transient,
        _ => Class::Permanent,
    }
}

/// Codes that mean: someone, perhaps we, is changing the resource or one that it refers to.
fn is_busy(code: &str) -> bool {
    code.starts_with("RetryableError")
        || ["AnotherOperationInProgress", "ReferencedResourceNotProvisioned", "OperationInProgress"]
            .contains(&code)
}

/// The permission that a message of ARM's authorization names. There may be several quoted
/// actions; the one that is lacking comes last.
fn missing_permission(message: &str) -> Option<String> {
    let quoted = message.split('\'').skip(1).step_by(2);
    let actions = quoted.filter(|text| {
        let parts: Vec<&str> = text.split('/').collect();
        parts.len() >= 3 && parts.first().is_some_and(|p| p.contains('.')) && !text.starts_with('/')
    });
    actions.last().map(str::to_owned)
}

fn cut(message: &str) -> String {
    message.chars().take(MESSAGE).collect()
}

#[cfg(test)]
mod tests;
