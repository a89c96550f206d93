//! Percentiles, ratios and tables.

use std::time::Duration;

/// Durations of one thing done many times.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sample that `percent` of all do not exceed (nearest rank); zero when there is none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// The median.
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// What one in a hundred exceeds.
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }
}

impl Extend<Duration> for Samples {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, samples: I) {
        self.0.extend(samples);
    }
}

impl IntoIterator for Samples {
    type Item = Duration;
    type IntoIter = std::vec::IntoIter<Duration>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Whole microseconds, for a cell whose heading names the unit.
pub fn micros(span: Duration) -> String {
    format!("{:.0}", span.as_secs_f64() * 1e6)
}

/// How many times `floor` goes into `span`, for a cell.
pub fn ratio(span: Duration, floor: Duration) -> String {
    format!("{:.2}", span.as_secs_f64() / floor.as_secs_f64())
}

/// The median of `ratios`, and in brackets the quartiles: half of all lie between these.
pub fn quartiles(ratios: impl Iterator<Item = f64>) -> String {
    let mut sorted = ratios.collect::<Vec<_>>();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |quarter: usize| sorted.get(sorted.len() * quarter / 4).copied().unwrap_or(f64::NAN);
    format!("{:.2} ({:.2}–{:.2})", at(2), at(1), at(3))
}

/// Prints a table: the first column to the left, the others to the right.
pub fn print(heading: &[&str], rows: &[Vec<String>]) {
    let heading = heading.iter().map(ToString::to_string).collect::<Vec<_>>();
    let widths = heading.iter().enumerate().map(|(column, title)| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.chain([title]).map(|cell| cell.chars().count()).max().unwrap_or_default()
    });
    let widths = widths.collect::<Vec<_>>();
    for row in [&heading].into_iter().chain(rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        println!("{}", cells.collect::<Vec<_>>().join("  "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let mut samples = Samples::default();
        assert_eq!(samples.p50(), Duration::ZERO);
        samples.extend((1..=200).rev().map(Duration::from_micros));
        assert_eq!(samples.p50(), Duration::from_micros(100));
        assert_eq!(samples.p99(), Duration::from_micros(198));
        assert_eq!(samples.percentile(100), Duration::from_micros(200));
    }
}
