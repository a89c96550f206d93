//! Who is taken out, and who never is.

use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{CommandBody, StepOutcome};
use coordinator_core::ids::Token;
use coordinator_core::model::Trigger;
use coordinator_core::observe::Verdict;
use coordinator_core::pool::{PoolCommand, PoolReason, PoolRejection, Side};

use crate::common::appliance;
use crate::world::{World, asked, pool};

#[test]
fn a_sick_member_leaves_both_sides_with_one_token() {
    let mut world = World::in_service(pool(&["px-a", "px-b", "px-c"]));
    world.see("px-b", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["in", "leaving", "in"]);
    let change = world.standing("px-b").change().expect("it leaves").clone();
    assert_eq!(change.token, world.pool().token);
    assert_eq!(change.steps.iter().map(|step| step.side).collect::<Vec<_>>(), [Side::Ingress, Side::Egress]);

    world.record("px-b", Side::Ingress, StepOutcome::Done).expect("the first side");
    let change = world.standing("px-b").change().expect("it leaves still");
    assert!(change.half_applied(), "one side alone is not out, and it shows");
    world.record("px-b", Side::Egress, StepOutcome::Done).expect("the other side");
    assert_eq!(world.standings(), ["in", "out", "in"]);
}

#[test]
fn when_all_are_sick_nobody_leaves_and_it_is_told() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.see("px-a", Verdict::Down);
    world.see("px-b", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["in", "in"]);
    assert_eq!(world.pool().hold, Some(PoolReason::AllDown));
    world.see("px-a", Verdict::Up);
    world.pass(Duration::from_secs(60));
    world.settle();
    // Recorded as up just now: what comes back with it is given the time that it takes.
    assert_eq!(world.standings(), ["in", "in"]);
    world.pass(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.standings(), ["in", "leaving"]);
}

#[test]
fn the_last_one_in_and_up_keeps_a_sick_one_from_leaving_only_below_the_least_number() {
    let mut spec = pool(&["px-a", "px-b", "px-c"]);
    spec.policy.min_in = 2;
    let mut world = World::in_service(spec);
    world.see("px-a", Verdict::Down);
    world.settle();
    world.finish();
    assert_eq!(world.standings(), ["out", "in", "in"]);
    world.see("px-b", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["out", "in", "in"]);
    assert!(matches!(world.pool().hold, Some(PoolReason::TooManyOut { .. })), "{:?}", world.pool().hold);
}

#[test]
fn a_sick_member_stays_while_too_few_others_are_in() {
    let mut spec = pool(&["px-a", "px-b", "px-c", "px-d"]);
    spec.policy.min_in = 2;
    let mut world = World::in_service(spec);
    for sick in ["px-a", "px-b", "px-c"] {
        world.see(sick, Verdict::Down);
    }
    world.settle();
    assert_eq!(world.standings(), ["in", "in", "in", "in"]);
    let held = PoolReason::TooFewLeft { member: appliance("px-a"), serving: 1, min_in: 2 };
    assert_eq!(world.pool().hold, Some(held));
}

#[test]
fn the_policy_bounds_how_many_are_out_at_once() {
    let mut spec = pool(&["px-a", "px-b", "px-c", "px-d"]);
    spec.policy.max_out = Some(1);
    let mut world = World::in_service(spec);
    world.see("px-a", Verdict::Down);
    world.see("px-b", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["leaving", "in", "in", "in"]);
    let held = PoolReason::TooManyOut { member: appliance("px-b"), out: 1, max_out: 1 };
    assert_eq!(world.pool().hold, Some(held));
}

#[test]
fn a_manual_policy_leaves_it_to_an_operator() {
    let mut spec = pool(&["px-a", "px-b"]);
    spec.policy.take_out = Trigger::Manual;
    let mut world = World::in_service(spec);
    world.see("px-a", Verdict::Down);
    world.settle();
    assert_eq!(world.standings(), ["in", "in"]);
    assert!(matches!(world.pool().hold, Some(PoolReason::TakeOutManual { .. })));
    world.take_out("px-a").expect("an operator may");
    assert_eq!(world.standings(), ["leaving", "in"]);
}

