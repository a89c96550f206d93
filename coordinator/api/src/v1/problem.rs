//! Errors: `application/problem+json` (RFC 9457) with a stable code.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The content type of every error answer.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:pointsman:problem:<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// A short sentence, the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for a program.
    pub code: Code,
    /// What went wrong this time, for a person.
    pub detail: String,
    /// Find it in the log of the node by this.
    pub request_id: String,
    /// Why, one sentence each; not empty when the checks of a move refused it.
    #[serde(default)]
    pub reasons: Vec<String>,
}

impl Problem {
    /// A problem without reasons. The server fills in the request id.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem {
            type_uri: format!("urn:pointsman:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            request_id: String::new(),
            reasons: Vec::new(),
        }
    }

    /// With reasons, one sentence each.
    #[must_use]
    pub fn because(mut self, reasons: Vec<String>) -> Self {
        self.reasons = reasons;
        self
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong, for a program. Stable: a code is never renamed or reused, new ones
        /// may come.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
            /// A code that this client does not know.
            Other(String),
        }

        impl Code {
            /// Every code of this version.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// As written on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Code::$name => $word,)*
                    Code::Other(word) => word,
                }
            }

            /// The HTTP status that it is sent with.
            pub fn status(&self) -> u16 {
                match self {
                    $(Code::$name => $status,)*
                    Code::Other(_) => 500,
                }
            }

            /// A short sentence.
            pub fn title(&self) -> &'static str {
                match self {
                    $(Code::$name => $title,)*
                    Code::Other(_) => "unknown problem",
                }
            }
        }

        impl From<String> for Code {
            fn from(word: String) -> Code {
                match word.as_str() {
                    $($word => Code::$name,)*
                    _ => Code::Other(word),
                }
            }
        }
    };
}

codes! {
    /// The request cannot be understood.
    BadRequest = "bad-request", 400, "the request cannot be understood";
    /// No token, or one that is not configured.
    Unauthorised = "unauthorised", 401, "a valid bearer token is required";
    /// The caller is known but may not do this.
    Forbidden = "forbidden", 403, "not allowed to this caller";
    /// No such route.
    NotFound = "not-found", 404, "no such resource";
    /// No such group.
    UnknownGroup = "unknown-group", 404, "no such group";
    /// There is no pool of that name.
    UnknownPool = "unknown-pool", 404, "no such pool";
    /// No such appliance in the group.
    UnknownAppliance = "unknown-appliance", 404, "no such appliance";
    /// No such operation, or no longer kept.
    UnknownOperation = "unknown-operation", 404, "no such operation";
    /// The route exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "method not allowed";
    /// The checks say no: see the reasons.
    Refused = "refused", 409, "refused";
    /// One operation of the group runs already.
    OperationRunning = "operation-running", 409, "another operation is running";
    /// The body is over the limit.
    BodyTooLarge = "body-too-large", 413, "the body is too large";
    /// The body is not declared as JSON.
    UnsupportedMediaType = "unsupported-media-type", 415, "the body must be JSON";
    /// The body is JSON but says something impossible.
    Unprocessable = "unprocessable", 422, "the body breaks a rule";
    /// A fault of this node: look into its log.
    Internal = "internal", 500, "internal error";
    /// The storage failed.
    StorageFailed = "storage-failed", 500, "the storage failed";
    /// Nobody leads right now.
    NoLeader = "no-leader", 503, "no leader";
    /// Too many requests at once.
    Overloaded = "overloaded", 503, "too many requests at once";
    /// The node is ending.
    ShuttingDown = "shutting-down", 503, "the node is shutting down";
    /// A read took too long.
    TimedOut = "timed-out", 504, "timed out";
    /// A change was proposed, but whether it was committed is not known.
    OutcomeUnknown = "outcome-unknown", 504, "whether it was done is not known";
    /// The disk is full.
    StorageFull = "storage-full", 507, "the disk is full";
}

impl From<Code> for String {
    fn from(code: Code) -> String {
        code.as_str().to_owned()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire_and_an_unknown_one_is_kept() {
        for code in Code::ALL {
            assert_eq!(&Code::from(code.as_str().to_owned()), code);
            assert!((400..600).contains(&code.status()), "{code}");
        }
        assert_eq!(Code::from("new-one".to_owned()), Code::Other("new-one".to_owned()));
    }

    #[test]
    fn every_code_has_its_section_in_the_documentation() {
        let page = include_str!("../../../../docs/errors.md");
        for code in Code::ALL {
            assert!(page.contains(&format!("\n## `{code}`")), "docs/errors.md has no section for {code}");
        }
    }
}
