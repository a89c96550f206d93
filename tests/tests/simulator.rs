//! The simulator holds for its seeds, says the same twice, and finds every deliberate mistake.

use tests::sim::{self, Keep, Mutation, Options, Outcome};

/// Seeds that once showed something, one `seed minutes` a line, `#` for remarks.
const REGRESSIONS: &str = include_str!("simulator/seeds.txt");

/// Every invariant that a sweep must have judged.
const INVARIANTS: [&str; 14] = [
    "acknowledged-survive",
    "cloud-fencing",
    "committed-first",
    "converges",
    "fenced-first",
    "flap-budget",
    "gated-writes",
    "granted-first",
    "healthy-stays",
    "one-vip-holder",
    "operators-respected",
    "relied-on",
    "replicas-agree",
    "tokens-rise",
];

fn run(seed: u64, minutes: u64, mutation: Option<Mutation>, keep: Keep) -> Outcome {
    sim::run(Options { seed, minutes, mutation, keep, thorough: false })
}

#[test]
fn a_sweep_of_seeds_breaks_nothing_and_judges_everything() {
    let mut judged = std::collections::BTreeSet::new();
    let mut last_resorts = [0; 3];
    for seed in 1_000..1_020 {
        let outcome = run(seed, 5, None, Keep::Tail);
        assert!(outcome.violation.is_none(), "{outcome}");
        judged.extend(outcome.judged);
        last_resorts.iter_mut().zip(outcome.last_resorts).for_each(|(sum, seen)| *sum += seen);
    }
    assert!(last_resorts.iter().all(|seen| *seen > 0), "{last_resorts:?}");
    assert_eq!(judged.into_iter().collect::<Vec<_>>(), INVARIANTS);
}

#[test]
fn seeds_that_once_showed_something_break_nothing_any_more() {
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    for line in lines.filter(|line| !line.is_empty()) {
        let (seed, minutes) = line.split_once(' ').expect("`seed minutes`");
        let (seed, minutes) = (seed.parse().expect("a seed"), minutes.trim().parse().expect("minutes"));
        let outcome = run(seed, minutes, None, Keep::Tail);
        assert!(outcome.violation.is_none(), "{outcome}");
    }
}

#[test]
fn two_runs_of_a_seed_are_byte_equal_and_two_seeds_are_not() {
    let first = run(7, 3, None, Keep::All);
    let second = run(7, 3, None, Keep::All);
    assert!(first.trace.len() > 50);
    assert_eq!(first.trace, second.trace);
    assert_eq!((first.digest, first.events), (second.digest, second.events));
    assert_ne!(first.digest, run(8, 3, None, Keep::Tail).digest);
}

#[test]
fn what_is_kept_of_the_trace_changes_nothing() {
    let outcomes = [Keep::Nothing, Keep::Tail, Keep::All].map(|keep| run(9, 3, None, keep));
    let [nothing, tail, all] = outcomes;
    assert!(nothing.trace.is_empty());
    assert!(all.trace.ends_with(&tail.trace));
    assert_eq!((nothing.digest, nothing.events), (tail.digest, tail.events));
    assert_eq!((all.digest, all.events), (tail.digest, tail.events));
}

/// Looking only at what an entry can have changed finds what looking at everything finds.
#[test]
fn quick_and_thorough_judgement_agree() {
    let both = |seed, minutes, mutation| {
        let judge = |thorough| sim::run(Options { seed, minutes, mutation, keep: Keep::Tail, thorough });
        (judge(false), judge(true))
    };
    for seed in 2_000..2_006 {
        let (quick, thorough) = both(seed, 4, None);
        assert!(thorough.violation.is_none(), "{thorough}");
        assert_eq!(quick.violation, None, "{quick}");
        assert_eq!((quick.digest, quick.judged), (thorough.digest, thorough.judged));
    }
    for mutation in Mutation::ALL {
        let (quick, thorough) = both(first_shown(mutation).0, 2, Some(mutation));
        let found = |outcome: Outcome| outcome.violation.map(|broken| (broken.invariant, broken.at_us));
        let (quick, thorough) = (found(quick).expect("found"), found(thorough).expect("found"));
        // Looking at less may find it an entry later.
        assert_eq!(quick.0, thorough.0, "{mutation}");
        assert!(quick.1 >= thorough.1, "{mutation}");
    }
}

#[test]
fn a_violation_says_how_to_see_it_again() {
    let outcome = run(0, 3, Some(Mutation::ResumeFromCloud), Keep::Tail);
    let text = outcome.to_string();
    assert!(text.contains("committed-first is broken"), "{text}");
    let command = "cargo run -p tests --bin sim -- --seed 0 --minutes 3 --mutation resume-from-cloud";
    assert!(text.ends_with(command), "{text}");
}

/// Each shows within two virtual minutes of the first seed that shows it, by the invariant named.
/// `sim --minutes 2 --mutation NAME` finds that seed again after a change of the simulator.
#[test]
fn every_deliberate_mistake_is_found() {
    for mutation in Mutation::ALL {
        let (seed, invariant) = first_shown(mutation);
        let outcome = run(seed, 2, Some(mutation), Keep::Tail);
        let broken = outcome.violation.as_ref().map(|violation| violation.invariant);
        assert_eq!(broken, Some(invariant), "{mutation} in seed {seed}: {outcome}");
    }
}

fn first_shown(mutation: Mutation) -> (u64, &'static str) {
    match mutation {
        Mutation::SkipWait => (2, "one-vip-holder"),
        Mutation::AcceptLowerToken => (6, "tokens-rise"),
        Mutation::ActBeforeCommit => (0, "committed-first"),
        Mutation::IgnoreFreshness => (18, "healthy-stays"),
        Mutation::RenewWithoutQuorum => (17, "one-vip-holder"),
        Mutation::ResumeFromCloud => (0, "committed-first"),
        Mutation::DeadlineFromArrival => (107, "one-vip-holder"),
        Mutation::OldTermTable => (8, "one-vip-holder"),
        Mutation::NoClaim => (63, "cloud-fencing"),
        Mutation::ClaimKeepsEtag => (0, "tokens-rise"),
        Mutation::SkipGate => (57, "gated-writes"),
        Mutation::PersistLater => (0, "tokens-rise"),
        Mutation::OneVantage => (65, "healthy-stays"),
        Mutation::IgnoreFlapBudget => (157, "flap-budget"),
        Mutation::IgnoreMaintenance => (6, "operators-respected"),
        Mutation::AcceptOldRelease => (0, "one-vip-holder"),
        Mutation::HalfDriftAllowance => (135, "one-vip-holder"),
        Mutation::OlderTermsQuorum => (8, "one-vip-holder"),
        Mutation::GateNeedsAgent => (5, "one-vip-holder"),
        Mutation::SkipEntry => (42, "replicas-agree"),
        Mutation::PromiseBlocksNothing => (1, "one-vip-holder"),
        Mutation::ForgetsPromise => (776, "one-vip-holder"),
        Mutation::ExtensionFromReply => (2136, "one-vip-holder"),
        Mutation::OnePromiseSuffices => (4177, "one-vip-holder"),
        Mutation::ReacquireAfterLapse => (1, "granted-first"),
        Mutation::RequireIgnored => (13, "fenced-first"),
        Mutation::OffCountsAtOnce => (5598, "one-vip-holder"),
        Mutation::NoDriftAllowance => (8, "one-vip-holder"),
    }
}
