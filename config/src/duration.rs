//! Durations as operators write them: a whole number and one unit, `"500ms"`, `"2s"`, `"30m"`,
//! `"1h"`. No fractions, no sums, no bare numbers: there is one way to write each.

use std::fmt;
use std::time::Duration;

/// Reads a duration; `None` when it is not written as above, or exceeds 10 years.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(factor)?;
    let limit = 10 * 365 * 24 * 3_600_000;
    (millis <= limit).then(|| Duration::from_millis(millis))
}

/// Shows a duration in the form that [`parse`] reads, with the largest unit that divides it.
/// Less than a millisecond is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
            if millis >= unit && millis.is_multiple_of(unit) {
                return write!(f, "{}{name}", millis / unit);
            }
        }
        write!(f, "{millis}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_and_one_unit_is_a_duration() {
        for (text, millis) in
            [("0ms", 0), ("500ms", 500), ("2s", 2_000), ("30m", 1_800_000), ("1h", 3_600_000)]
        {
            let parsed = parse(text);
            assert_eq!(parsed, Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
        assert_eq!(Span(Duration::from_millis(1_500)).to_string(), "1500ms");
    }

    #[test]
    fn anything_else_is_not() {
        for text in [
            "",
            "5",
            "ms",
            "1.5s",
            "-1s",
            "1 s",
            "1s ",
            "1S",
            "1m30s",
            "١s",
            "99999999999999999999h",
            "90000h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
