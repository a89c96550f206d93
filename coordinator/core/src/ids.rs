//! Newtypes for every identifier that crosses a module boundary.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name that breaks the naming rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{value:?} is not a name: use 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit"
)]
pub struct NameError {
    /// What was given.
    pub value: String,
}

fn is_name(value: &str) -> bool {
    let bytes = value.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 63 characters of `a-z`, `0-9` and `-` (the host-name rule of RFC 1123 §2.1,
        /// lower case only), so that it is safe in a URL, a file name and a cloud tag. Cloning
        /// one copies nothing: names are all over the state and everything made from it.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the naming rule.
            ///
            /// # Errors
            /// [`NameError`] with the value when the rule is broken.
            pub fn new(value: impl Into<String>) -> Result<Self, NameError> {
                let value = value.into();
                if is_name(&value) { Ok(Self(value.into())) } else { Err(NameError { value }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type! {
    /// A group: one active appliance, its standbys, and the bindings they share.
    GroupName
}
name_type! {
    /// A pool: appliances that are all active behind a load balancer.
    PoolName
}
name_type! {
    /// A network appliance.
    ApplianceName
}
name_type! {
    /// Something that must follow the active appliance.
    BindingName
}
name_type! {
    /// A configured connection to one cloud.
    AdapterName
}
name_type! {
    /// One probe of one appliance.
    ProbeName
}
name_type! {
    /// A program in the configuration file of every coordinator.
    HookName
}

/// A coordinator: a Raft node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fencing token: the log index of the command that granted the active role. It rises by
/// construction, because log indexes do. Zero means that no appliance was ever active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

impl Token {
    /// Before any appliance was active.
    pub const NONE: Token = Token(0);
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An operation: the log index of the command that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub u64);

impl OperationId {
    /// The fencing token that the operation acts with: the same log index.
    pub fn token(self) -> Token {
        Token(self.0)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_host_name_rule() {
        for good in ["a", "fw-a", "0", "dmz-1-east", &"x".repeat(63)] {
            assert!(GroupName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "a/b", "ü", &"x".repeat(64)] {
            assert!(GroupName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_is_refused_while_decoding() {
        assert!(serde_json::from_str::<GroupName>("\"No Good\"").is_err());
    }
}
