//! Who returns, and when.

use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::model::Trigger;
use coordinator_core::observe::Verdict;
use coordinator_core::pool::{PoolReason, PoolRejection};

use crate::common::appliance;
use crate::world::{World, pool};

const MINUTE: Duration = Duration::from_secs(60);

fn one_out() -> World {
    let mut world = World::in_service(pool(&["px-a", "px-b", "px-c"]));
    world.see("px-a", Verdict::Down);
    world.settle();
    world.finish();
    assert_eq!(world.standings(), ["out", "in", "in"]);
    world
}

#[test]
fn a_member_returns_once_it_has_been_well_for_the_whole_time() {
    let mut world = one_out();
    world.pass(10 * MINUTE);
    world.settle();
    assert_eq!(world.standings(), ["out", "in", "in"], "not while it is sick");
    world.see("px-a", Verdict::Up);
    world.settle();
    world.pass(5 * MINUTE - Duration::from_secs(1));
    world.settle();
    assert_eq!(world.standings(), ["out", "in", "in"]);
    let stabilising = PoolReason::Stabilising { member: appliance("px-a"), remaining_ms: 1_000 };
    assert!(world.reasons().contains(&stabilising), "{:?}", world.reasons());
    world.pass(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.standings(), ["returning", "in", "in"]);
    world.finish();
    assert_eq!(world.standings(), ["in", "in", "in"]);
}

#[test]
fn a_relapse_begins_the_time_anew() {
    let mut world = one_out();
    for verdict in [Verdict::Up, Verdict::Down, Verdict::Up] {
        world.see("px-a", verdict);
        world.settle();
        world.pass(4 * MINUTE);
        world.settle();
    }
    assert_eq!(world.standings(), ["out", "in", "in"]);
    world.pass(MINUTE);
    world.settle();
    assert_eq!(world.standings(), ["returning", "in", "in"]);
}

#[test]
fn whoever_is_up_returns_at_once_when_too_few_serve() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.see("px-a", Verdict::Down);
    world.settle();
    world.finish();
    world.see("px-a", Verdict::Up);
    world.settle();
    assert_eq!(world.standings(), ["out", "in"]);
    world.see("px-b", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["returning", "in"], "nobody serves: no time to lose");
}

#[test]
fn one_that_flaps_stays_out_until_the_window_has_moved_on() {
    let mut world = one_out();
    for _ in 0..2 {
        world.see("px-a", Verdict::Up);
        world.settle();
        world.pass(5 * MINUTE);
        world.settle();
        world.finish();
        assert_eq!(world.standings(), ["in", "in", "in"]);
        world.see("px-a", Verdict::Down);
        world.settle();
        world.finish();
        assert_eq!(world.standings(), ["out", "in", "in"]);
    }
    world.see("px-a", Verdict::Up);
    world.settle();
    world.pass(10 * MINUTE);
    world.settle();
    assert_eq!(world.standings(), ["out", "in", "in"]);
    assert!(world.reasons().iter().any(|r| matches!(r, PoolReason::Flaps { moves: 3, .. })));
    world.pass(40 * MINUTE);
    world.settle();
    assert_eq!(world.standings(), ["returning", "in", "in"], "the first departure is an hour ago");
}

#[test]
fn an_operator_returns_one_that_flaps() {
    let mut world = one_out();
    world.see("px-a", Verdict::Up);
    world.settle();
    world.put_in("px-a").expect("it is up");
    assert!(world.pool().members[&appliance("px-a")].left.is_empty());
    assert_eq!(world.standings(), ["returning", "in", "in"]);
}

#[test]
fn what_an_operator_took_out_only_an_operator_returns() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.take_out("px-a").expect("px-b is left");
    world.finish();
    world.pass(60 * MINUTE);
    world.settle();
    assert_eq!(world.standings(), ["out", "in"]);
    world.see("px-b", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["out", "in"], "not even when nobody serves");
    world.put_in("px-a").expect("it is up");
    assert_eq!(world.standings(), ["returning", "in"]);
}

#[test]
fn an_operator_keeps_one_out_that_has_left_by_itself() {
    let mut world = one_out();
    assert_eq!(world.take_out("px-a").map(|events| events.len()), Ok(1));
    assert_eq!(world.take_out("px-a"), Ok(Vec::new()), "said once");
    world.see("px-a", Verdict::Up);
    world.settle();
    world.pass(60 * MINUTE);
    world.settle();
    assert_eq!(world.standings(), ["out", "in", "in"]);
}

#[test]
fn a_sick_one_is_not_put_in_even_by_an_operator() {
    let mut world = one_out();
    let refused = world.put_in("px-a");
    assert!(matches!(refused, Err(Rejection::Pool(PoolRejection::NotUp { .. }))), "{refused:?}");
}

#[test]
fn a_manual_policy_leaves_the_return_to_an_operator() {
    let mut spec = pool(&["px-a", "px-b"]);
    spec.policy.put_in = Trigger::Manual;
    let mut world = World::declared(spec);
    for member in ["px-a", "px-b"] {
        world.see(member, Verdict::Up);
    }
    world.settle();
    assert_eq!(world.standings(), ["new", "new"]);
    world.put_in("px-a").expect("it is up");
    world.finish();
    assert_eq!(world.standings(), ["in", "new"]);
}

#[test]
fn one_that_falls_sick_on_its_way_in_is_taken_out_again() {
    let mut world = one_out();
    world.see("px-a", Verdict::Up);
    world.settle();
    world.pass(5 * MINUTE);
    world.settle();
    assert_eq!(world.standings(), ["returning", "in", "in"]);
    world.see("px-a", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["leaving", "in", "in"]);
}
