//! How an appliance is switched off when nothing less will do ("shoot the other node in the head").

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AdapterName, HookName};

/// Whether the earlier active appliance of an unplanned move is switched off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fencing {
    /// No: the lease alone keeps it from carrying traffic.
    #[default]
    Never,
    /// It is tried; after the first attempt, whatever came of it, the lease counts as well.
    Prefer,
    /// Nothing moves before it is surely off, has confirmed its release, or an operator has said
    /// that it is off.
    Require,
}

/// How one appliance is switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceSpec {
    /// Its cloud powers the virtual machine off.
    PowerOff {
        /// Which cloud connection.
        adapter: AdapterName,
        /// The virtual machine, by the adapter's own id.
        resource: String,
    },
    /// A program that every coordinator has in its own configuration file.
    Hook {
        /// The program's name there.
        name: HookName,
    },
}

impl fmt::Display for FenceSpec {
    /// As in "hook power-off-a failed".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FenceSpec::PowerOff { adapter, resource } => write!(f, "power-off of {resource} by {adapter}"),
            FenceSpec::Hook { name } => write!(f, "hook {name}"),
        }
    }
}
