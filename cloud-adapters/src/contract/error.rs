//! Why a binding was not moved or read: five classes, by what the caller does next.

use std::error::Error;
use std::time::Duration;

/// What lies underneath an [`AdapterError`].
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a binding was not moved or read. `Display` says what was attempted; the cause is in
/// `source`. [`AdapterError::chain`] gives both in one line.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// Another leader has taken over, or this one cannot tell: stop at once.
    #[error("deposed: {0}")]
    Deposed(String),
    /// It may work when tried again.
    #[error("could not {attempt}")]
    Transient {
        /// What was attempted, to follow "could not".
        attempt: String,
        /// How long the cloud asks to wait.
        retry_after: Option<Duration>,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
    /// The cloud is at work on the resource and has refused for that: nothing was done. It will
    /// work once the cloud has finished, which may take longer than failures are ridden out for.
    #[error("could not {attempt} yet")]
    Busy {
        /// What was attempted, to follow "could not".
        attempt: String,
        /// How long the cloud asks to wait.
        retry_after: Option<Duration>,
        /// What it said.
        #[source]
        cause: Cause,
    },
    /// The resource is not as it was read: read again before anything else.
    #[error("could not {attempt}")]
    Conflict {
        /// What was attempted, to follow "could not".
        attempt: String,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
    /// It will not work until someone changes something.
    #[error("could not {attempt}")]
    Permanent {
        /// What was attempted, to follow "could not".
        attempt: String,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
}

impl AdapterError {
    /// An [`AdapterError::Deposed`]: for a gate.
    pub fn deposed(why: impl Into<String>) -> Self {
        AdapterError::Deposed(why.into())
    }

    /// A [`AdapterError::Transient`] without a wish of the cloud's.
    pub fn transient(attempt: impl Into<String>, cause: impl Into<Cause>) -> Self {
        AdapterError::Transient { attempt: attempt.into(), retry_after: None, cause: cause.into() }
    }

    /// A [`AdapterError::Conflict`].
    pub fn conflict(attempt: impl Into<String>, cause: impl Into<Cause>) -> Self {
        AdapterError::Conflict { attempt: attempt.into(), cause: cause.into() }
    }

    /// A [`AdapterError::Permanent`].
    pub fn permanent(attempt: impl Into<String>, cause: impl Into<Cause>) -> Self {
        AdapterError::Permanent { attempt: attempt.into(), cause: cause.into() }
    }

    /// Whether to stop, because another leader has taken over.
    pub fn is_deposed(&self) -> bool {
        matches!(self, AdapterError::Deposed(_))
    }

    /// How long the cloud asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            AdapterError::Transient { retry_after, .. } | AdapterError::Busy { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// The same once more, for another binding that the same call was for. Its causes become one.
    pub fn again(&self) -> AdapterError {
        let because = || -> Cause {
            let chain = self.chain();
            let own = self.to_string();
            chain.strip_prefix(&own).unwrap_or_default().trim_start_matches(": ").into()
        };
        match self {
            AdapterError::Deposed(why) => AdapterError::Deposed(why.clone()),
            AdapterError::Transient { attempt, retry_after, .. } => AdapterError::Transient {
                attempt: attempt.clone(),
                retry_after: *retry_after,
                cause: because(),
            },
            AdapterError::Busy { attempt, retry_after, .. } => {
                AdapterError::Busy { attempt: attempt.clone(), retry_after: *retry_after, cause: because() }
            }
            AdapterError::Conflict { attempt, .. } => {
                AdapterError::Conflict { attempt: attempt.clone(), cause: because() }
            }
            AdapterError::Permanent { attempt, .. } => {
                AdapterError::Permanent { attempt: attempt.clone(), cause: because() }
            }
        }
    }

    /// What was attempted and every cause, joined by colons: for a record that holds one text.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_says_what_was_attempted_and_the_chain_says_why() {
        let error = AdapterError::permanent("update route `default` in table `rt-hub`", "404 NotFound");
        assert_eq!(error.to_string(), "could not update route `default` in table `rt-hub`");
        assert_eq!(error.chain(), "could not update route `default` in table `rt-hub`: 404 NotFound");
        assert_eq!(error.again().chain(), error.chain());
    }
}
