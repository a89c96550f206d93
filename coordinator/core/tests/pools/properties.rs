//! Whatever happens in whatever order: enough members stay in, and it always ends.

use std::time::Duration;

use coordinator_core::command::{CommandBody, StepOutcome};
use coordinator_core::event::{Event, EventBody};
use coordinator_core::observe::Verdict;
use coordinator_core::pool::{PoolCommand, PoolEventBody, Standing, action};
use proptest::prelude::*;

use crate::world::{World, asked, pool};

const MEMBERS: [&str; 4] = ["px-a", "px-b", "px-c", "px-d"];

#[derive(Debug, Clone)]
enum Step {
    See(usize, Verdict),
    Pass(u64),
    Decide,
    /// The load balancer does one of the things that are pending.
    Place(usize, bool),
    TakeOut(usize),
    PutIn(usize),
    /// A proposal that was decided on anything at all, by a leader that knows nothing.
    Wild(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let member = || 0..MEMBERS.len();
    let verdict = prop_oneof![Just(Verdict::Up), Just(Verdict::Down), Just(Verdict::Unknown)];
    prop_oneof![
        4 => (member(), verdict).prop_map(|(m, v)| Step::See(m, v)),
        3 => (0u64..400).prop_map(Step::Pass),
        6 => Just(Step::Decide),
        4 => (0usize..8, any::<bool>()).prop_map(|(n, ok)| Step::Place(n, ok)),
        1 => member().prop_map(Step::TakeOut),
        1 => member().prop_map(Step::PutIn),
        1 => (member(), any::<bool>()).prop_map(|(m, out)| Step::Wild(m, out)),
    ]
}

/// Applies, and looks at what every departure leaves.
fn apply(world: &mut World, body: CommandBody, operator: bool) {
    let before = world.pool().clone();
    let result = if operator { world.log.by_operator(body) } else { world.log.by_coordinator(body) };
    for event in result.unwrap_or_default() {
        let Event { body: EventBody::Pool(pool), appliance: Some(member), .. } = &event else { continue };
        if matches!(pool.what, PoolEventBody::Leaving { .. }) {
            let least = if operator { 1 } else { before.spec.min_in() };
            let left = world.pool().serving_beside(member);
            assert!(left >= least, "{member} leaves and {left} of {least} are in and up");
            let out = world.pool().out();
            assert!(operator || out <= before.spec.max_out(), "{out} are out");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn never_fewer_than_the_least_number_stay_in_by_decision(
        min_in in 1u32..4,
        max_out in prop::option::of(1u32..4),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut spec = pool(&MEMBERS);
        spec.policy.min_in = min_in;
        spec.policy.max_out = max_out;
        let mut world = World::in_service(spec);
        for step in steps {
            match step {
                Step::See(member, verdict) => world.see(MEMBERS[member], verdict),
                Step::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
                Step::Decide => {
                    for body in world.decide().propose {
                        apply(&mut world, body, false);
                    }
                }
                Step::Place(nth, ok) => {
                    let pending = action::pending(&world.log.state);
                    for placing in &pending {
                        let alone = placing.others.is_empty();
                        prop_assert!(placing.inside || !alone, "{} leaves an empty pool", placing.member);
                    }
                    let sides = pending.iter().flat_map(|p| p.sides.iter().map(|(side, _)| (&p.member, *side)));
                    let sides: Vec<_> = sides.collect();
                    if let Some((member, side)) = sides.get(nth % sides.len().max(1)) {
                        let failed = || StepOutcome::Failed { error: "500".to_owned() };
                        let outcome = if ok { StepOutcome::Done } else { failed() };
                        world.record(member.as_str(), *side, outcome).expect("it is pending");
                    }
                }
                Step::TakeOut(member) => {
                    let body = PoolCommand::TakeOut(asked(MEMBERS[member], None));
                    apply(&mut world, CommandBody::Pool(body), true);
                }
                Step::PutIn(member) => {
                    let body = PoolCommand::PutIn(asked(MEMBERS[member], None));
                    apply(&mut world, CommandBody::Pool(body), true);
                }
                Step::Wild(member, out) => {
                    let change = asked(MEMBERS[member], Some(world.pool().token));
                    let body = if out { PoolCommand::TakeOut(change) } else { PoolCommand::PutIn(change) };
                    apply(&mut world, CommandBody::Pool(body), false);
                }
            }
        }
        // Once all are well for long enough, all are in but for those that an operator keeps out.
        for member in MEMBERS {
            world.see(member, Verdict::Up);
        }
        for _ in 0..4 {
            world.settle();
            world.finish();
            world.pass(Duration::from_secs(3_600));
        }
        world.settle();
        world.finish();
        for member in MEMBERS {
            let standing = world.standing(member);
            let fine = matches!(standing, Standing::In { .. }) || standing.out_by_operator();
            prop_assert!(fine, "{member} is {standing:?}");
        }
        prop_assert_eq!(&world.pool().hold, &None);
    }
}
