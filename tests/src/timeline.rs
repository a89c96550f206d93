//! What the observers in the client's namespace saw, and what it means.
//!
//! All times are [`now_us`](crate::clock::now_us).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One connection of `traffic-client`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub asked_us: u64,
    /// When the answer was complete, or given up.
    pub at_us: u64,
    /// Who answered.
    pub by: Option<String>,
}

/// One frame that `arp-watch` saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArpSeen {
    /// A host says that it has the address.
    Answer {
        /// Which request it answers, from 1.
        request: u32,
        /// When that was sent.
        asked_us: u64,
        /// When the answer came.
        at_us: u64,
        /// Whose it is.
        mac: String,
    },
    /// A host announces the address unasked.
    Announcement {
        /// When.
        at_us: u64,
        /// Who does.
        mac: String,
    },
}

/// What one scenario cost the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The longest time between two answers, in milliseconds.
    pub longest_ms: u64,
    /// Who answered, in order, without repetitions.
    pub by: Vec<String>,
}

/// Who answered for the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// Requests that were answered.
    pub answered: usize,
    /// The most hosts that answered for it at one instant: to one request, or each to a request
    /// that the other had answered before *and* after.
    pub at_once: usize,
    /// Whose answers these were, by order of requests, without repetitions.
    pub order: Vec<String>,
}

/// Answered requests that are no further apart belong to one hold: far less than any lease, far
/// more than a busy observer is late.
const SAME_HOLD_US: u64 = 250_000;

/// Reads the JSON lines that a helper has written so far.
///
/// # Errors
/// When the file cannot be read, or a whole line is not what it should be.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    // The helper may be in the middle of the last line.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not a record: {line}")))
        .collect()
}

/// The longest silence between two answers that ends after `from_us`, and who answered from then.
pub fn outage(attempts: &[Attempt], from_us: u64) -> Outage {
    let mut longest_us = 0;
    let mut last_us = None;
    let mut by = Vec::new();
    for attempt in attempts {
        let Some(name) = &attempt.by else { continue };
        if attempt.at_us >= from_us {
            longest_us = longest_us.max(attempt.at_us.saturating_sub(last_us.unwrap_or(from_us)));
            push_new(&mut by, name);
        }
        last_us = Some(attempt.at_us);
    }
    Outage { longest_ms: longest_us / 1_000, by }
}

/// Who answered for the address from `from_us` on.
pub fn holders(seen: &[ArpSeen], from_us: u64) -> Holders {
    let mut by_request: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    for seen in seen {
        if let ArpSeen::Answer { request, at_us, mac, .. } = seen
            && *at_us >= from_us
        {
            by_request.entry(*request).or_default().insert(mac);
        }
    }
    let mut order = Vec::new();
    for mac in by_request.values().flatten() {
        push_new(&mut order, mac);
    }
    let to_one_request = by_request.values().map(BTreeSet::len).max().unwrap_or(0);
    let distinct: BTreeSet<_> = order.iter().collect();
    // A host that answers again after another one did held it all the time, or got it back.
    let in_turns = if order.len() > distinct.len() { 2 } else { 0 };
    Holders { answered: by_request.len(), at_once: to_one_request.max(in_turns), order }
}

/// How long two hosts answered for the address at once, from `from_us` on, in milliseconds; one
/// request that both answered counts as one.
///
/// A host holds the address from one answered request to the next if these are close together. It
/// counts when the requests were sent, not when the answers were read: the observer may be late,
/// a host's kernel is not.
pub fn together_ms(seen: &[ArpSeen], from_us: u64) -> u64 {
    let mut holds: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for seen in seen {
        if let ArpSeen::Answer { asked_us, mac, .. } = seen
            && *asked_us >= from_us
        {
            let holds = holds.entry(mac).or_default();
            match holds.last_mut() {
                Some((_, end)) if *asked_us <= *end + SAME_HOLD_US => *end = (*end).max(*asked_us),
                _ => holds.push((*asked_us, *asked_us)),
            }
        }
    }
    let holds: Vec<_> =
        holds.iter().flat_map(|(mac, all)| all.iter().map(move |hold| (*mac, *hold))).collect();
    let mut together_us = 0;
    for (i, (mac, (start, end))) in holds.iter().enumerate() {
        for (_, (from, to)) in holds[i + 1..].iter().filter(|(other, _)| other != mac) {
            if start <= to && from <= end {
                together_us += (end.min(to) - start.max(from)).max(1_000);
            }
        }
    }
    together_us.div_ceil(1_000)
}

fn push_new(order: &mut Vec<String>, name: &str) {
    if order.last().map(String::as_str) != Some(name) {
        order.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(at_us: u64, by: &str) -> Attempt {
        Attempt { asked_us: at_us - 1, at_us, by: (!by.is_empty()).then(|| by.to_owned()) }
    }

    fn answer(request: u32, mac: &str) -> ArpSeen {
        ArpSeen::Answer { request, asked_us: 0, at_us: u64::from(request), mac: mac.to_owned() }
    }

    #[test]
    fn an_outage_runs_from_the_last_answer_before_to_the_first_one_after() {
        let seen = [attempt(1_000, "a"), attempt(5_000, "a"), attempt(50_000, ""), attempt(905_000, "b")];
        assert_eq!(outage(&seen, 10_000), Outage { longest_ms: 900, by: vec!["b".to_owned()] });
        assert_eq!(outage(&seen, 2_000).by, ["a", "b"]);
    }

    #[test]
    fn one_holder_after_another_is_one_at_once() {
        let seen = [answer(1, "a"), answer(2, "a"), answer(9, "b")];
        let holders = holders(&seen, 0);
        assert_eq!((holders.answered, holders.at_once), (3, 1));
        assert_eq!(holders.order, ["a", "b"]);
    }

    #[test]
    fn the_time_of_two_holders_runs_from_the_first_request_to_the_last_that_both_held_at() {
        let at = |asked_ms: u64, mac: &str| ArpSeen::Answer {
            request: 0,
            asked_us: asked_ms * 1_000,
            at_us: 0,
            mac: mac.to_owned(),
        };
        let one_after_another = [at(10, "a"), at(20, "a"), at(30, "b"), at(1_000, "a")];
        assert_eq!(together_ms(&one_after_another, 0), 0);
        assert_eq!(together_ms(&[at(10, "a"), at(10, "b")], 0), 1);
        let in_turns = [at(10, "a"), at(20, "b"), at(30, "a"), at(40, "b"), at(50, "a")];
        assert_eq!(together_ms(&in_turns, 0), 20);
        assert_eq!(together_ms(&in_turns, 25_000), 1);
    }

    #[test]
    fn two_answers_to_one_request_or_in_turns_are_two_at_once() {
        assert_eq!(holders(&[answer(1, "a"), answer(1, "b")], 0).at_once, 2);
        assert_eq!(holders(&[answer(1, "a"), answer(2, "b"), answer(3, "a")], 0).at_once, 2);
    }
}