#[test]
fn not_even_an_operator_takes_the_last_one_out() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.take_out("px-a").expect("px-b is left");
    let refused = world.take_out("px-b");
    assert!(matches!(refused, Err(Rejection::Pool(PoolRejection::TooFewLeft { .. }))), "{refused:?}");
    // One that is there and sick serves nobody either.
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.see("px-b", Verdict::Down);
    world.settle();
    let refused = world.take_out("px-a");
    assert!(matches!(refused, Err(Rejection::Pool(PoolRejection::TooFewLeft { .. }))), "{refused:?}");
}

#[test]
fn a_departure_is_not_carried_on_when_nobody_else_is_up_any_more() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.see("px-a", Verdict::Down);
    world.settle();
    assert_eq!(world.pending(), [("px-a".to_owned(), false)].into());
    world.see("px-b", Verdict::Down);
    world.settle();
    assert_eq!(world.pending(), [].into());
    assert!(world.reasons().contains(&PoolReason::LeavingAlone { member: appliance("px-a") }));
    // Whoever comes back first serves at once.
    world.see("px-a", Verdict::Up);
    world.settle();
    assert_eq!(world.pending(), [("px-a".to_owned(), true)].into());
}

#[test]
fn a_change_decided_on_an_older_token_is_refused() {
    let mut world = World::in_service(pool(&["px-a", "px-b", "px-c"]));
    let before = world.pool().token;
    world.take_out("px-a").expect("others are left");
    let stale = CommandBody::Pool(PoolCommand::TakeOut(asked("px-b", Some(before))));
    let refused = world.log.by_coordinator(stale);
    assert!(matches!(refused, Err(Rejection::Pool(PoolRejection::StaleToken { .. }))), "{refused:?}");
    let unnamed = CommandBody::Pool(PoolCommand::TakeOut(asked("px-b", None)));
    assert_eq!(world.log.by_coordinator(unnamed), Err(PoolRejection::NoToken.into()));
}

#[test]
fn a_member_that_is_not_down_is_not_taken_out_by_decision() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    let token = world.pool().token;
    let body = CommandBody::Pool(PoolCommand::TakeOut(asked("px-a", Some(token))));
    let refused = world.log.by_coordinator(body);
    assert!(matches!(refused, Err(Rejection::Pool(PoolRejection::NotDown { .. }))), "{refused:?}");
}

#[test]
fn a_step_of_another_change_is_refused_and_a_repeat_changes_nothing() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.take_out("px-a").expect("px-b is left");
    world.record("px-a", Side::Ingress, StepOutcome::Done).expect("the first side");
    assert_eq!(world.record("px-a", Side::Ingress, StepOutcome::Done), Ok(Vec::new()));
    let failed = |error: &str| StepOutcome::Failed { error: error.to_owned() };
    assert_eq!(world.record("px-a", Side::Egress, failed("412")).map(|events| events.len()), Ok(1));
    assert_eq!(world.record("px-a", Side::Egress, failed("412")), Ok(Vec::new()), "told once");
    assert_eq!(world.record("px-a", Side::Egress, failed("500")).map(|events| events.len()), Ok(1));
    let mut other = world.standing("px-a").change().expect("under way").token;
    other = Token(other.0 - 1);
    let record = coordinator_core::pool::RecordPlacement {
        pool: crate::world::name(),
        member: appliance("px-a"),
        token: other,
        side: Side::Egress,
        outcome: StepOutcome::Done,
        calls: Vec::new(),
        took: Duration::ZERO,
    };
    let refused = world.log.by_coordinator(CommandBody::Pool(PoolCommand::RecordPlacement(record)));
    assert!(matches!(refused, Err(Rejection::Pool(PoolRejection::NotRunning { .. }))), "{refused:?}");
}

#[test]
fn a_member_that_is_down_from_the_start_is_taken_out_once_others_are_in() {
    let mut world = World::declared(pool(&["px-a", "px-b"]));
    world.see("px-a", Verdict::Down);
    world.see("px-b", Verdict::Up);
    world.settle();
    assert_eq!(world.standings(), ["new", "returning"], "where it is is not known, and nobody else is in");
    world.pass(Duration::from_secs(60));
    world.finish();
    assert_eq!(world.standings(), ["out", "in"]);
}
