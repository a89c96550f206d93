//! The cluster's id.

use std::fmt;

use toml::de::DeValue;

use crate::decode::Value;

/// What tells one cluster from another: 128 random bits, drawn by `pointsman init`, written as 32
/// lower-case hexadecimal digits. It stands in every certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// From 128 bits.
    pub fn from_bits(bits: u128) -> ClusterId {
        ClusterId(format!("{bits:032x}"))
    }

    /// From its written form; `None` when it is not 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<ClusterId> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(digit)).then(|| ClusterId(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Value for ClusterId {
    const RULE: &'static str = "must be the 32 lower-case hexadecimal digits that `pointsman init` wrote";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        ClusterId::parse(value.as_str()?)
    }
}
