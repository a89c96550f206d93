//! Points in time on the wire.

use std::fmt;
use std::str::FromStr;

use coordinator_core::time::WallTime;
use serde::{Deserialize, Serialize};

/// A point in time: RFC 3339 in UTC with milliseconds, for instance `2026-03-01T12:00:00.250Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub WallTime);

/// Not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: write RFC 3339 with an offset, for instance 2026-03-01T12:00:00Z")]
pub struct TimestampError(String);

impl From<WallTime> for Timestamp {
    fn from(time: WallTime) -> Self {
        Timestamp(time)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let bad = || TimestampError(text.to_owned());
        let time: jiff::Timestamp = text.parse().map_err(|_| bad())?;
        u64::try_from(time.as_millisecond()).map(|ms| Timestamp(WallTime(ms))).map_err(|_| bad())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;
    fn try_from(text: String) -> Result<Self, TimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond jiff's range (the year 9999) the largest time it knows is shown.
        let millis = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        f.pad(&format!("{time:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_the_wire_to_the_millisecond() {
        let time = Timestamp(WallTime(1_772_366_400_250));
        assert_eq!(time.to_string(), "2026-03-01T12:00:00.250Z");
        assert_eq!("2026-03-01T13:00:00.25+01:00".parse(), Ok(time));
    }

    #[test]
    fn a_time_without_an_offset_or_before_1970_is_refused() {
        for bad in ["2026-03-01T12:00:00", "yesterday", "1969-01-01T00:00:00Z", ""] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_is_shown_as_its_end() {
        assert!(Timestamp(WallTime(u64::MAX)).to_string().starts_with("9999-"));
    }
}
