//! The real cluster holds for its seeds, says the same twice, and finds every deliberate mistake.

use tests::cluster_sim::{Mutation, Options, Outcome, run};

fn ran(seed: u64, seconds: u64, mutation: Option<Mutation>) -> Outcome {
    run(Options { seed, seconds, mutation, keep_all: false })
}

#[test]
fn a_sweep_of_seeds_breaks_nothing() {
    let (mut acknowledged, mut reads, mut crashes, mut purged) = (0, 0, 0, 0);
    for seed in 100..104 {
        let outcome = ran(seed, 20, None);
        assert!(outcome.violation.is_none(), "{outcome}");
        acknowledged += outcome.acknowledged;
        reads += outcome.reads;
        crashes += outcome.crashes;
        purged += outcome.purged;
    }
    // A sweep in which nothing happens proves nothing.
    assert!(
        acknowledged > 500 && reads > 100 && crashes > 5 && purged > 0,
        "{acknowledged} {reads} {crashes} {purged}"
    );
}

#[test]
fn two_runs_of_a_seed_are_byte_equal_and_two_seeds_are_not() {
    let whole = |seed| run(Options { seed, seconds: 15, mutation: None, keep_all: true });
    let (first, second) = (whole(7), whole(7));
    assert!(first.trace.len() > 50, "{first}");
    assert_eq!(first.trace, second.trace);
    assert_eq!((first.digest, first.ran), (second.digest, second.ran));
    assert_ne!(first.digest, whole(8).digest);
}

#[test]
fn a_violation_says_how_to_see_it_again() {
    let outcome = ran(0, 20, Some(Mutation::VoteTwice));
    let text = outcome.to_string();
    assert!(text.contains("one-leader-per-term is broken"), "{text}");
    let command = "cargo run -p tests --bin cluster-sim -- --seed 0 --seconds 20 --mutation vote-twice";
    assert!(text.ends_with(command), "{text}");
}

/// How many seeds a mistake may take.
const TRIES: u64 = 12;

#[test]
fn every_deliberate_mistake_is_found() {
    for mutation in Mutation::ALL {
        let (first, invariants) = shown(mutation);
        let found = (first..first + TRIES).find_map(|seed| ran(seed, 20, Some(mutation)).violation);
        let broken = found.as_ref().map(|violation| violation.invariant);
        assert!(broken.is_some_and(|broken| invariants.contains(&broken)), "{mutation}: {found:?}");
    }
}

/// A seed that shows it, or one shortly before, and by which invariants it may show. After a change
/// `cluster-sim --seconds 20 --mutation NAME` finds the seed again.
fn shown(mutation: Mutation) -> (u64, &'static [&'static str]) {
    match mutation {
        Mutation::AckBeforeSync => (0, &["acknowledged-survive", "replicas-agree", "starts"]),
        Mutation::ForgetVote => {
            (0, &["one-leader-per-term", "acknowledged-survive", "replicas-agree", "quorum-before-election"])
        }
        Mutation::VoteTwice => (0, &["one-leader-per-term"]),
        Mutation::ApplyOutOfOrder => (0, &["replicas-agree", "acknowledged-survive"]),
        Mutation::ReadWithoutQuorum => (0, &["reads-are-fresh"]),
        Mutation::CountLostHeartbeats => (0, &["quorum-before-election", "reads-are-fresh"]),
    }
}
