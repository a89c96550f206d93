//! Why something was done, and why it was not: typed, each rendered as one sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ApplianceName;

/// One reason. `Display` gives the sentence that an operator reads.
///
/// Append-only: reasons stand in the log, encoded by their position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A majority of vantages holds the appliance to be down.
    Down {
        /// Which appliance.
        appliance: ApplianceName,
        /// Vantages that agree.
        vantages: u32,
        /// All vantages.
        of: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Down { appliance, vantages, of } => {
                write!(f, "{appliance} is down by {vantages} of {of} vantages")
            }
        }
    }
}
