//! One vantage: from samples to what it says.

use coordinator_core::model::ProbeSpec;
use coordinator_core::observe::{Outcome, ProbeTrack, Verdict, Watch};
use coordinator_core::state::State;
use coordinator_core::time::Mono;

use crate::common::{appliance, probe, tcp};
use crate::operations::active_pair;

/// The samples, one per interval of 200 ms, and the verdict after each: `+` passes, `-` fails,
/// `u`, `U` and `D` stand for unknown, up and down.
#[test]
fn rise_and_fall_thresholds() {
    for (samples, verdicts) in [
        ("++++", "uUUU"),
        ("----", "uDDD"),
        ("+-+-+-", "uuuuuu"),
        ("++-+-+--", "uUUUUUUD"),
        ("--+-+-++", "uDDDDDDU"),
    ] {
        let mut track = ProbeTrack::new(probe());
        let mut before = Verdict::Unknown;
        for (i, (sample, expected)) in samples.chars().zip(verdicts.chars()).enumerate() {
            let now = Mono::from_millis(200 * i as u64);
            let changed = track.feed(sample == '+', "so", now);
            let verdict = track.verdict(now);
            assert_eq!(letter(verdict), expected, "{samples} at {i}");
            assert_eq!(changed, (verdict != before).then_some(verdict), "{samples} at {i}");
            before = verdict;
        }
    }
}

#[test]
fn without_samples_the_verdict_is_lost_and_must_be_earned_again() {
    let mut track = ProbeTrack::new(probe());
    track.feed(true, "", Mono::from_millis(0));
    track.feed(true, "", Mono::from_millis(200));
    let last = 200 + 3 * 200 + 100;
    assert_eq!(track.verdict(Mono::from_millis(last)), Verdict::Up);
    assert_eq!(track.verdict(Mono::from_millis(last + 1)), Verdict::Unknown);
    track.feed(true, "", Mono::from_millis(last + 1));
    assert_eq!(track.verdict(Mono::from_millis(last + 1)), Verdict::Unknown);
    assert_eq!(track.feed(true, "", Mono::from_millis(last + 200)), Some(Verdict::Up));
}

#[test]
fn a_sample_that_ends_out_of_order_is_passed_over() {
    let mut track = ProbeTrack::new(probe());
    track.feed(true, "", Mono::from_millis(400));
    track.feed(false, "", Mono::from_millis(200));
    assert_eq!(track.feed(true, "", Mono::from_millis(600)), Some(Verdict::Up));
}

#[test]
fn nothing_is_said_before_anything_is_known() {
    let (mut watch, state) = watch();
    assert_eq!(watch.sights(Mono::from_millis(0)), []);
    assert!(!sample(&mut watch, "fw-a", true, 0));
    assert!(sample(&mut watch, "fw-a", true, 200));
    assert_eq!(said(&watch, 200), "fw-a up");
    watch.declare(&state);
    assert_eq!(said(&watch, 200), "fw-a up", "the same declaration changes nothing");
}

#[test]
fn a_changed_probe_begins_anew() {
    let (mut watch, mut state) = watch();
    both_up(&mut watch);
    for group in state.groups.values_mut() {
        group.spec.appliances[0].probes[0] = ProbeSpec { fall: 9, ..probe() };
    }
    watch.declare(&state);
    assert_eq!(said(&watch, 200), "fw-b up");
    state.groups.clear();
    watch.declare(&state);
    assert_eq!(said(&watch, 200), "");
}

#[test]
fn an_appliance_is_down_when_another_one_still_answers() {
    let (mut watch, _) = watch();
    both_up(&mut watch);
    sample(&mut watch, "fw-a", false, 400);
    sample(&mut watch, "fw-b", true, 400);
    assert!(sample(&mut watch, "fw-a", false, 600));
    assert_eq!(said(&watch, 600), "fw-a down, fw-b up");
}

