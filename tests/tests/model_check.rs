//! The lease and token protocol, every order of events within small bounds: see `docs/model.md`.
//!
//! `POINTSMAN_MODEL=large cargo test --release -p tests --test model_check` looks further, for
//! minutes.

use std::time::Instant;

use tests::model::conformance::compare;
use tests::model::explore::{Report, explore};
use tests::model::steps::Protocol;
use tests::model::{Bounds, Mutation};

/// One move, with all that can go wrong: clocks, crashes, late replies, leaders.
const FAULTS: Bounds = Bounds {
    ttl: 2,
    moves: 2,
    deposed: 1,
    late: 1,
    drift: true,
    crashes: 1,
    slow_requests: false,
    slow_apply: false,
    mutation: None,
};

/// There and back again, with late replies and leaders.
const AND_BACK: Bounds = Bounds { moves: 3, drift: false, crashes: 0, ..FAULTS };

/// One model each, so that a plain run takes seconds.
const LARGE: [Bounds; 3] = [
    Bounds { moves: 3, ..FAULTS },
    Bounds { ttl: 3, ..FAULTS },
    Bounds { crashes: 2, slow_requests: true, slow_apply: true, ..FAULTS },
];

/// A model that outgrows this fails instead of filling the memory.
const MOST_STATES: usize = 20_000_000;

fn check(bounds: Bounds) -> Report<Protocol> {
    let begun = Instant::now();
    #[expect(clippy::expect_used, reason = "the names in the model are constants that keep the rule")]
    let protocol = Protocol::new(bounds).expect("good names");
    let report = explore(&protocol, MOST_STATES);
    let Report { states, steps, depth, .. } = &report;
    println!("{bounds:?}\n  {states} states, {steps} steps, depth {depth}, {:.1?}", begun.elapsed());
    report
}

/// Checks that everything was seen, nothing was broken, and that what has to be possible is.
fn holds(bounds: Bounds, impossible_here: &[&str]) {
    let report = check(bounds);
    assert!(report.counterexample.is_none(), "{}", story(&report));
    assert!(report.complete, "more than {MOST_STATES} states");
    for (goal, reached) in &report.goals {
        println!("  {goal}: {}", reached.map_or("never".to_owned(), |depth| format!("after {depth} steps")));
        assert_eq!(reached.is_none(), impossible_here.contains(goal), "{goal}");
    }
}

/// The counterexample, step by step.
fn story(report: &Report<Protocol>) -> String {
    let Some(found) = &report.counterexample else { return "nothing was broken".to_owned() };
    let steps: Vec<_> = found.steps.iter().map(|(step, _)| format!("  {step:?}")).collect();
    format!("{} after\n{}", found.promise, steps.join("\n"))
}

const BACK: &str = "and so does the way back";
const CRASH: &str = "a failover completes after a crash that left the VIP to the kernel";

#[test]
fn whatever_fails_during_a_move_two_never_hold() {
    holds(FAULTS, &[BACK]);
}

#[test]
fn there_and_back_again_two_never_hold() {
    holds(AND_BACK, &[CRASH]);
}

#[test]
fn in_larger_bounds_two_never_hold() {
    if std::env::var("POINTSMAN_MODEL").as_deref() != Ok("large") {
        println!("only with POINTSMAN_MODEL=large");
        return;
    }
    for bounds in LARGE {
        holds(bounds, if bounds.moves < 3 { &[BACK] } else { &[] });
    }
}

#[test]
fn each_rule_broken_on_purpose_is_found_out() {
    for mutation in Mutation::ALL {
        // Just the faults that it takes, so that the breadth-first search is soon there.
        let quiet = Bounds { mutation: Some(mutation), drift: false, crashes: 0, late: 0, ..FAULTS };
        let bounds = match mutation {
            Mutation::NoWait
            | Mutation::ForgetsEarlierLeaders
            | Mutation::QuorumFromAcknowledgement
            | Mutation::AnswersFromOldState => quiet,
            Mutation::LowerTokenAccepted => Bounds { late: 1, ..quiet },
            Mutation::DeadlineFromArrival => Bounds { late: 1, drift: true, ..quiet },
            Mutation::LeftoverDenied | Mutation::ActsBeforeDisk => Bounds { crashes: 1, ..quiet },
            Mutation::NoDriftInWait => Bounds { drift: true, ..quiet },
        };
        let report = check(bounds);
        println!("  {}", story(&report));
        let promise = report.counterexample.map(|found| found.promise);
        assert_eq!(promise, Some("two appliances hold at one instant"), "{mutation:?}");
    }
}

#[test]
fn the_mirror_of_the_lease_does_what_the_lease_does() {
    for seed in 0..2_000 {
        let bounds = Bounds { ttl: 2 + u8::from(seed % 2 == 0), ..FAULTS };
        compare(seed, 200, &bounds).unwrap();
    }
}
