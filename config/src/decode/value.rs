//! How single values are written, and the rule that each kind keeps.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use coordinator_core::ids::{
    AdapterName, ApplianceName, BindingName, GroupName, HookName, NodeId, PoolName, ProbeName,
};
use coordinator_core::model::{Fencing, QuorumLoss, Trigger, Trust};
use coordinator_core::notice::NoticeKind;
use ipnet::IpNet;
use toml::de::DeValue;

use crate::duration;

/// A value of a key.
pub(crate) trait Value: Sized {
    /// What it must be, as the end of a sentence: "must be …".
    const RULE: &'static str;
    /// Reads it; `None` when it breaks the rule.
    fn read(value: &DeValue<'_>) -> Option<Self>;
    /// How a value that breaks the rule is shown.
    fn show(value: &DeValue<'_>) -> String {
        show(value)
    }
}

/// A value as the operator wrote it, cut to a length that fits a line.
pub(crate) fn show(value: &DeValue<'_>) -> String {
    const MOST: usize = 80;
    match value {
        DeValue::String(text) if text.chars().count() > MOST => {
            format!("{:?} and more", text.chars().take(MOST).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(when) => when.to_string(),
        DeValue::Array(elements) => format!("a list of {}", elements.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Values written as a string that has a parser.
macro_rules! from_text {
    ($($type:ty: $rule:literal, $parse:expr;)*) => {$(
        impl Value for $type {
            const RULE: &'static str = $rule;
            fn read(value: &DeValue<'_>) -> Option<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(value.as_str()?)
            }
        }
    )*};
}

from_text! {
    String: "must be a string that is not empty", |s| (!s.trim().is_empty()).then(|| s.to_owned());
    PathBuf: "must be a path", |s| (!s.is_empty() && !s.contains('\0')).then(|| PathBuf::from(s));
    Duration: "must be a whole number and a unit, such as \"500ms\", \"2s\", \"5m\" or \"1h\"", duration::parse;
    IpAddr: "must be an IP address; names are not resolved here", |s| s.parse().ok();
    SocketAddr: "must be an IP address and a port, such as \"10.0.0.11:7401\"; names are not resolved here", |s| s.parse().ok();
    IpNet: "must be an IP address and the length of its subnet's prefix, such as \"10.0.0.100/24\"", |s| s.parse().ok();
    GroupName: "must be a name: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit", |s| s.parse().ok();
    PoolName: "must be a name: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit", |s| s.parse().ok();
    ApplianceName: "must be a name: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit", |s| s.parse().ok();
    BindingName: "must be a name: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit", |s| s.parse().ok();
    AdapterName: "must be a name: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit", |s| s.parse().ok();
    ProbeName: "must be a name: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit", |s| s.parse().ok();
    Trigger: "must be \"automatic\" or \"manual\"", |s| match s {
        "automatic" => Some(Trigger::Automatic),
        "manual" => Some(Trigger::Manual),
        _ => None,
    };
    HookName: "must be a name: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit", |s| s.parse().ok();
    Fencing: "must be \"never\", \"prefer\" or \"require\"", |s| match s {
        "never" => Some(Fencing::Never),
        "prefer" => Some(Fencing::Prefer),
        "require" => Some(Fencing::Require),
        _ => None,
    };
    QuorumLoss: "must be \"drop\" or \"failsafe\"", |s| match s {
        "drop" => Some(QuorumLoss::Drop),
        "failsafe" => Some(QuorumLoss::Failsafe),
        _ => None,
    };
    Trust: "must be \"cluster\" or \"any\"", |s| match s {
        "cluster" => Some(Trust::Cluster),
        "any" => Some(Trust::Any),
        _ => None,
    };
}

/// Whole numbers. TOML allows `0x10` and `1_000`; both are read.
macro_rules! from_number {
    ($($type:ty: $rule:literal;)*) => {$(
        impl Value for $type {
            const RULE: &'static str = $rule;
            fn read(value: &DeValue<'_>) -> Option<Self> {
                let number = value.as_integer()?;
                <$type>::from_str_radix(number.as_str(), number.radix()).ok()
            }
        }
    )*};
}

from_number! {
    u16: "must be a whole number from 0 to 65535";
    u32: "must be a whole number from 0 to 4294967295";
    u64: "must be a whole number that is not negative";
}

impl Value for bool {
    const RULE: &'static str = "must be true or false";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl Value for NodeId {
    const RULE: &'static str = "must be a whole number from 1";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        u64::read(value).filter(|id| *id >= 1).map(NodeId)
    }
}

impl Value for Vec<String> {
    const RULE: &'static str = "must be a list of strings that are not empty";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_array()?.iter().map(|v| String::read(v.get_ref())).collect()
    }
}

impl Value for BTreeSet<NoticeKind> {
    const RULE: &'static str = "must be a list of \"reboot\", \"redeploy\", \"freeze\", \"preempt\", \
                                \"terminate\" and \"shutdown\", or some of them";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        let kind = |word: &str| NoticeKind::ALL.into_iter().find(|kind| kind.word() == word);
        value.as_array()?.iter().map(|v| kind(v.get_ref().as_str()?)).collect()
    }
}

impl Value for Vec<SocketAddr> {
    const RULE: &'static str =
        "must be a list of IP addresses and ports, such as [\"10.0.1.4:7403\"]; names are not resolved here";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_array()?.iter().map(|v| SocketAddr::read(v.get_ref())).collect()
    }
}

/// The SHA-256 of a secret. Never shown: where a hash is expected, people paste the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Secret(pub(crate) [u8; 32]);

impl Value for Secret {
    const RULE: &'static str =
        "must be the 64 hexadecimal digits of the token's SHA-256: printf %s TOKEN | sha256sum";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str().filter(|t| t.len() == 64 && t.is_ascii())?;
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let pair = text.get(at..at + 2).filter(|p| !p.contains('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Secret(bytes))
    }
    fn show(_value: &DeValue<'_>) -> String {
        "not shown here".to_owned()
    }
}
