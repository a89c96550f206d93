//! What a load balancer's probes found, and what it makes of that.
//!
//! All times are [`now_us`](crate::clock::now_us).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One probe of `load-balancer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Of whom.
    pub backend: String,
    /// When it began.
    pub asked_us: u64,
    /// When it was answered, or given up.
    pub at_us: u64,
    /// Whether it was answered as it must be.
    pub passed: bool,
}

/// What became of the probes while a group moved from one backend to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// From the last answer of the old one to the first of the new one, in milliseconds; 0 when they
    /// overlap.
    pub outage_ms: u64,
    /// For how long both answered: from the first answer of the new one to the start of the last probe
    /// that the old one answered. In milliseconds, rounded up; 0 is as it must be.
    pub together_ms: u64,
    /// For how long the load balancer knew of no backend to send traffic to, in milliseconds.
    pub out_of_rotation_ms: u64,
}

/// Reads a handover off the probes that began at `since_us` or later. `None` while the new one has not
/// answered.
///
/// The load balancer takes a backend out after `fall` failures in a row, and in after one success.
pub fn handover(probes: &[Probed], old: &str, new: &str, since_us: u64, fall: u32) -> Option<Handover> {
    let passed = |name: &str| {
        let name = name.to_owned();
        probes.iter().filter(move |p| p.passed && p.asked_us >= since_us && p.backend == name)
    };
    let first_us = passed(new).map(|p| p.at_us).min()?;
    let last = passed(old).max_by_key(|p| p.at_us);
    let together_us = last.map_or(0, |p| p.asked_us.saturating_sub(first_us));
    let outage_us = first_us.saturating_sub(last.map_or(since_us, |p| p.at_us));
    Some(Handover {
        outage_ms: outage_us / 1_000,
        together_ms: together_us.div_ceil(1_000),
        out_of_rotation_ms: without_a_backend(probes, since_us, fall) / 1_000,
    })
}

/// For how long nobody was in rotation, from `since_us` to the last probe.
fn without_a_backend(probes: &[Probed], since_us: u64, fall: u32) -> u64 {
    let mut failures: BTreeMap<&str, u32> = BTreeMap::new();
    let mut by_end: Vec<&Probed> = probes.iter().collect();
    by_end.sort_by_key(|p| p.at_us);
    let (mut nobody_since, mut total_us) = (None, 0);
    for probe in by_end {
        let count = failures.entry(&probe.backend).or_insert(fall);
        *count = if probe.passed { 0 } else { count.saturating_add(1) };
        let nobody = failures.values().all(|count| *count >= fall);
        match (nobody, nobody_since) {
            (true, None) => nobody_since = Some(probe.at_us),
            (false, Some(since)) => {
                total_us += probe.at_us.saturating_sub(since_us.max(since));
                nobody_since = None;
            }
            _ => {}
        }
    }
    total_us
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(backend: &str, at_ms: u64, passed: bool) -> Probed {
        Probed { backend: backend.to_owned(), asked_us: at_ms * 1_000 - 500, at_us: at_ms * 1_000, passed }
    }

    #[test]
    fn a_handover_runs_from_the_last_answer_of_the_old_one_to_the_first_of_the_new_one() {
        let seen = [
            probed("a", 100, true),
            probed("b", 110, false),
            probed("a", 200, false),
            probed("a", 300, false),
            probed("b", 900, true),
        ];
        let handover = handover(&seen, "a", "b", 0, 2).unwrap();
        assert_eq!(handover, Handover { outage_ms: 800, together_ms: 0, out_of_rotation_ms: 600 });
    }

    #[test]
    fn an_old_one_that_answers_a_probe_sent_after_the_new_one_has_answered_is_seen() {
        let seen = [probed("a", 100, true), probed("b", 200, true), probed("a", 300, true)];
        let handover = handover(&seen, "a", "b", 0, 2).unwrap();
        assert_eq!((handover.outage_ms, handover.together_ms), (0, 100));
    }

    #[test]
    fn before_the_new_one_answers_there_is_no_handover() {
        assert_eq!(handover(&[probed("a", 100, true)], "a", "b", 0, 2), None);
    }
}
