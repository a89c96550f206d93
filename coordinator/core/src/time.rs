//! Time as a parameter.
//!
//! Two clocks, never mixed. [`WallTime`] is what people read and what must survive a change of
//! leader (the stabilisation time after a move). [`Mono`] never jumps and means nothing on
//! another machine; verdicts and leases use it alone.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Wall-clock time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

impl WallTime {
    /// How long after `earlier` this is; zero when the clock was set back in between.
    pub fn since(self, earlier: WallTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `by`, saturating.
    pub fn plus(self, by: Duration) -> WallTime {
        WallTime(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This time minus `by`, or 1970.
    pub fn minus(self, by: Duration) -> WallTime {
        WallTime(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Monotonic time on one machine: elapsed time since an origin that the caller chose once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub Duration);

impl Mono {
    /// `millis` after the origin. Handy in tests.
    pub const fn from_millis(millis: u64) -> Mono {
        Mono(Duration::from_millis(millis))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `by`, saturating.
    pub fn plus(self, by: Duration) -> Mono {
        Mono(self.0.saturating_add(by))
    }

    /// This time minus `by`, or the origin.
    pub fn minus(self, by: Duration) -> Mono {
        Mono(self.0.saturating_sub(by))
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

/// The instant a decision is made at, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The machine's monotonic clock.
    pub mono: Mono,
    /// The wall clock.
    pub wall: WallTime,
}

/// Serde for a [`Duration`] as whole milliseconds, for fields named `…_ms` on the wire.
pub mod millis {
    use super::{Deserialize, Duration};
    use serde::{Deserializer, Serializer};

    /// Writes whole milliseconds.
    ///
    /// # Errors
    /// What the serializer returns.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads whole milliseconds.
    ///
    /// # Errors
    /// What the deserializer returns.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