/// A vantage that is being cut off sees the appliance with the quicker probe fail first. It says
/// nothing of it until the other one has answered, or failed as well.
#[test]
fn a_failure_that_nothing_else_has_answered_since_is_not_told_yet() {
    let (mut watch, _) = watch();
    both_up(&mut watch);
    sample(&mut watch, "fw-a", false, 400);
    assert!(sample(&mut watch, "fw-a", false, 600), "it takes back that fw-a is up");
    assert_eq!(said(&watch, 600), "fw-b up");
    // Now fw-b answers: the vantage is not cut off, and what it saw of fw-a counts.
    let mut sees = watch.clone();
    assert!(sample(&mut sees, "fw-b", true, 610), "one sample settles the other's verdict");
    assert_eq!(said(&sees, 610), "fw-a down, fw-b up");
    // Or fw-b fails too: it sees nothing at all, which the leader will weigh.
    sample(&mut watch, "fw-b", false, 610);
    sample(&mut watch, "fw-a", false, 800);
    sample(&mut watch, "fw-b", false, 810);
    assert_eq!(said(&watch, 810), "fw-a down, fw-b down");
}

#[test]
fn a_probe_that_stopped_running_is_said_to_be_unknown() {
    let (mut watch, _) = watch();
    both_up(&mut watch);
    assert_eq!(said(&watch, 5_000), "fw-a unknown, fw-b unknown");
}

/// What nothing answers on the own address of an appliance means while its heartbeat is relayed:
/// `P` passes, `F` fails with an answer, `S` is silent, `R` is relayed.
#[test]
fn a_relayed_heartbeat_overrules_silence_and_nothing_else() {
    for (heartbeat, own, other, expected) in [
        ('R', 'S', 'P', "up"),
        ('R', 'P', 'P', "up"),
        // The agent hears nothing amiss, and comes by its own way: nothing says that the link is dead.
        ('P', 'S', 'P', "down"),
        // An answer came from the appliance itself.
        ('R', 'F', 'P', "down"),
        // Another address is not the management path.
        ('R', 'S', 'S', "down"),
        ('R', 'P', 'S', "down"),
        // What the agent says of itself overrules what passes.
        ('F', 'P', 'P', "down"),
        ('F', 'S', 'P', "down"),
        ('S', 'S', 'P', "down"),
    ] {
        let mut state = active_pair(&["vip"]).state;
        for group in state.groups.values_mut() {
            let probes = [tcp("own", "10.0.0.1:22"), tcp("other", "192.0.2.1:22")];
            group.spec.appliances[0].probes.extend(probes);
        }
        let mut watch = Watch::new();
        watch.declare(&state);
        for at in [0, 200] {
            for (name, letter) in [("alive", heartbeat), ("own", own), ("other", other)] {
                let outcome = match letter {
                    'P' => Outcome::Pass,
                    'F' => Outcome::Fail,
                    'S' => Outcome::Silent,
                    _ => Outcome::Relayed,
                };
                let probe = name.parse().expect("a name");
                watch.feed(&appliance("fw-a"), &probe, outcome, "so", Mono::from_millis(at));
            }
            sample(&mut watch, "fw-b", true, at);
        }
        let told = format!("fw-a {expected}, fw-b up");
        assert_eq!(said(&watch, 200), told, "{heartbeat}{own}{other}");
        if (heartbeat, own, other) == ('R', 'S', 'P') {
            let sights = watch.sights(Mono::from_millis(200));
            assert!(sights[0].detail.starts_with("management path down"), "{}", sights[0].detail);
        }
    }
}

fn watch() -> (Watch, State) {
    let state = active_pair(&["vip"]).state;
    let mut watch = Watch::new();
    watch.declare(&state);
    (watch, state)
}

fn both_up(watch: &mut Watch) {
    for at in [0, 200] {
        sample(watch, "fw-a", true, at);
        sample(watch, "fw-b", true, at);
    }
}

fn sample(watch: &mut Watch, name: &str, pass: bool, at: u64) -> bool {
    watch.feed(&appliance(name), &probe().name, pass, "so", Mono::from_millis(at))
}

fn said(watch: &Watch, at: u64) -> String {
    let sights = watch.sights(Mono::from_millis(at));
    sights.iter().map(|s| format!("{} {}", s.appliance, s.verdict)).collect::<Vec<_>>().join(", ")
}

fn letter(verdict: Verdict) -> char {
    match verdict {
        Verdict::Unknown => 'u',
        Verdict::Up => 'U',
        Verdict::Down => 'D',
    }
}
